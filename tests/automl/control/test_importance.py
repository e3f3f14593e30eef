import random

from automl.control.draws import Evenly
from automl.control.importance import LEAST_TRIALS, importances
from automl.control.ranking import Score, Tried
from search_spaces.spaces import space

SPACE = space()


def tried(count, score):
    draws = [SPACE.sample(Evenly(random.Random(seed))) for seed in range(count)]
    return [Tried(configuration, Score(2, score(configuration), 0.0)) for configuration in draws]


def test_the_dial_that_decides_the_score_matters_most():
    shares = importances(SPACE, tried(80, lambda c: c.dropout))
    assert max(shares, key=shares.get) == "dropout"
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert abs(sum(shares.values()) - 1) < 1e-6


def test_a_dial_that_only_some_trials_have_can_matter():
    def by_cell(c):
        return c.dropout / 10 + (getattr(c.encoder, "cell", "gru") != "gru")

    shares = importances(SPACE, tried(200, by_cell))
    assert "encoder.Recurrent.cell" in shares


def test_few_trials_say_nothing():
    assert importances(SPACE, tried(LEAST_TRIALS - 1, lambda c: c.dropout)) == {}
    assert importances(SPACE, [Tried(SPACE.default())] * 20) == {}
