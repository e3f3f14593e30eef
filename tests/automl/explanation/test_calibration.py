import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.explanation.calibration import calibration

ROUNDING = 1e-12
JUDGED = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def test_the_error_is_the_distance_of_accuracy_and_confidence_over_bins() -> None:
    found = calibration([(0.95, True), (0.91, False), (0.25, False), (0.25, True)])
    assert [(each.low, each.high, each.count) for each in found.bins] == [(0.2, 0.3, 2), (0.9, 1.0, 2)]
    assert found.error == pytest.approx((abs(0.5 - 0.93) * 2 + abs(0.5 - 0.25) * 2) / 4)


def test_a_confidence_at_an_edge_belongs_to_the_bin_below() -> None:
    found = calibration([(0.0, False), (0.1, True), (0.5, True), (1.0, True)])
    assert [each.high for each in found.bins] == [0.1, 0.5, 1.0]


def test_nothing_judged_has_no_error() -> None:
    assert calibration([]).error == 0


@given(JUDGED)
def test_every_judgement_is_in_one_bin_and_the_error_is_at_most_one(judged: list[tuple[float, bool]]) -> None:
    found = calibration(judged)
    assert sum(each.count for each in found.bins) == found.count == len(judged)
    assert 0 <= found.error <= 1 + ROUNDING
    assert all(each.low - ROUNDING <= each.confidence <= each.high + ROUNDING for each in found.bins)


@given(JUDGED)
def test_what_is_as_sure_as_it_is_right_has_no_error(judged: list[tuple[float, bool]]) -> None:
    share = sum(right for _, right in judged) / len(judged)
    assert calibration([(share, right) for _, right in judged]).error == pytest.approx(0)
