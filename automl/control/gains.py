"""What each way to spend the next seconds is expected to gain.

Going on with a trial, or beginning one, promises to bring the best score down by some amount once it has seen so many
tokens. It is paid for step by step: the next segment surely, the rest only if the trial keeps its promise. So with the
expected improvement E and its chance P at a horizon, the gain per second is

    E / (seconds of the next segment + P * seconds from there to the horizon)

and the horizon is the one that makes it largest, as in the index of Gittins (1979) for a bandit with a stopping time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf

import numpy as np
from jaxtyping import Float

from automl.control.forecast import Forecast, Places

FACTOR = 2
"""From one horizon to the next."""


@dataclass(frozen=True)
class Way:
    """One way to spend the next seconds.

    Attributes:
        trial: Number of the trial; of one that has not begun any number that no trial has.
        dials: Where its configuration lies.
        tokens: What it has seen, in units of rung 0, as all that follows.
        stop: Where the next segment ends.
        limit: What it could see in the time that is left.
        speed: Tokens a second.
        delay: Seconds before the first step.
    """

    trial: int
    dials: tuple[float, ...]
    tokens: float
    stop: float
    limit: float
    speed: float
    delay: float = 0.0


@dataclass(frozen=True)
class Gain:
    """What one way is expected to gain: nats a second, nats, and the chance of any, at `tokens`."""

    way: Way
    per_second: float
    expected: float
    chance: float
    tokens: float


def expected_gains(ways: Sequence[Way], forecast: Forecast, best: float) -> list[Gain]:
    """Return the gain of each way, at its best horizon, over the best score so far."""
    horizons = [_horizons(way) for way in ways]
    owner = np.repeat(np.arange(len(ways)), [len(h) for h in horizons])
    tokens = np.concatenate([np.asarray(h) for h in horizons])
    dials = np.array([way.dials for way in ways], dtype=float).reshape(len(ways), -1)
    places = Places(np.array([way.trial for way in ways])[owner], dials[owner], tokens)
    expected, chance = improvement(best, *forecast.at(places))
    now, stop, speed, delay = np.array([(w.tokens, w.stop, w.speed, w.delay) for w in ways])[owner].T
    first = (np.minimum(stop, tokens) - now) / speed + delay
    rest = np.maximum(tokens - stop, 0.0) / speed
    per_second = expected / np.maximum(first + chance * rest, 1e-9)
    found = []
    for number, way in enumerate(ways):
        at = max(np.flatnonzero(owner == number), key=per_second.__getitem__)
        found.append(Gain(way, float(per_second[at]), float(expected[at]), float(chance[at]), float(tokens[at])))
    return found


def improvement(
    best: float, mean: Float[np.ndarray, " places"], deviation: Float[np.ndarray, " places"]
) -> tuple[Float[np.ndarray, " places"], Float[np.ndarray, " places"]]:
    """Return by how much normal variables are expected to fall below `best`, and the chance that they do."""
    distance = (best - mean) / deviation
    chance = np.array([0.5 * (1 + erf(x / 2**0.5)) for x in distance])
    density = np.exp(-(distance**2) / 2) / np.sqrt(2 * np.pi)
    return np.maximum((best - mean) * chance + deviation * density, 0.0), chance


def _horizons(way: Way) -> list[float]:
    """The end of the next segment, then some times as much, up to what is possible."""
    horizons = [way.stop]
    while horizons[-1] * FACTOR < way.limit:
        horizons.append(horizons[-1] * FACTOR)
    return [*horizons, way.limit] if way.limit > way.stop else horizons
