import json
import subprocess

import numpy as np
import pytest

from benchmarks.head_to_head import __main__ as head_to_head
from benchmarks.head_to_head.figure import draw, mean_curve
from benchmarks.head_to_head.learners import Course, Scores
from benchmarks.head_to_head.pairs import BEGIN, END, UNKNOWN, batches, read_pairs
from benchmarks.head_to_head.peer import Record, merged


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.tsv").write_text("".join(f"{'ab' * (n % 5 + 1)}\tx y\n" for n in range(200)))
    (tmp_path / "valid.tsv").write_text("ba\ty z\n")
    (tmp_path / "test.tsv").write_text("a\tx\n")
    return tmp_path


def cell(system, test, curve, name="dates"):
    return {"set": name, "system": system, "seed": 0, "minutes": 10.0, "test": test, "curve": curve}


CELLS = {
    head_to_head.key_of(each): each
    for each in (
        cell("ours", 0.1, [(20.0, 0.3, 0.3), (50.0, 0.2, 0.2), (600.0, 0.1, 0.1)]),
        cell("optuna + pytorch", 0.25, [(600.0, 0.25, 0.25)]),
        cell("fixed pytorch", 0.05, [(600.0, 0.05, 0.05)]),
    )
}


def test_what_train_has_not_is_unknown_and_targets_lie_between_begin_and_end(folder):
    pairs = read_pairs(folder, ("characters", "whitespace"))
    assert pairs.splits["valid"].target.tolist() == [[BEGIN, UNKNOWN + 2, UNKNOWN, END]]
    assert pairs.vocabularies == (UNKNOWN + 3, UNKNOWN + 3)


def test_a_pass_has_every_row_once_and_little_padding(folder):
    pairs = read_pairs(folder, ("characters", "whitespace"))
    seen = list(batches(pairs.splits["train"], np.random.default_rng(0)))
    assert sum(len(batch.source) for batch in seen) == 200
    padding = sum((batch.source == 0).sum() for batch in seen) / sum(batch.source.size for batch in seen)
    assert padding < 0.2 < (pairs.splits["train"].source == 0).mean()


def test_the_table_counts_cells_and_leaves_empty_ones_empty():
    lines = list(head_to_head.table(CELLS, 1, 10.0))
    assert lines[0] == "3 of 20 cells, 10 minutes"
    assert "| dates | 10.00% | 25.00% | – | 5.00% |" in lines
    assert "| algo_scan-simple | – | – | – | – |" in lines


def test_a_ratio_says_how_much_sooner_a_peers_score_was_reached_and_is_missing_where_it_was_not():
    assert head_to_head.ratios(CELLS, 10.0) == {"dates, optuna + pytorch, seed 0": 12.0}


def test_a_figure_has_the_mean_of_all_seeds_at_each_moment(tmp_path):
    first, second = [(10.0, 0.5, 0.4), (30.0, 0.3, None), (50.0, 0.2, 0.2)], [(20.0, 0.6, 0.6)]
    assert mean_curve([first, second], [5.0, 15.0, 20.0, 60.0]) == [None, None, 0.5, 0.4]
    assert mean_curve([], [5.0]) == [None]
    draw(tmp_path / "a.svg", {("a/fre", "ours"): [first, second]}, ["a/fre", "dates"], 1.0)
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn.count("<svg") == 1
    assert "fre" in drawn


def test_a_cell_that_is_there_is_not_run_again(tmp_path, monkeypatch, capsys):
    run = []

    def measured(key, data, torch):
        run.append(key)
        return dict(zip(("set", "system", "seed", "minutes"), key, strict=True)) | {"test": 0.5, "curve": []}

    monkeypatch.setattr(head_to_head, "RESULTS", tmp_path / "results" / "cells.jsonl")
    monkeypatch.setattr(head_to_head, "measured", measured)
    for _ in range(2):
        arguments = ["--data", str(tmp_path), "--only", "dates", "--cells", "3", "--json"]
        monkeypatch.setattr("sys.argv", ["head_to_head", *arguments])
        head_to_head.main()
    assert len(run) == len(set(run)) == 4
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["measured"]) == 4


def test_a_cell_that_fails_stays_empty_and_the_others_are_run(tmp_path, monkeypatch, capsys):
    def measured(key, data, torch):
        if key[1] == "ours":
            raise subprocess.CalledProcessError(2, ["python"])
        return dict(zip(("set", "system", "seed", "minutes"), key, strict=True)) | {"test": 0.5, "curve": []}

    monkeypatch.setattr(head_to_head, "RESULTS", tmp_path / "cells.jsonl")
    monkeypatch.setattr(head_to_head, "measured", measured)
    monkeypatch.setattr("sys.argv", ["head_to_head", "--data", str(tmp_path), "--only", "dates"])
    head_to_head.main()
    seen = capsys.readouterr()
    assert "3 of 20 cells" in seen.out
    assert "stays empty: python ended with exit code 2" in seen.err


def test_the_curves_of_two_processes_become_one_that_falls():
    found = merged(
        [{"curve": [(1, 0.9, 0.8), (5, 0.2, 0.3)], "trials": 2}, {"curve": [(3, 0.5, 0.6), (6, 0.4, 0.1)], "trials": 1}]
    )
    assert found == {"curve": [(1, 0.9, 0.8), (3, 0.5, 0.6), (5, 0.2, 0.3)], "trials": 3}


def test_test_is_scored_only_where_valid_was_never_better():
    asked = []

    class Scripted:
        valid = iter((0.5, 0.6, 0.4))

        def scores(self, split):
            asked.append(split)
            return Scores(next(self.valid), 0.1) if split == "valid" else Scores(0.9, 0.1)

    record, learner = Record(), Scripted()
    for _ in range(3):
        record.look(learner)
    assert asked == ["valid", "test", "valid", "valid", "test"]
    assert [point[1] for point in record.curve] == [0.5, 0.4]


def test_the_rate_warms_up_and_falls_to_a_hundredth():
    course = Course(100.0, 60.0)
    assert course.factor(100.0) == 0
    assert course.factor(103.0) > 0.95
    assert course.factor(160.0) == pytest.approx(0.01)
