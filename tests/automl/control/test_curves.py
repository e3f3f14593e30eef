from dataclasses import replace

import pytest

from automl.control.curves import (
    Candidate,
    Point,
    has_stalled,
    is_late,
    rung_of,
    smooth_scores,
    tokens_per_second,
    value_after,
    value_at,
)


def point(tokens, objective, loss=1.0):
    return Point(tokens, seconds=tokens / 100 + 3, training=tokens / 100, loss=loss, objective=objective)


@pytest.mark.parametrize(("tokens", "rung"), [(99, -1), (100, 0), (199, 0), (200, 1), (800, 3)])
def test_rungs_double(tokens, rung):
    assert rung_of(tokens, 100) == rung


def test_a_value_between_two_measurements_lies_between_them_on_a_logarithmic_scale():
    points = [point(100, 0.8, loss=2.0), point(400, 0.4, loss=1.0)]
    assert value_at(points, 200) == pytest.approx((0.6, 1.5))
    assert value_after(points, 2.0) == pytest.approx((0.6, 1.5))


def test_what_was_not_decoded_speaks_by_its_loss_even_where_scores_are_worse_than_the_worst():
    measured = [point(400 * 2**k, 2.0 - k / 4, loss=5.0 - k) for k in range(4)]
    look = replace(point(100, 1.0, loss=7.0), is_measured=False)
    curves = smooth_scores([Candidate(0, "paused", (look, *measured)), Candidate(1, "paused", (look,))])
    assert curves[0][0] == curves[1][0] == (100, 7.0)


def test_an_objective_that_was_not_measured_before_is_that_of_the_next_measurement():
    points = [replace(point(100, 1.0, loss=2.0), is_measured=False), point(400, 0.4, loss=1.0)]
    assert value_at(points, 200) == pytest.approx((0.4, 1.5))


@pytest.mark.parametrize(("tokens", "late"), [(None, False), (399, False), (400, True)])
def test_from_the_third_rung_on_trials_are_compared_by_the_objective(tokens, late):
    assert is_late(tokens, 100) == late
    assert not is_late(tokens, None)


def test_a_value_outside_the_measurements_is_the_nearest_one():
    points = [point(100, 0.8), point(400, 0.4)]
    assert value_at(points, 50) == (0.8, 1.0)
    assert value_at(points, 900) == (0.4, 1.0)


def test_a_trial_has_stalled_when_neither_score_improves_over_three_measurements():
    flat = [point(tokens, 0.5) for tokens in (100, 200, 400, 800)]
    assert has_stalled(Candidate(0, "paused", tuple(flat)))
    assert not has_stalled(Candidate(0, "paused", tuple(flat[:3])))
    assert not has_stalled(Candidate(0, "paused", (*flat[:3], point(800, 0.5, loss=0.9))))
    assert not has_stalled(Candidate(0, "paused", (*flat[:3], point(800, 0.4))))


def test_speed_is_that_of_the_last_segment_without_compiling():
    points = (Point(100, 9.0, 4.0, 1.0, 1.0), Point(300, 15.0, 6.0, 1.0, 1.0))
    assert tokens_per_second(Candidate(0, "paused", points)) == 100
    assert tokens_per_second(Candidate(0, "paused", points[:1])) == 25


def trial(number, *scores, state="paused"):
    """A trial measured at 100, 200, ... tokens: (objective, loss)."""
    points = [point(100 * 2**rung, objective, loss) for rung, (objective, loss) in enumerate(scores)]
    return Candidate(number, state, tuple(points))


def test_while_the_objective_is_near_its_worst_the_loss_is_the_score():
    scores = smooth_scores([trial(0, (1.0, 3.0), (0.99, 2.5)), trial(1, (1.0, 2.0))])
    assert scores == {0: [(100, 3.0), (200, 2.5)], 1: [(100, 2.0)]}


def test_once_it_has_left_its_worst_the_objective_orders_trials_whose_loss_misleads():
    smoothed = [trial(n, (1.0, 3.0), (0.2 + n / 10, 2.0 - n / 10)) for n in range(5)]
    last = [scores[-1][1] for scores in smooth_scores(smoothed).values()]
    assert last == sorted(last)
    assert sum(last) / 5 == pytest.approx(1.8)


def test_a_curve_never_rises_and_ends_before_the_rate_cools_down():
    rising = trial(0, (1.0, 2.0), (1.0, 1.5), (1.0, 1.9), (1.0, 1.0), state="finished")
    assert smooth_scores([rising]) == {0: [(100, 2.0), (200, 1.5), (400, 1.5)]}
