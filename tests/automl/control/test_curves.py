import pytest

from automl.control.curves import Candidate, Point, has_stalled, rung_of, tokens_per_second, value_after, value_at


def point(tokens, objective, loss=1.0):
    return Point(tokens, seconds=tokens / 100 + 3, training=tokens / 100, loss=loss, objective=objective)


@pytest.mark.parametrize(("tokens", "rung"), [(99, -1), (100, 0), (199, 0), (200, 1), (800, 3)])
def test_rungs_double(tokens, rung):
    assert rung_of(tokens, 100) == rung


def test_a_value_between_two_measurements_lies_between_them_on_a_logarithmic_scale():
    points = [point(100, 0.8, loss=2.0), point(400, 0.4, loss=1.0)]
    assert value_at(points, 200) == pytest.approx((0.6, 1.5))
    assert value_after(points, 2.0) == pytest.approx((0.6, 1.5))


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
