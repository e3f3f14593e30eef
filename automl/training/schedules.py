"""What changes from step to step, by NumPy: learning rates, moments' decays, and the share of the average.

All of it is data to a compiled program, so another schedule, optimizer or average compiles nothing.
"""

from typing import Any, NamedTuple, assert_never

import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon, Optimizer
from search_spaces.schedules import (
    Averaging,
    Cosine,
    ExponentialAverage,
    InverseSquareRoot,
    Linear,
    PolynomialAverage,
    Schedule,
    WarmupStableDecay,
)

Numbers = NDArray[np.floating]
FLOOR = 0.1
"""Share of the rate that is left from the horizon of a cosine or a line on."""
LEAST_SHARE = 1e-4
"""Of the parameters in their average: smaller ones would be lost to rounding in single precision."""
REST = 0.1
"""Share of Muon's rate by which AdamW moves what is no matrix."""


class Cooldown(NamedTuple):
    """The steps between which the learning rate falls linearly to zero."""

    first: int
    last: int


class Coefficients(NamedTuple):
    """The numbers of one step that a kind of optimizer has for a kind of parameter.

    The moments become `keep_first · first + (1 - keep_first) · gradient`, and the second likewise of the squared
    gradient. The step goes by `old · first + new · gradient`, with the first moment as it was, and
    `correction · second`, with the second as it becomes.
    """

    rate: Float[Array, "*steps"]
    keep_first: Float[Array, "*steps"]
    keep_second: Float[Array, "*steps"]
    old: Float[Array, "*steps"]
    new: Float[Array, "*steps"]
    correction: Float[Array, "*steps"]


class Pace(NamedTuple):
    """The numbers of one step, or of several with an axis in front; `average` is the share of the new parameters."""

    matrices: Coefficients
    rest: Coefficients
    average: Float[Array, "*steps"]


def learning_rates(rate: float, schedule: Schedule, steps: NDArray[np.integer], cooldown: Cooldown | None) -> Numbers:
    """Return the learning rate of each step: a linear warm-up, what the schedule says, and at the end a linear fall."""
    rates = rate * np.minimum(1.0, (steps + 1) / schedule.warmup_steps) * _shape(schedule, steps)
    if cooldown is not None:
        left = (cooldown.last - steps) / max(cooldown.last - cooldown.first, 1)
        rates = rates * np.clip(left, 0.0, 1.0)
    return rates


def _shape(schedule: Schedule, steps: NDArray[np.integer]) -> Numbers:
    match schedule:
        case WarmupStableDecay(_, stable) | InverseSquareRoot(stable):
            return np.asarray(np.sqrt(stable / np.maximum(steps + 1, stable)))
        case Cosine(warmup, horizon):
            return np.asarray(FLOOR + (1 - FLOOR) * (1 + np.cos(np.pi * _way(steps, warmup, horizon))) / 2)
        case Linear(warmup, horizon):
            return 1 - (1 - FLOOR) * _way(steps, warmup, horizon)
        case other:
            assert_never(other)


def _way(steps: NDArray[np.integer], warmup: int, horizon: int) -> Numbers:
    """Return how much of the way from the end of the warm-up to the horizon lies behind each step, up to 1."""
    return np.clip((steps + 1 - warmup) / max(horizon - warmup, 1), 0.0, 1.0)


def average_shares(averaging: Averaging, steps: NDArray[np.integer]) -> Numbers:
    """Return the share that the parameters after each step have in their average."""
    match averaging:
        case ExponentialAverage(decay):
            return 1 - np.minimum(decay, (1 + steps) / (10 + steps))
        case PolynomialAverage(power):
            return np.maximum((power + 1) / (steps + 1 + power), LEAST_SHARE)
        case other:
            assert_never(other)


def pace(
    optimizer: Optimizer,
    schedule: Schedule,
    averaging: Averaging,
    first_step: int,
    count: int,
    cooldown: Cooldown | None,
) -> Pace:
    """Return the numbers of some steps in a row, as NumPy's in double precision."""
    steps = np.arange(first_step, first_step + count)
    rates = learning_rates(optimizer.learning_rate, schedule, steps, cooldown)
    matrices, rest = _coefficients(optimizer, rates, steps + 1)
    share: Any = average_shares(averaging, steps)
    return Pace(matrices, rest, share)


def _coefficients(optimizer: Optimizer, rates: Numbers, t: NDArray[np.integer]) -> tuple[Coefficients, Coefficients]:
    match optimizer:
        case AdamW():
            numbers = _adam(rates, t)
        case Lion():
            numbers = _spread(rates, keep_first=0.99, old=0.9, new=0.1)
        case Adafactor():
            numbers = _spread(rates, keep_second=1 - t**-0.8)
        case Muon():
            return _momentum(rates, t), _adam(REST * rates, t)
        case other:
            assert_never(other)
    return numbers, numbers


def _adam(rates: Numbers, t: NDArray[np.integer], decays: tuple[float, float] = (0.9, 0.98)) -> Coefficients:
    first, second = decays
    mean = 1 - first**t
    return _spread(rates, first, second, first / mean, (1 - first) / mean, 1 / (1 - second**t))


def _momentum(rates: Numbers, t: NDArray[np.integer], decay: float = 0.95) -> Coefficients:
    """Return Nesterov's momentum, each part without its bias (Dozat, 2016)."""
    ahead = decay / (1 - decay ** (t + 1))
    return _spread(rates, decay, old=decay * ahead, new=(1 - decay) * (ahead + 1 / (1 - decay**t)))


def _spread(
    rates: Numbers,
    keep_first: float = 1.0,
    keep_second: float | Numbers = 1.0,
    old: float | Numbers = 0.0,
    new: float | Numbers = 1.0,
    correction: float | Numbers = 1.0,
) -> Coefficients:
    numbers = (rates, keep_first, keep_second, old, new, correction)
    broadcast: tuple[Any, ...] = tuple(np.broadcast_to(np.asarray(n, float), rates.shape) for n in numbers)
    return Coefficients(*broadcast)
