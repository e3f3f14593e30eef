"""Lengths: how long a target may become for a source of so many tokens, learnt from the pairs of train."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXTRA = 10
"""Tokens that every target may have beyond the slack."""


@dataclass(frozen=True)
class Lengths:
    """The longest targets of train by the length of their sources.

    Sources longer than all of train may have targets that are longer in proportion: never is the longest target of
    train the limit for whatever comes.

    Attributes:
        sources: Rising lengths of sources; the last one is the longest.
        targets: The longest target of the sources up to each of these.
    """

    sources: tuple[int, ...]
    targets: tuple[int, ...]

    @staticmethod
    def learn(sources: NDArray[np.int64], targets: NDArray[np.int64]) -> "Lengths":
        """Look at the pairs of train at every doubling of the length of sources."""
        longest = max(int(sources.max(initial=1)), 1)
        steps = [2**power for power in range(longest.bit_length()) if 2**power < longest] + [longest]
        steps = [step for step in steps if (sources <= step).any()]  # shorter ones have the targets of the shortest
        return Lengths(tuple(steps), tuple(int(targets[sources <= step].max()) for step in steps))

    def most(self, source: int, slack: float) -> int:
        """Return the most tokens of a target: those seen, times the slack, and a few."""
        seen = next((said for step, said in zip(self.sources, self.targets, strict=True) if source <= step), None)
        expected = self.targets[-1] * max(source / self.sources[-1], 1.0) if seen is None else seen
        return math.ceil(slack * expected) + EXTRA

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"sources": list(self.sources), "targets": list(self.targets)}

    @staticmethod
    def from_mapping(values: dict[str, Sequence[int]]) -> "Lengths":
        """Read what `to_mapping` wrote."""
        return Lengths(tuple(map(int, values["sources"])), tuple(map(int, values["targets"])))
