import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.control import forecast
from automl.control.forecast import Forecaster, Kernel, Places

KERNEL = Kernel(np.ones(2), 0.3, 0.2, 0.15, 0.1, 0.1, 0.1, 0.6, 0.3)


def places(*rows):
    """Rows of (trial, place of its only dial, tokens)."""
    trial, dial, tokens = (np.array(column) for column in zip(*rows, strict=True))
    return Places(trial, dial[:, None].astype(float), tokens.astype(float))


def law(dial, tokens, bend=0.5):
    """A power law whose floor lies higher the further the dial is from 0."""
    return 1.0 + dial + 2.0 * tokens**-bend


def measured(dials, tokens):
    rows = [(number, dial, t) for number, dial in enumerate(dials) for t in tokens]
    return places(*rows), np.array([law(dial, t) for _, dial, t in rows])


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 500)), min_size=1, max_size=12
    )
)
@settings(max_examples=40, deadline=None)
def test_a_kernel_is_a_covariance_whose_diagonal_is_the_variance(rows):
    array = np.array(rows)
    somewhere = Places(array[:, 0].astype(int), array[:, 1:3], array[:, 3])
    covariance = KERNEL.covariance(somewhere, somewhere)
    assert covariance == pytest.approx(covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > -1e-8
    assert np.diag(covariance) == pytest.approx(KERNEL.variance(somewhere))


def test_a_measured_score_is_returned_as_it_is():
    where, scores = measured([0.0, 0.5, 1.0], [1, 2, 4])
    mean, deviation = Forecaster().forecast(where, scores).at(where)
    assert mean == pytest.approx(scores, abs=0.03)
    assert deviation.max() < 0.05


def test_a_curve_is_continued_and_further_ahead_less_surely():
    where, scores = measured([0.0], [1, 2, 4, 8, 16])
    ahead = places((0, 0.0, 32), (0, 0.0, 128), (0, 0.0, 512))
    mean, deviation = Forecaster().forecast(where, scores).at(ahead)
    truth = [law(0.0, t) for t in (32, 128, 512)]
    assert np.all(np.abs(mean - truth) < 2.5 * deviation)
    assert mean[0] < scores[-1]
    assert np.all(np.diff(deviation) > 0)


def test_a_trial_that_has_not_begun_is_forecast_by_its_likes():
    where, scores = measured([0.0, 0.3, 0.6, 0.9], [1, 4, 16])
    mean, deviation = Forecaster().forecast(where, scores).at(places((-1, 0.05, 16), (-2, 0.85, 16)))
    assert mean[0] < mean[1]
    assert abs(mean - [law(0.05, 16), law(0.85, 16)]).max() < 0.3
    assert deviation.min() > 0.02


def test_what_is_measured_of_a_trial_outweighs_its_likes():
    where, scores = measured([0.0, 0.3, 0.6, 0.9], [1, 4, 16])
    own = places((9, 0.05, 4))
    both = Places(*(np.concatenate(pair) for pair in zip(vars(where).values(), vars(own).values(), strict=True)))
    bad = np.append(scores, law(0.05, 4) + 0.5)
    mean, _ = Forecaster().forecast(both, bad).at(places((9, 0.05, 8), (-1, 0.05, 8)))
    assert mean[0] > mean[1]


def test_a_forecast_is_possible_from_one_score_and_without_dials():
    where = Places(np.array([0]), np.zeros((1, 0)), np.array([1.0]))
    mean, deviation = (
        Forecaster()
        .forecast(where, np.array([3.0]))
        .at(Places(np.array([0, -1]), np.zeros((2, 0)), np.array([8.0, 8.0])))
    )
    assert mean == pytest.approx([3.0, 3.0], abs=1.0)
    assert np.all(deviation > 0.1)


def test_the_same_measurements_give_the_same_forecast_and_the_settings_are_kept():
    where, scores = measured([0.0, 0.5], [1, 2, 4])
    ahead = places((0, 0.0, 32))
    forecaster = Forecaster()
    first = forecaster.forecast(where, scores).at(ahead)
    again = forecaster.forecast(where, scores).at(ahead)
    assert first[0] == pytest.approx(Forecaster().forecast(where, scores).at(ahead)[0])
    assert again[0] == pytest.approx(first[0], rel=0.02)


def test_rows_that_repeat_are_as_alike_as_they_are_one_by_one():
    draw = np.random.default_rng(0)
    a, b = (np.repeat(draw.random((4, 3)), counts, axis=0) for counts in ([1, 3, 2, 1], [2, 2, 1, 4]))
    whole = forecast._alike(a, b, np.ones(3))
    one_by_one = [[forecast._alike(x[None], y[None], np.ones(3)).item() for y in b] for x in a]
    np.testing.assert_allclose(whole, one_by_one, rtol=1e-12)
