import pytest

from automl.boxes import Box, lie_alike, to_text
from automl.metrics import METRICS, TextMetric
from automl.metrics.detections import signature

NAMES = ["mean_average_precision", "mean_average_precision_50"]
TRUE = [[Box("cat", 0, 0, 10, 10), Box("dog", 20, 5, 8, 8)], [Box("cat", 5, 5, 10, 10)], []]


def score(name: str, said: list[list[Box]]) -> float:
    entry = METRICS[name]
    assert isinstance(entry, TextMetric)
    return entry.function([to_text(boxes) for boxes in said], [[to_text(boxes)] for boxes in TRUE], str.split)


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_prediction_scores_best_and_an_empty_or_a_wrong_one_worst(name: str) -> None:
    assert score(name, TRUE) == pytest.approx(1)
    assert score(name, [[], [], []]) == 0
    assert score(name, [[box._replace(left=90) for box in boxes] for boxes in TRUE]) == 0
    assert score(name, [[box._replace(label="bird") for box in boxes] for boxes in TRUE]) == 0


def test_half_an_overlap_is_enough_for_one_and_not_for_the_other() -> None:
    near = [[box._replace(width=box.width * 0.8) for box in boxes] for boxes in TRUE]
    assert score("mean_average_precision_50", near) == pytest.approx(1)
    assert 0.3 < score("mean_average_precision", near) < 0.8


def test_what_a_model_is_less_sure_of_costs_less() -> None:
    wrong = Box("cat", 30, 30, 5, 5)
    unsure, sure = (
        [[wrong._replace(score=how), *(box._replace(score=0.5) for box in TRUE[0])], TRUE[1], []] for how in (0.1, 0.9)
    )
    assert score("mean_average_precision_50", unsure) > score("mean_average_precision_50", sure)


def test_an_object_counts_for_each_class_that_it_may_be_of() -> None:
    first, *rest = TRUE
    wrong = [box._replace(label="bird", score=0.5) for box in first]
    named = [box._replace(others=((true.label, 0.4),)) for box, true in zip(wrong, first, strict=True)]
    assert score("mean_average_precision_50", [named, *rest]) > score("mean_average_precision_50", [wrong, *rest])


@pytest.mark.parametrize(
    ("others", "alike"),
    [
        ([Box("cat", 0, 0, 10, 10, 0.9)], True),
        ([Box("cat", 0.5, 0, 10, 10, 0.4), Box("dog", 5, 5, 5, 5, 0.3)], True),
        ([Box("cat", 0, 0, 10, 10, 0.9), Box("dog", 5, 5, 5, 5, 0.8)], False),
        ([Box("cat", 0, 0, 10, 5, 0.9)], False),
        ([Box("dog", 0, 0, 10, 10, 0.9)], False),
        ([], False),
    ],
)
def test_lists_lie_alike_where_each_has_what_the_other_is_sure_of(others: list[Box], alike: bool) -> None:
    these = [Box("cat", 0, 0, 10, 10, 0.8), Box("bird", 20, 20, 5, 5, 0.1)]
    assert (lie_alike(these, others), lie_alike(others, these)) == (alike, alike)


def test_lists_that_are_sure_of_nothing_are_compared_by_their_surest() -> None:
    unsure = [Box("cat", 0, 0, 10, 10, 0.2), Box("dog", 0, 0, 10, 10, 0.1)]
    assert lie_alike(unsure, unsure[:1])
    assert not lie_alike(unsure, unsure[1:])
    assert lie_alike([], [])
    assert lie_alike(unsure, [])


def test_a_score_names_the_package_that_computed_it() -> None:
    assert signature([]).startswith("pycocotools:2")
