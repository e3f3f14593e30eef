"""A private search from its document to the card, as a user runs it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from automl.tasks.document import CANARIES
from tests.automl.command_line import DOCUMENT, Finished, write_task
from tests.automl.command_line import automl as in_a_process
from tests.automl.command_line import here as in_this_one

pytest.importorskip("jax_privacy", reason="the extra privacy is not installed")

TERMS = "[privacy]\nepsilon = 6.0\nbatch = 10\nsteps = 40\n"
SEARCH = ("search", "copy.toml", "--trials", "2", "--executor", "inline", "--json")


def own(folder: Path) -> list[tuple[str, str]]:
    """Where a command keeps its keys: in the folder."""
    return [("AUTOML_PROGRAM_KEY", str(folder / "programs.key")), ("AUTOML_CACHE", str(folder / "cache"))]


def automl(folder: Path, *arguments: str) -> Finished:
    return in_a_process(folder, *arguments, variables=own(folder))


def here(folder: Path, *arguments: str) -> Finished:
    return in_this_one(folder, *arguments, variables=own(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("private")
    write_task(folder).write_text(DOCUMENT + TERMS)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Finished:
    return here(folder, *SEARCH)


def test_a_private_search_finds_a_winner_and_spends_no_more_than_it_promised(folder: Path, found: Finished) -> None:
    assert found.code == 0, found.err
    private = found.json["privacy"]
    assert 0 < private["epsilon_spent"] <= private["epsilon"] == 6.0
    assert private["charged"] <= private["steps"] == 40
    assert private["sampling_rate"] == 10 / private["rows"]
    assert private["delta"] == pytest.approx(private["rows"] ** -1.1)
    assert private["secret"]
    metrics = json.loads((folder / "models/copy/metrics.json").read_text())
    assert metrics["privacy"] == private
    assert "membership" not in metrics
    assert [each["copies"] for each in metrics["exposure"]] == [1] * CANARIES
    assert "private: epsilon 6" in found.err


def test_the_card_says_what_is_promised_and_what_else_has_seen_the_data(folder: Path, found: Finished) -> None:
    card = (folder / "models/copy/README.md").read_text()
    private = found.json["privacy"]
    for said in (
        "differential privacy",
        "is within epsilon 6\n",
        f"come to epsilon {private['epsilon_spent']:.4g}; since their number may have depended on the data",
        "one pair of train",
        f"{private['noise_multiplier']:.4g}",
        "Poisson",
        *private["saw"],
        f"| 1 | {CANARIES} | ",
    ):
        assert said in card
    assert "without differential privacy" not in card
    assert "Sha256 of the data" not in card


def test_the_key_is_gone_and_was_in_no_database(folder: Path, found: Finished) -> None:
    assert list((folder / "privacy").iterdir()) == []
    with closing(sqlite3.connect(folder / "automl.db")) as connection:
        (summary,) = connection.execute("SELECT summary FROM automl_searches").fetchone()
    assert "key" not in json.loads(summary)["privacy"]


def test_the_same_command_again_trains_nothing_and_spends_nothing(folder: Path, found: Finished) -> None:
    again = automl(folder, *SEARCH)
    assert (again.json["privacy"], again.json["best"]) == (found.json["privacy"], found.json["best"])
    assert not again.computes


def test_other_terms_are_another_search(folder: Path, found: Finished) -> None:
    (folder / "copy.toml").write_text(DOCUMENT + TERMS.replace("6.0", "7.0"))
    other = here(folder, *SEARCH)
    (folder / "copy.toml").write_text(DOCUMENT + TERMS)
    assert (other.code, other.out) == (2, "")
    assert "with another [privacy]" in other.err


def test_what_a_search_without_privacy_makes_of_a_private_winner_is_not_public_either(
    folder: Path, found: Finished
) -> None:
    (folder / "tuned.toml").write_text(
        '[data]\ntrain = "test.tsv"\nvalid = "train.tsv"\n[pretraining]\nfrom = "models/copy"\n'
        '[budget]\ntarget = "sequence_error_rate<=1"\n'  # so that it ends with its first score
    )
    tuned = here(folder, "search", "tuned.toml", "--trials", "1", "--executor", "inline")
    assert tuned.code == 0, tuned.err
    private = found.json["privacy"]
    origin = {"search": "copy", "epsilon": private["epsilon"], "delta": private["delta"]}
    assert json.loads((folder / "models/tuned/metrics.json").read_text())["origins"] == [origin]
    assert "private search `copy`" in (folder / "models/tuned/README.md").read_text()
    begun = '[pretraining]\nfrom = "models/tuned"\npublic = true\n'
    (folder / "begun.toml").write_text(DOCUMENT.partition("[space]")[0] + begun + TERMS)
    refused = automl(folder, "search", "begun.toml", "--trials", "1")
    assert refused.code == 2
    assert "owes something to the private search 'copy'" in refused.err
    assert not refused.computes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--executor", "slots"), "[privacy] trains one trial a process"),
        (("--executor", "ray"), "[privacy] trains one trial a process"),
    ],
)
def test_what_a_private_search_cannot_be_run_with_is_refused(
    folder: Path, found: Finished, arguments: tuple[str, ...], said: str
) -> None:
    refused = automl(folder, *SEARCH, "--name", "other", *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert not refused.computes


def test_a_deterministic_search_is_had_again_and_says_that_its_noise_is_no_secret(folder: Path) -> None:
    (folder / "again.toml").write_text(DOCUMENT + TERMS.replace("40", "12"))
    runs = [
        here(folder, "search", "again.toml", "--trials", "1", "--deterministic", "--json", "--new") for _ in range(2)
    ]
    assert [run.code for run in runs] == [0, 0], runs[0].err
    assert runs[0].json["best"] == runs[1].json["best"]
    assert not runs[0].json["privacy"]["secret"]
    assert "there is no guarantee" in (folder / "models/again/README.md").read_text()
    assert "their epsilon of 6 adds to this one's" in runs[0].err
