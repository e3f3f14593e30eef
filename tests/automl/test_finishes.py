from pathlib import Path

import pytest

from automl.finishes import finish_of, kept_for, searching, why_single
from automl.tasks.document import TaskDocument, document_from_mapping


def document(finish: str, kind: str = "sequence_to_sequence", **sections: object) -> TaskDocument:
    budget = {"time": 100, "device_time": 50, "finish": finish}
    return document_from_mapping(
        {"name": "x", "kind": kind, "data": {"train": "a"}, "budget": budget, **sections}, Path()
    )


@pytest.mark.parametrize(("finish", "seconds", "computing"), [("ensemble", 20, 50), ("distill", 30, 40)])
def test_a_fifth_is_kept_and_for_a_student_a_tenth_to_find_its_teachers(
    finish: str, seconds: float, computing: float
) -> None:
    wished = document(finish)
    assert (finish_of(wished), kept_for(wished)) == (finish, pytest.approx(seconds))
    assert searching(wished).device_time == pytest.approx(computing)


def test_what_pretraining_has_computed_is_no_more_left_for_the_trials() -> None:
    assert searching(document("single"), pretraining=12.5).device_time == 37.5
    assert searching(document("single"), pretraining=60.0).device_time == 0.0


def test_nothing_more_than_usual_is_kept_unasked() -> None:
    assert (why_single(document("single")), kept_for(document("single"))) == (None, None)
    assert kept_for(document("single", metric={"name": "bleu"})) == 10


@pytest.mark.parametrize(
    ("finish", "changes", "why"),
    [
        ("distill", {"metric": {"name": ["bleu", "latency"]}}, "it is for one objective, and there are 2"),
        ("ensemble", {"constraints": {"latency": "20ms"}}, 'limits are of single models; "distill" makes one'),
        ("ensemble", {"constraints": {"memory": "1G"}}, "limits are of single models"),
        ("distill", {"kind": "object_detection"}, "boxes are learnt in another order each time"),
    ],
)
def test_what_cannot_be_is_said_and_left_out(finish: str, changes: dict, why: str) -> None:
    wished = document(finish, **changes)
    assert finish_of(wished) == "single"
    assert (said := why_single(wished)) is not None
    assert why in said


@pytest.mark.parametrize("limit", [{"latency": "20ms"}, {"memory": "1G"}, {"operations": "1M"}, {"parameters": "1M"}])
def test_a_model_is_distilled_within_any_limit(limit: dict) -> None:
    assert finish_of(document("distill", constraints=limit)) == "distill"
