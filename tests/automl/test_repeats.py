"""What repeating a search says, and what it leaves as it was."""

from pathlib import Path

import pytest

from automl.repeats import Repeated, Spread
from automl.winners import Search
from tests.automl.command_line import Finished, here, write_task


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repeats")
    write_task(folder)
    assert here(folder, "search", "copy.toml", "--trials", "2", "--executor", "inline").code == 0
    return folder


@pytest.fixture(scope="module")
def repeated(folder: Path) -> Finished:
    return here(folder, "repeat", "copy", "--seeds", "2", "--executor", "inline", "--json")


def test_a_winner_is_trained_again_under_other_seeds(folder: Path, repeated: Finished) -> None:
    assert repeated.code == 0, repeated.err
    (spread,) = repeated.json["spread"]
    (search,) = here(folder, "status", "copy", "--json").json["searches"]
    (again,) = here(folder, "status", "copy.seeds", "--json").json["searches"]
    assert (spread["trial"], len(spread["others"])) == (search["best"]["trial"], 2)
    assert spread["score"] == search["best"]["scores"][spread["metric"]]
    assert again["best"]["configuration"] == search["best"]["configuration"]
    assert again["best"]["test_scores"] == {}
    assert search["spread"] == repeated.json["spread"]
    assert search["state"] == "finished"


def test_the_same_command_again_trains_nothing(folder: Path, repeated: Finished) -> None:
    again = here(folder, "repeat", "copy", "--seeds", "2", "--executor", "inline", "--json")
    assert again.json["spread"] == repeated.json["spread"]
    assert "nothing is searched" in again.err


def test_the_card_says_how_it_did_under_other_seeds(folder: Path, repeated: Finished) -> None:
    assert here(folder, "export", "copy", "out").code == 0
    card = (folder / "out/README.md").read_text()
    assert f"trained again under 2 other seeds: sequence_error_rate {repeated.json['spread'][0]['mean']:.4g}" in card


def test_other_finalists_are_not_mixed_with_those_that_were_repeated(folder: Path, repeated: Finished) -> None:
    other = here(folder, "repeat", "copy", "--seeds", "2", "--finalists", "2")
    assert other.code == 2
    assert "begin it anew (--new)" in other.err


def test_a_search_that_is_not_there_is_named(folder: Path) -> None:
    missing = here(folder, "repeat", "cpoy")
    assert missing.code == 2
    assert "has no search 'cpoy'; it has copy" in missing.err


def spread(trial: int, *others: float) -> Spread:
    return Spread(trial, "GRU → GRU", "", "sequence_error_rate", 0.1, others)


@pytest.mark.parametrize(("second", "said"), [((0.12, 0.14, 0.11), True), ((0.3, 0.32, 0.31), False), ((0.12,), False)])
def test_finalists_whose_means_could_be_chance_are_said(second: tuple[float, ...], said: bool) -> None:
    search = Search("x.seeds", "finished", 1.0, {}, None, None, "")
    found = Repeated(search, (spread(0, 0.1, 0.12, 0.13), spread(1, *second)))
    assert bool(found.warning) == said
