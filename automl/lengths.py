"""Lengths: how many tokens a target may have for a source of so many, learnt from the pairs of train."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import InputError

EXTRA = 10
"""Tokens that every target may have beyond the slack."""
MOST = 2**15
"""Tokens that any target may have, however long its source is."""
SHORTEST = 8
"""Sources up to so many tokens have one limit; it is another one at every doubling."""


@dataclass(frozen=True)
class Limits:
    """The most tokens of a target by the length of its source.

    For sources longer than all of train it doubles as they do: never is the longest target of train the limit.

    Attributes:
        sources: Rising lengths of sources.
        most: The most tokens of a target for sources up to each of these; rising too.
        grows: Whether longer sources may have longer targets.
    """

    sources: tuple[int, ...]
    most: tuple[int, ...]
    grows: bool = True

    def of(self, source: int) -> int:
        """Return the most tokens of a target for a source of so many."""
        for length, most in zip(self.sources, self.most, strict=True):
            if source <= length:
                return most
        doublings = (-(-source // self.sources[-1]) - 1).bit_length() if self.grows else 0
        return min(self.most[-1] << doublings, MOST)

    @property
    def usual(self) -> int:
        """The most tokens for the longest sources of train."""
        return self.most[-1]

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"sources": list(self.sources), "most": list(self.most), "grows": self.grows}

    @staticmethod
    def from_mapping(values: Mapping[str, Any], beyond: int) -> "Limits":
        """Read what `to_mapping` wrote, of sources of no more than `beyond` tokens.

        Raises:
            InputError: It is none, or has a number beyond all measure.
        """
        sources, most, grows = values.get("sources"), values.get("most"), values.get("grows")
        rising, said = _rising(sources, beyond), _rising(most, MOST)
        if not said or len(rising) != len(said) or type(grows) is not bool:
            raise InputError("config.json: decoding.lengths gives no limit by the length of sources")
        return Limits(rising, said, grows)


def _rising(values: Any, beyond: int) -> tuple[int, ...]:
    """Return numbers that rise from above 0 up to a bound; none where they are anything else."""
    if not isinstance(values, list) or not 0 < len(values) <= 64 or any(type(value) is not int for value in values):
        return ()
    return tuple(values) if values[0] > 0 and values == sorted(values) and values[-1] <= beyond else ()


def constant(most: int) -> Limits:
    """Return the limit that is the same for every source."""
    return Limits((SHORTEST,), (most,), grows=False)


@dataclass(frozen=True)
class Lengths:
    """The longest targets of train by the length of their sources.

    Attributes:
        sources: Rising lengths of sources, each twice the one before; the last holds the longest.
        targets: The longest target of the sources up to each of these.
    """

    sources: tuple[int, ...]
    targets: tuple[int, ...]

    @staticmethod
    def learn(sources: NDArray[np.int64], targets: NDArray[np.int64]) -> "Lengths":
        """Look at the pairs of train."""
        longest = int(sources.max(initial=1))
        steps = [SHORTEST]
        while steps[-1] < longest:
            steps.append(2 * steps[-1])
        steps = [step for step in steps if (sources <= step).any()]  # shorter ones have the targets of the shortest
        return Lengths(tuple(steps), tuple(int(targets[sources <= step].max()) for step in steps))

    def limits(self, slack: float) -> Limits:
        """Return what targets may have: what was seen, times the slack, and a few."""
        return Limits(self.sources, tuple(min(math.ceil(slack * seen) + EXTRA, MOST) for seen in self.targets))

    def to_mapping(self) -> dict[str, Sequence[int]]:
        """Return it as plain JSON values."""
        return {"sources": list(self.sources), "targets": list(self.targets)}

    @staticmethod
    def from_mapping(values: Mapping[str, Sequence[int]]) -> "Lengths":
        """Read what `to_mapping` wrote."""
        return Lengths(tuple(values["sources"]), tuple(values["targets"]))
