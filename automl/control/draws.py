"""Configurations drawn at random, evenly or near one that did well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from random import Random
from typing import Any

from search_spaces.dials import Value

STEP = 0.15
"""Standard deviation of a small step along a dial, as a share of its range."""


@dataclass(frozen=True)
class Evenly:
    """Answers a space's questions evenly over each range."""

    draw: Random

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of `choices`."""
        del name
        return self.draw.choice(choices)

    def suggest_float(self, name: str, low: float, high: float, *, step: None = None, log: bool = False) -> float:
        """Return a number from `low` to `high`."""
        del name, step
        return _between(low, high, self.draw.random(), log)


@dataclass(frozen=True)
class Near:
    """Answers as a known configuration would, and turns a few of its dials.

    Attributes:
        parameters: The known configuration, by path.
        rate: Share of the dials that are turned.
    """

    draw: Random
    parameters: Mapping[str, Value]
    rate: float

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of `choices`: the known one, a neighbour of it, or any."""
        known = self.parameters.get(name)
        if known not in choices or self.draw.random() < self.rate:
            return self.draw.choice(choices)
        return known

    def suggest_float(self, name: str, low: float, high: float, *, step: None = None, log: bool = False) -> float:
        """Return a number from `low` to `high`: the known one, one near it, or any."""
        del step
        known = self.parameters.get(name)
        if known is None or self.draw.random() < self.rate / 2:
            return _between(low, high, self.draw.random(), log)
        if self.draw.random() < self.rate:
            place = _place(low, high, float(known), log) + self.draw.gauss(0.0, STEP)
            return _between(low, high, min(max(place, 0.0), 1.0), log)
        return float(known)


def _between(low: float, high: float, share: float, logarithmic: bool) -> float:
    if logarithmic:
        return min(max(exp(log(low) + share * (log(high) - log(low))), low), high)
    return low + share * (high - low)


def _place(low: float, high: float, value: float, logarithmic: bool) -> float:
    if logarithmic:
        return (log(value) - log(low)) / (log(high) - log(low))
    return (value - low) / (high - low)
