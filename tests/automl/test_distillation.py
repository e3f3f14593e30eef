"""One model distilled from the best trials: never worse on valid, reported beside them, and had again after a kill."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl.distillation import distilled, student_document
from automl.pretraining import Ground
from automl.tasks.document import TaskDocument, document_from_mapping
from automl.winners import Search
from search_spaces.dials import to_dict
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import space
from storage.database import Database, open_database
from storage.leases import Lease
from storage.searches import claim, create_search, get_search, release, update_search
from tests.automl.command_line import DOCUMENT, Finished, automl, here, write_task

NAME = "sequence_error_rate"


def scores(valid: float, test: float) -> dict[str, Any]:
    return {"scores": {NAME: valid}, "test_scores": {NAME: test}, "parameters": 100}


def winner(valid: float, checkpoint: str, **more: Any) -> dict[str, Any]:
    parts = {"trial": 3, "step": 7, "tokens": 70, "decoding": None, "membership": None, "exposure": ()}
    return {**scores(valid, valid), **parts, "checkpoint": checkpoint, "configuration": to_dict(Seq2Seq()), **more}


TEACHER = {**scores(0.1, 0.2), "trials": [3, 1], "parameters": 200, "soft_targets": "a1" * 32}


class Place:
    """A search that has ended, and one that stands for the search that distils."""

    def __init__(self, folder: Path) -> None:
        self.database: Database = open_database(f"sqlite:///{folder / 'automl.db'}")
        data = {"train": str(folder / "train.tsv")}
        budget = {"time": 100.0, "finish": "distill"}
        self.document: TaskDocument = document_from_mapping({"name": "words", "data": data, "budget": budget}, folder)
        create_search(self.database, "words", self.document.to_mapping(), "0" * 64)
        self.lease: Lease = claim(self.database, "words", "a test", 60.0)
        self.end()
        self.begun: list[tuple[TaskDocument, Ground, bool]] = []
        self.said: list[str] = []

    def end(self, seconds: float = 70.0, **changes: Any) -> None:
        best = winner(0.3, "c" * 64, teacher=TEACHER, **changes)
        summary = {"best": best, "budget": {"time": 100.0, "finish": "distill"}}
        update_search(
            self.database, self.lease, state="finished", seconds=seconds, message="trial 3 won", summary=summary
        )

    def student(self, best: dict[str, Any] | None, state: Any = "finished") -> Callable[..., Search]:
        def search(wanted: TaskDocument, ground: Ground, anew: bool) -> Search:
            self.begun.append((wanted, ground, anew))
            if get_search(self.database, wanted.name) is None:
                create_search(self.database, wanted.name, wanted.to_mapping(), "0" * 64)
            lease = claim(self.database, wanted.name, "a test", 60.0)
            update_search(self.database, lease, state=state, seconds=12.0, summary={"best": best})
            release(self.database, lease)
            return Search(wanted.name, state, 12.0, {}, None, None, "")

        return search

    def distil(self, best: dict[str, Any] | None, state: Any = "finished") -> Search | None:
        student = self.student(best, state)
        return distilled(self.document, space(), self.database, self.lease, student, self.said.append)

    @property
    def row(self) -> Any:
        return get_search(self.database, "words")

    @property
    def best(self) -> dict[str, Any]:
        return self.row.summary["best"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.database.close()


def test_a_student_that_is_better_on_valid_takes_the_place_of_the_best_trial(place: Place) -> None:
    place.distil(winner(0.2, "d" * 64))
    best = place.best
    assert (best["finish"], best["checkpoint"], best["origin"]) == ("distilled", "d" * 64, "c" * 64)
    assert (best["trial"], best["scores"]) == (3, {NAME: 0.2})
    assert {name: own["scores"][NAME] for name, own in best["finishes"].items()} == {
        "single": 0.3,
        "ensemble": 0.1,
        "distilled": 0.2,
    }
    assert best["finishes"]["ensemble"]["trials"] == [3, 1]
    assert place.row.message == (
        "trial 3 won; trials 3, 1 have 0.1 together, and the model distilled from them has 0.2 and takes its place"
    )
    assert (place.row.state, place.row.seconds) == ("finished", 82.0)


@pytest.mark.parametrize("valid", [0.3, 0.4])
def test_one_that_is_not_better_is_reported_and_the_best_trial_stays(place: Place, valid: float) -> None:
    place.distil(winner(valid, "d" * 64))
    assert (place.best["finish"], place.best["checkpoint"], place.best["scores"]) == ("single", "c" * 64, {NAME: 0.3})
    assert place.best["finishes"]["distilled"]["scores"] == {NAME: valid}
    assert place.row.message.endswith(f"has {valid}, so the winner stays")


def test_a_student_over_the_limits_is_none(place: Place) -> None:
    place.distil(None, "failed")
    assert list(place.best["finishes"]) == ["single", "ensemble"]
    assert place.row.message.endswith("no model distilled from them is within the limits")


def test_a_student_begins_with_the_best_trial_and_has_what_is_left(place: Place) -> None:
    place.distil(winner(0.2, "d" * 64))
    ((wanted, ground, anew),) = place.begun
    assert (wanted.name, wanted.limits.time, wanted.limits.trials, wanted.limits.finish) == (
        "words.distilled",
        28.0,
        1,
        "single",
    )
    assert (ground.starts, ground.soft_targets, anew) == ({"bundle": "c" * 64}, "a1" * 32, False)
    assert ground.space is not None
    assert ground.space.default() == replace(Seq2Seq(), start="bundle")
    assert ground.space.size() == 1


def test_what_was_noted_is_not_done_again(place: Place) -> None:
    place.distil(winner(0.2, "d" * 64))
    assert place.distil(winner(0.1, "e" * 64)) is None
    assert (len(place.begun), place.best["checkpoint"]) == (1, "d" * 64)


def test_one_that_was_interrupted_goes_on_within_its_own_budget(place: Place) -> None:
    found = place.distil(None, "interrupted")
    assert found is not None
    assert found.state == "interrupted"
    assert "finishes" not in place.best
    update_search(place.database, place.lease, state="finished", seconds=99.0)
    place.distil(winner(0.2, "d" * 64))
    assert [(wanted.limits.time, anew) for wanted, _, anew in place.begun] == [(28.0, False), (28.0, False)]
    assert place.best["finish"] == "distilled"


def test_another_teacher_has_a_student_of_its_own(place: Place) -> None:
    place.distil(winner(0.2, "d" * 64))
    other = {**TEACHER, "soft_targets": "b2" * 32}
    place.end()
    summary = {"best": winner(0.3, "c" * 64, teacher=other)}
    update_search(place.database, place.lease, summary=summary)
    place.distil(winner(0.1, "e" * 64))
    assert [anew for _, _, anew in place.begun] == [False, True]


def test_a_search_of_that_name_that_is_something_else_is_left_alone(place: Place) -> None:
    document = place.document.to_mapping()
    create_search(place.database, "words.distilled", {**document, "kind": "translation"}, "0" * 64)
    assert place.distil(winner(0.2, "d" * 64)) is None
    assert place.said == [
        "nothing is distilled: search 'words.distilled' is in the database for something else; "
        "give this one another name"
    ]
    assert (place.begun, place.row.state) == ([], "finished")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"teacher": None}, "no time was left to ask the best trials what they expect"),
        ({"teacher": None, "scores": {NAME: 0.0}}, "the winner makes no error on valid"),
    ],
)
def test_without_a_teacher_it_is_said_why(place: Place, changes: dict, why: str) -> None:
    best = {**winner(0.3, "c" * 64), **changes}
    update_search(place.database, place.lease, summary={"best": best})
    assert place.distil(None) is None
    assert [why in said for said in place.said] == [True]


def test_without_time_nothing_is_begun(place: Place) -> None:
    place.end(seconds=95.0)
    assert place.distil(None) is None
    assert place.said == ["nothing is distilled: no time is left for it; give more by --time"]


def test_a_pretraining_is_not_done_again_for_a_student(tmp_path: Path) -> None:
    mapping = {"name": "x", "data": {"train": "a.tsv"}, "pretraining": {"unlabelled": "t.txt"}}
    student = student_document(document_from_mapping(mapping, tmp_path), TEACHER, {})
    assert student.pretraining is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distillation")
    write_task(folder)
    (folder / "copy.toml").write_text(DOCUMENT + "batch_tokens = 512\n[constraints]\nparameters = 80_000\n")
    return folder


COMMAND = ("search", "copy.toml", "--trials", "2", "--executor", "inline", "--finish", "distill")


@pytest.fixture(scope="module")
def found(folder: Path) -> Finished:
    return here(folder, *COMMAND, "--json")


def test_a_search_reports_the_model_that_it_distilled_beside_the_single_winner(folder: Path, found: Finished) -> None:
    assert found.code == 0, found.err
    best = found.json["best"]
    finishes = best["finishes"]
    single, student = (finishes[name]["scores"][NAME] for name in ("single", "distilled"))
    assert best["scores"][NAME] == min(single, student) <= single
    assert finishes["distilled"]["parameters"] == finishes["single"]["parameters"] <= 80_000
    evaluated = here(folder, "evaluate", "models/copy", "test.tsv", "--json")
    assert evaluated.json["metrics"] == pytest.approx(best["test_scores"])
    card = (folder / "models/copy/README.md").read_text()
    assert "| the best trial |" in card
    assert "| a model of its shape, distilled from what these say of train |" in card


def test_the_same_command_again_trains_nothing(folder: Path, found: Finished) -> None:
    again = automl(folder, *COMMAND)
    assert again.code == 0, again.err
    assert not again.computes
    lines = [line for line in again.out.splitlines() if line.startswith(("single: ", "ensemble: ", "distilled: "))]
    assert len(lines) == len(found.json["best"]["finishes"])
    (chosen,) = (line for line in lines if line.endswith("(the winner)"))
    assert chosen.startswith(found.json["best"]["finish"])


def test_the_winner_and_the_best_trial_are_exported_as_what_they_are(folder: Path, found: Finished) -> None:
    assert here(folder, "export", "copy", "again").code == 0
    whole, again = ((folder / name / "model.safetensors").read_bytes() for name in ("models/copy", "again"))
    assert whole == again
    trial = str(found.json["best"]["trial"])
    assert here(folder, "export", "copy", "alone", "--trial", trial).code == 0
    alone = (folder / "alone/model.safetensors").read_bytes()
    assert (alone == whole) == (found.json["best"]["finish"] == "single")
    (status,) = here(folder, "status", "copy", "--json").json["searches"]
    assert status["best"]["scores"] == pytest.approx(found.json["best"]["scores"])


def test_another_finish_is_refused(folder: Path) -> None:
    (folder / "wrong.toml").write_text(DOCUMENT + '[budget]\nfinish = "melt"\n')
    refused = here(folder, "search", "wrong.toml")
    assert (refused.code, "[budget] finish must be" in refused.err) == (2, True)
    assert here(folder, *COMMAND[:-1], "melt").code == 2
