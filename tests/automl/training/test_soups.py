"""The mean of one model at several times: taken where it says more of valid, and the metric does not suffer."""

import jax.numpy as jnp
import numpy as np
import pytest

from automl.training.soups import MOST_OPERATIONS, is_cheap, soup


def model(*values):
    return {"weight": jnp.array(values, jnp.float32)}


def distance(of, best=0.0):
    """Scores of a model that is the better the nearer it is to a place, and wrong wherever it is far."""
    away = float(np.abs(of["weight"] - best).sum())
    return {"loss": away, "sequence_error_rate": float(away > 2.0)}


def is_worse(scores, than):
    return scores["sequence_error_rate"] > than["sequence_error_rate"]


def blended(end, others, scored=distance):
    return soup(end, scored(end), others, scored, is_worse)


def test_times_on_both_sides_of_the_best_are_blended():
    found, scores = blended(model(1.0), [model(-0.5), model(-0.5)])
    assert found["weight"] == pytest.approx(0.0)
    assert scores["loss"] == pytest.approx(0.0)


def test_a_time_by_which_the_loss_does_not_fall_is_left_out():
    found, _ = blended(model(1.0), [model(3.0), model(-1.0)])
    assert found["weight"] == pytest.approx(0.0)


def test_the_end_stays_alone_where_nothing_is_better():
    found, scores = blended(model(0.0), [model(1.0), model(-1.0)])
    assert (found, scores) == (model(0.0), distance(model(0.0)))


def test_a_lower_loss_is_not_bought_with_the_metric():
    def torn(of):
        return {"loss": float(of["weight"].sum()), "sequence_error_rate": float(of["weight"][0] < 1.0)}

    found, _ = blended(model(1.0), [model(0.0)], torn)
    assert found == model(1.0)


def test_what_takes_long_to_score_is_not_scored_again():
    weights = {"weight": np.zeros(1000, np.float32)}
    rows = int(MOST_OPERATIONS / (2 * 1000 * 50))
    assert is_cheap(weights, rows, 50)
    assert not is_cheap(weights, rows + 1, 50)
