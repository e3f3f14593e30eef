from itertools import product
from typing import Any, get_args

import numpy as np
import optax
import pytest

from automl.training.schedules import Cooldown, average_shares, learning_rates, pace
from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon
from search_spaces.schedules import (
    Cosine,
    ExponentialAverage,
    InverseSquareRoot,
    Linear,
    PolynomialAverage,
    Schedule,
    WarmupStableDecay,
)

STEPS = np.arange(300)
KINDS: tuple[Any, ...] = (WarmupStableDecay(50), InverseSquareRoot(50), Cosine(50, 250), Linear(50, 250))


def rates(schedule: Schedule, cooldown: Cooldown | None = None, steps: Any = STEPS) -> Any:
    return learning_rates(1e-2, schedule, steps, cooldown)


def test_every_schedule_is_tried_here() -> None:
    assert {type(kind) for kind in KINDS} == set(get_args(Schedule))


@pytest.mark.parametrize("schedule", KINDS)
def test_every_rate_warms_up_on_a_line_to_its_highest(schedule: Any) -> None:
    np.testing.assert_allclose(rates(schedule)[:50], 1e-2 * np.arange(1, 51) / 50)
    assert rates(schedule).max() == pytest.approx(1e-2)
    assert (np.diff(rates(schedule)[49:]) <= 1e-12).all()


@pytest.mark.parametrize(
    ("schedule", "published"),
    [
        (WarmupStableDecay(50), lambda: optax.constant_schedule(1e-2)),
        (InverseSquareRoot(50), lambda: lambda step: 1e-2 * (50 / (50 + step)) ** 0.5),
        (Cosine(50, 250), lambda: optax.cosine_decay_schedule(1e-2, 200, alpha=0.1)),
        (Linear(50, 250), lambda: optax.linear_schedule(1e-2, 1e-3, 200)),
    ],
)
def test_after_the_warm_up_the_rate_is_the_published_one(schedule: Any, published: Any) -> None:
    schedule_of = published()
    wanted = [float(schedule_of(step)) for step in range(250)]
    np.testing.assert_allclose(rates(schedule)[49:299], wanted, rtol=1e-5)


def test_a_stable_rate_falls_with_the_square_root_of_the_steps_in_the_end() -> None:
    found = rates(WarmupStableDecay(50, 100))
    np.testing.assert_allclose(found[49:100], 1e-2)
    np.testing.assert_allclose(found[100:], 1e-2 * (100 / np.arange(101, len(found) + 1)) ** 0.5)


@pytest.mark.parametrize("kind", [Cosine, Linear])
def test_beyond_its_horizon_a_tenth_of_the_rate_is_left(kind: Any) -> None:
    np.testing.assert_allclose(rates(kind(50, 250))[249:], 1e-3)
    np.testing.assert_allclose(rates(kind(50, 20))[50:], 1e-3)


@pytest.mark.parametrize("schedule", KINDS)
def test_the_rate_falls_to_nought_at_the_end(schedule: Any) -> None:
    plain, cooled = rates(schedule), rates(schedule, Cooldown(80, 100))
    np.testing.assert_array_equal(cooled[:81], plain[:81])
    np.testing.assert_allclose(cooled[[85, 90, 99]] / plain[[85, 90, 99]], [0.75, 0.5, 0.05])
    np.testing.assert_array_equal(cooled[100:], 0)


@pytest.mark.parametrize(
    ("optimizer", "schedule"), list(product([AdamW(), Lion(), Adafactor(), Muon()], [KINDS[0], KINDS[2]]))
)
def test_a_step_has_the_same_numbers_in_every_chunk(optimizer: Any, schedule: Any) -> None:
    def numbers(first: int, count: int) -> Any:
        found = pace(optimizer, schedule, ExponentialAverage(), first, count, Cooldown(150, 250))
        return np.stack([*found.matrices, *found.rest, found.average])

    parts = np.concatenate([numbers(first, 100) for first in (0, 100, 200)], axis=1)
    np.testing.assert_array_equal(parts, numbers(0, 300))


def test_the_exponential_average_forgets_quickly_at_first_and_slowly_later() -> None:
    shares = average_shares(ExponentialAverage(0.998), np.array([0, 8, 10_000]))
    np.testing.assert_allclose(shares, [0.9, 0.5, 0.002])


@pytest.mark.parametrize("power", [3, 8])
def test_the_polynomial_average_weighs_late_steps_by_their_power(power: int) -> None:
    shares = average_shares(PolynomialAverage(power), STEPS)
    kept = np.append(np.cumprod((1 - shares)[:0:-1])[::-1], 1.0)
    weights = shares * kept
    rising = np.array([np.prod((step + np.arange(1, power + 1)) / 300) for step in STEPS])
    np.testing.assert_allclose(weights, rising / rising.sum(), rtol=1e-8)
    assert weights.sum() == pytest.approx(1)
