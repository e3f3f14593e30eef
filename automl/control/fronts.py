"""Pareto fronts: what is best where several things count."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

Values = Sequence[Sequence[float]]
"""Of each entry one value an objective; lower is better."""


def front(values: Values) -> list[int]:
    """Return the entries that no other is at least as good as in everything and better than in something."""
    return [place for place, layer in enumerate(layers(values)) if layer == 0]


def layers(values: Values) -> list[int]:
    """Return the number of each entry's front: 0 for the first, 1 for what is the front without that, and so on."""
    points = np.asarray(values, dtype=float).reshape(len(values), -1)
    worse = _dominated(points)
    found: Int[np.ndarray, " entries"] = np.full(len(points), -1)
    for number in range(len(points)):
        open_ = found < 0
        if not open_.any():
            break
        found[open_ & ~(worse & open_[:, None]).any(axis=0)] = number
    return [int(layer) for layer in found]


def crowding(values: Values) -> list[float]:
    """Return how much room each entry has between its neighbours (Deb et al., 2002); infinite at the ends."""
    points = np.asarray(values, dtype=float).reshape(len(values), -1)
    room: Float[np.ndarray, " entries"] = np.zeros(len(points))
    for axis in points.T:
        order = np.argsort(axis, kind="stable")
        spread = axis[order[-1]] - axis[order[0]]
        room[order[[0, -1]]] = np.inf
        if spread > 0 and np.isfinite(spread):
            room[order[1:-1]] += (axis[order[2:]] - axis[order[:-2]]) / spread
    return [float(each) for each in room]


def _dominated(points: Float[np.ndarray, "entries objectives"]) -> Bool[np.ndarray, "entries entries"]:
    """Return which entry, by row, dominates which, by column."""
    no_worse = (points[:, None] <= points[None]).all(axis=2)
    better = (points[:, None] < points[None]).any(axis=2)
    return np.asarray(no_worse & better)
