import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.control.gains import Way, expected_gains, improvement


class Foreseen:
    """A forecast that knows what each trial comes to, to a given deviation."""

    def __init__(self, means, deviation=0.1):
        self.means, self.deviation = means, deviation

    def at(self, places):
        means = [self.means[trial] / tokens**0.5 for trial, tokens in zip(places.trial, places.tokens, strict=True)]
        return np.array(means), np.full(len(means), self.deviation)


def way(trial, tokens=4.0, speed=1.0, limit=64.0, delay=0.0):
    return Way(trial, (), tokens, tokens * 2, limit, speed, delay)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.01, 3))
def test_improvement_is_positive_and_grows_with_uncertainty(best, mean, deviation):
    narrow, chance = improvement(best, np.array([mean]), np.array([deviation]))
    wide, _ = improvement(best, np.array([mean]), np.array([deviation * 2]))
    assert 0 <= narrow[0] <= wide[0] + 1e-12
    assert 0 <= chance[0] <= 1
    assert narrow[0] >= best - mean - 1e-9


def test_improvement_is_the_mean_of_what_lies_below_the_best():
    drawn = np.random.default_rng(0).normal(0.3, 0.5, 200_000)
    expected, chance = improvement(0.1, np.array([0.3]), np.array([0.5]))
    assert expected[0] == pytest.approx(np.maximum(0.1 - drawn, 0).mean(), abs=2e-3)
    assert chance[0] == pytest.approx((drawn < 0.1).mean(), abs=5e-3)


def test_what_promises_more_gains_more():
    gains = expected_gains([way(0), way(1)], Foreseen({0: 2.0, 1: 1.0}), best=0.5)
    assert gains[1].per_second > gains[0].per_second


@pytest.mark.parametrize("slower", [{"speed": 0.5}, {"delay": 30.0}])
def test_what_takes_longer_gains_less_a_second(slower):
    fast, slow = expected_gains([way(0), way(0, **slower)], Foreseen({0: 1.0}), best=0.5)
    assert fast.per_second > slow.per_second
    assert fast.expected == pytest.approx(slow.expected, rel=0.5)


def test_nothing_is_expected_past_what_the_time_allows():
    gains = expected_gains([way(0, limit=8.0), way(0)], Foreseen({0: 1.0}, 0.01), best=0.3)
    assert gains[0].tokens == 8.0
    assert gains[0].expected < gains[1].expected


def test_each_way_gets_its_gain():
    ways = [way(n, tokens=float(1 + n)) for n in range(5)]
    assert [gain.way for gain in expected_gains(ways, Foreseen(dict.fromkeys(range(5), 1.0)), best=0.4)] == ways
