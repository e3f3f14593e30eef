from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.control.draws import Evenly, Near
from search_spaces.spaces import space

SPACE = space()
KNOWN = SPACE.parameters(SPACE.default())


@given(st.integers(0, 10_000))
def test_draws_are_configurations_of_the_space(seed):
    for trial in (Evenly(Random(seed)), Near(Random(seed), KNOWN, 0.3)):
        configuration = SPACE.sample(trial)
        for path, value in SPACE.parameters(configuration).items():
            dial = SPACE.distributions(configuration)[path]
            assert value in dial.values if hasattr(dial, "values") else dial.low <= value <= dial.high


def test_even_draws_reach_every_choice():
    drawn = [Evenly(Random(seed)).suggest_categorical("cell", ("lstm", "gru")) for seed in range(20)]
    assert set(drawn) == {"lstm", "gru"}


@pytest.mark.parametrize("log", [False, True])
def test_a_near_draw_is_the_known_value_unless_it_is_turned(log):
    untouched = Near(Random(0), {"rate": 0.01, "cell": "gru"}, rate=0.0)
    assert untouched.suggest_float("rate", 1e-3, 1e-1, log=log) == 0.01
    assert untouched.suggest_categorical("cell", ("lstm", "gru")) == "gru"
    turned = [Near(Random(s), {"rate": 0.01}, rate=1.0).suggest_float("rate", 1e-3, 1e-1, log=log) for s in range(50)]
    assert len(set(turned)) > 40


def test_near_draws_differ_in_few_dials():
    near = [SPACE.parameters(SPACE.sample(Near(Random(seed), KNOWN, 1.5 / len(KNOWN)))) for seed in range(100)]
    differing = [sum(parameters.get(path) != value for path, value in KNOWN.items()) for parameters in near]
    assert 0.5 < sum(differing) / 100 < 4
