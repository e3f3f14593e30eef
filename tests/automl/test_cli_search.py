"""One real search on the command line, and everything that can be done with what it leaves."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage import objects
from storage.database import open_database
from storage.searches import get_search
from tests.automl.command_line import DOCUMENT, Finished, automl, here, write_task

SEARCH = ("search", "copy.toml", "--executor", "inline", "--trials", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    write_task(folder)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Finished:
    return here(folder, *SEARCH, "--json")


def test_a_search_prints_one_json_document_and_leaves_a_bundle(folder: Path, found: Finished) -> None:
    assert found.code == 0, found.err
    assert found.json["version"] == 1
    assert found.json["search"] == "copy"
    assert found.json["state"] == "finished"
    assert sum(found.json["trials"].values()) == 2
    assert found.json["best"]["parameters"] > 0
    assert found.json["learnt"]["best_so_far"][-1]["score"] == found.json["best"]["scores"]["sequence_error_rate"]
    assert Path(found.json["bundle"]) == folder / "models" / "copy"
    assert "held out as valid" in found.err


def test_evaluating_the_bundle_gives_the_test_score_of_the_search(folder: Path, found: Finished) -> None:
    evaluated = here(folder, "evaluate", "models/copy", "test.tsv", "--json")
    assert evaluated.code == 0, evaluated.err
    assert evaluated.json == {
        "version": 1,
        "metrics": found.json["best"]["test_scores"],
        "signatures": {},
        "rows": 10,
        "dropped": {},
    }


def test_evaluating_prints_the_metrics_that_are_named(folder: Path, found: Finished) -> None:
    evaluated = here(folder, "evaluate", "models/copy", "test.tsv", "--metric", "bleu", "--metric", "perplexity")
    assert [line.split()[0] for line in evaluated.out.splitlines()] == ["bleu", "perplexity", "rows"]
    assert float(evaluated.out.split()[3]) > 1
    assert evaluated.err.startswith("bleu: nrefs:1|case:mixed")


def test_predicting_answers_each_line_with_one_line(folder: Path, found: Finished) -> None:
    predicted = automl(folder, "predict", "models/copy", text="abc\n\r\n\nzz∞\nlast")
    assert predicted.code == 0, predicted.err
    assert predicted.out.count("\n") == 5


def test_predicting_from_a_file_prints_the_same_outputs_as_json(folder: Path, found: Finished) -> None:
    (folder / "sources.txt").write_text("abc\ndd\n")
    lines = here(folder, "predict", "models/copy", text="abc\ndd\n").out.splitlines()
    document = here(folder, "predict", "models/copy", "--input", "sources.txt", "--json")
    assert document.json == {"version": 1, "outputs": lines}


def test_a_search_whose_budget_is_spent_prints_the_same_again_and_trains_nothing(folder: Path, found: Finished) -> None:
    again = automl(folder, *SEARCH, "--json")
    assert again.code == 0
    assert not again.computes
    assert again.json == found.json


def test_people_see_the_leaderboard_the_reason_and_how_to_try_it(folder: Path, found: Finished) -> None:
    seen = here(folder, *SEARCH)
    assert "Recurrent → Recurrent" in seen.out
    assert "best so far: " in seen.out
    assert "families: Recurrent → Recurrent" in seen.out
    assert found.json["why"] in seen.out
    assert "test: sequence_error_rate" in seen.out
    assert seen.out.endswith("try it: automl predict models/copy\n")


def test_status_lists_the_search_as_the_search_printed_it(folder: Path, found: Finished) -> None:
    status = automl(folder, "status", "--json")
    assert not status.computes
    known = {key: value for key, value in found.json.items() if key not in ("version", "learnt")}
    assert [search for search in status.json["searches"] if search["search"] == "copy"] == [known]


def test_the_leaderboard_marks_the_winner_and_ranks_by_the_objective(folder: Path, found: Finished) -> None:
    board = automl(folder, "leaderboard", "copy", "--json")
    rows = board.json["trials"]
    scores = [row["scores"]["sequence_error_rate"] for row in rows]
    assert not board.computes
    assert scores == sorted(scores)
    assert [row["trial"] for row in rows if row["winner"]] == [found.json["best"]["trial"]]


def test_the_bundle_exported_again_predicts_the_same(folder: Path, found: Finished) -> None:
    exported = automl(folder, "export", "copy", "again")
    assert exported.code == 0, exported.err
    assert not exported.computes
    for name in ("model.safetensors", "config.json"):
        assert (folder / "again" / name).read_bytes() == (folder / "models" / "copy" / name).read_bytes()


def test_which_dials_mattered_goes_with_the_winner_and_is_explained(folder: Path, found: Finished) -> None:
    noted = {"dropout": 0.75, "learning_rate": 0.25}
    shutil.copy(folder / "automl.db", folder / "noted.db")
    with closing(sqlite3.connect(folder / "noted.db")) as connection, connection:
        (summary,) = connection.execute("SELECT summary FROM automl_searches WHERE name = 'copy'").fetchone()
        assert json.loads(summary)["importance"] == {}  # of two trials nothing can be said
        changed = json.dumps({**json.loads(summary), "importance": noted})
        connection.execute("UPDATE automl_searches SET summary = ? WHERE name = 'copy'", (changed,))
    place = [("AUTOML_CHECKPOINTS", str(folder / "automl.checkpoints"))]
    exported = here(folder, "export", "copy", "noted", "--storage", "sqlite:///noted.db", variables=place)
    assert exported.code == 0, exported.err
    explained = here(folder, "explain", "noted", "--valid", "--out", "why", "--json")
    assert explained.json["importance"] == noted
    assert explained.json["predictions"] == explained.json["outputs"]["count"] == 5  # of 50, held out of train
    assert explained.json["errors"]["counted"] == "train"
    assert "dropout</td><td>75.0%" in (folder / "why" / "explanation.html").read_text()


def test_another_trial_can_be_exported_without_the_cache(folder: Path, found: Finished) -> None:
    loser = str(1 - found.json["best"]["trial"])
    other = ("export", "copy", "other", "--trial", loser, "--json")
    exported = here(folder, *other, variables=[("AUTOML_CACHE", str(folder / "cache2"))])
    evaluated = here(folder, "evaluate", "other", "test.tsv", "--json")
    assert (exported.json["bundle"], exported.json["forms"]) == ("other", {})
    assert 0 < exported.json["membership"]["told"] <= 1
    assert f"in {exported.json['membership']['told']:.1%} of pairs" in (folder / "other" / "README.md").read_text()
    assert list(evaluated.json["metrics"]) == ["sequence_error_rate"]


def test_a_search_whose_checkpoints_are_elsewhere_is_refused_and_unharmed(folder: Path, found: Finished) -> None:
    elsewhere = [("AUTOML_CHECKPOINTS", str(folder / "elsewhere"))]
    refused = here(folder, *SEARCH, "--trials", "3", variables=elsewhere)
    assert refused.code == 2
    assert "holds no checkpoint of search 'copy'" in refused.err
    assert here(folder, *SEARCH, "--json").json == found.json


def test_a_document_that_has_changed_is_refused_by_the_name_of_its_field(folder: Path, found: Finished) -> None:
    (folder / "changed.toml").write_text(DOCUMENT + "[seed]\nvalue = 7\n")
    refused = here(folder, "search", "changed.toml", "--name", "copy", "--trials", "2")
    assert refused.code == 2
    assert "another [seed]" in refused.err


def test_what_the_search_does_not_depend_on_may_change_and_is_kept(folder: Path, found: Finished) -> None:
    (folder / "licensed.toml").write_text('license = "cc-by-4.0"\nshare_samples = true\n' + DOCUMENT)
    again = here(folder, "search", "licensed.toml", "--name", "copy", *SEARCH[2:], "--json")
    assert (again.code, again.json) == (0, found.json)
    with closing(open_database(f"sqlite:///{folder}/automl.db")) as database:
        row = get_search(database, "copy")
    assert row is not None
    assert (row.document["license"], row.document["share_samples"]) == ("cc-by-4.0", True)
    assert "cc-by-4.0" in (folder / "models" / "copy" / "README.md").read_text()
    here(folder, *SEARCH, "--json")
    assert "cc-by-4.0" not in (folder / "models" / "copy" / "README.md").read_text()


def test_a_search_in_processes_imports_no_jax_into_its_parent(folder: Path, found: Finished) -> None:
    other = automl(
        folder, "search", "copy.toml", "--name", "other", "--trials", "1", "--workers", "1", "--out", "out", "--json"
    )
    assert other.code == 0, other.err
    assert not other.computes
    assert other.json["search"] == "other"


def test_a_search_of_several_objectives_within_a_latency_lists_the_front(folder: Path, found: Finished) -> None:
    objectives = '[metric]\nname = ["sequence_error_rate", "parameters", "latency"]\n[constraints]\nlatency = "10s"\n'
    (folder / "front.toml").write_text(DOCUMENT + objectives)
    several = here(folder, "search", "front.toml", "--executor", "inline", "--trials", "2", "--json")
    assert several.code == 0, several.err
    first = several.json["front"][0]
    assert first["trial"] == several.json["best"]["trial"]
    assert first["scores"]["parameters"] == several.json["best"]["parameters"]
    assert 0 < first["scores"]["latency"] < 10
    assert list(several.json["best"]["test_scores"]) == ["sequence_error_rate"]
    rows = here(folder, "leaderboard", "front", "--json").json["trials"]
    assert {row["trial"] for row in rows if row["front"]} == {each["trial"] for each in several.json["front"]}


def test_a_deterministic_search_tries_the_same_and_scores_the_same_again(folder: Path, found: Finished) -> None:
    boards = []
    for name in ("once", "twice"):
        arguments = ("search", "copy.toml", "--deterministic", "--trials", "2", "--name", name, "--out", name)
        done = here(folder, *arguments, "--storage", f"sqlite:///{name}.db")
        assert done.code == 0, done.err
        board = here(folder, "leaderboard", name, "--json", "--storage", f"sqlite:///{name}.db")
        boards.append(board.json["trials"])
    assert boards[0] == boards[1]
    assert (folder / "once" / "model.safetensors").read_bytes() == (folder / "twice" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--time", "10m"), "--deterministic needs a budget that no clock decides: give [budget] trials"),
        (("--trials", "2", "--executor", "processes"), "--deterministic trains in one process; leave --executor"),
    ],
)
def test_a_deterministic_search_is_refused_where_a_clock_or_a_machine_decides(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    refused = here(folder, "search", "copy.toml", "--name", "no", "--deterministic", *arguments)
    assert (refused.code, message in refused.err) == (2, True), refused.err


def test_a_winner_whose_bytes_are_damaged_is_passed_over_by_export_and_by_the_search(
    folder: Path, found: Finished
) -> None:
    elsewhere = folder / "damaged"
    copied = [("AUTOML_CHECKPOINTS", str(elsewhere))]
    shutil.copytree(folder / "automl.checkpoints", elsewhere)
    shutil.copy(folder / "automl.db", folder / "damaged.db")
    with closing(open_database(f"sqlite:///{folder / 'damaged.db'}")) as database:
        row = get_search(database, "copy")
    assert row is not None
    assert row.summary is not None
    objects.path(elsewhere, row.summary["best"]["checkpoint"]).write_bytes(b"damaged")
    storage = ("--storage", "sqlite:///damaged.db")
    exported = here(folder, "export", "copy", "next", *storage, variables=copied)
    assert exported.code == 0, exported.err
    assert "is passed over: its checkpoint is gone or damaged" in exported.err
    again = here(folder, *SEARCH, *storage, "--out", "next2", "--json", variables=copied)
    assert again.code == 0, again.err
    assert "the winner's checkpoint is gone or damaged: the next best is taken" in again.err
    assert again.json["best"]["scores"] != found.json["best"]["scores"]
    assert (folder / "next" / "model.safetensors").read_bytes() == (folder / "next2" / "model.safetensors").read_bytes()
