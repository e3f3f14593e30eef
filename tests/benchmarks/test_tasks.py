import json
import tomllib
from pathlib import Path

import pytest

from automl.tasks.document import document_from_mapping
from benchmarks import tasks
from benchmarks.peers.ngrams import KneserNey
from benchmarks.searches import read_lines, toml
from benchmarks.tasks import ROWS


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_a_document_of_data_metric_and_budget_only(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    mapping = tomllib.loads(toml(row.document(tmp_path, row.minutes)))
    document = document_from_mapping(mapping, tmp_path)
    begun = {"pretraining"} if row.unlabelled else set()
    assert document.model_fields_set == {"name", "kind", "data", "metric", "budget"} | begun
    assert document.limits.time == 60 * row.minutes
    assert document.metrics == row.metrics[:1]


def test_results_are_lines_of_known_rows() -> None:
    assert all(line["row"] in ROWS and line["test"] for line in read_lines(tasks.RESULTS))


def test_the_results_that_are_shown_are_those_that_were_written() -> None:
    shown = (Path(tasks.__file__).parents[1] / "docs" / "results.md").read_text(encoding="utf-8")
    assert tasks.table(read_lines(tasks.RESULTS)) in shown


def test_the_last_line_of_a_row_is_shown_with_its_peer() -> None:
    line = {
        "row": "lm_debian",
        "test": {"bits_per_character": 1.5},
        "peer": {"bits_per_character": 2.0},
        "minutes": 20.0,
        "load": ["0.5 on 2 cores"],
        "commit": "abc",
    }
    rows = tasks.table([{**line, "minutes": 1.0}, line]).splitlines()
    (shown,) = [row for row in rows if "lm_debian" in row]
    for part in ("`bits_per_character` 1.5", "5-gram: `bits_per_character` 2.000", "20.0 min, load 0.5", "abc"):
        assert part in shown
    assert sum("| – | – |" in row for row in rows) == len(ROWS) - 1


def test_probabilities_of_the_peer_add_up_to_one() -> None:
    model = KneserNey(["abab", "abba", "b"], order=3)
    seen = [*"ab", "\x03"]
    for context in ("ab", "ba", "zz", "\x02\x02"):
        total = sum(model.probability(context, character) for character in seen) + model.probability(context, "?")
        assert total == pytest.approx(1)


def test_the_peer_knows_what_it_was_counted_on() -> None:
    model = KneserNey(["the cat sat on the mat"] * 50)
    assert model.bits_per_character(["the cat sat on the mat"]) < 0.5 < model.bits_per_character(["zqx jkv"])


def test_a_row_without_data_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not tasks._is_there(ROWS["dates"], tmp_path)
    assert "dates" in json.dumps(capsys.readouterr().err)
