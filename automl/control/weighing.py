"""Several objectives as one, weighed anew for each decision.

Every other decision asks for the first objective alone. The others draw weights and ask for the least of

    max over objectives of weight * value    + a little of their sum    (values on their range so far, [0, 1])

as in ParEGO (Knowles, 2006). Every model on the Pareto front is the best under some weights, so at every rung what goes
on is in turn whatever leads somewhere on the front, and no model goes on that leads nowhere.
"""

from collections.abc import Sequence
from dataclasses import replace

from automl.control.curves import Candidate, Point

AUGMENTED = 0.05
"""Weight of the sum, which keeps what is worse in something and better in nothing from being as good."""
STRIDES = (0.6180339887498949, 0.7548776662466927, 0.5698402909980532, 0.8191725133961645)
"""Multiples of these fall evenly into [0, 1) (Roberts, 2018)."""

Weights = tuple[float, ...]


def weights_of(decision: int, objectives: int) -> Weights:
    """Return the weights of a decision by its number; they sum up to 1."""
    if objectives == 1 or decision % 2 == 0:
        return (1.0, *[0.0] * (objectives - 1))
    turn = decision // 2 + 1
    places = [(turn * STRIDES[axis % len(STRIDES)]) % 1.0 for axis in range(objectives)]
    if objectives == 2:
        return places[0], 1.0 - places[0]
    return tuple(place / sum(places) for place in places)


def weighed(candidates: Sequence[Candidate], weights: Weights) -> list[Candidate]:
    """Return the candidates with one objective and one loss, each on the scale of the first objective and the loss."""
    if weights[0] == 1.0:
        return list(candidates)
    points = [point for candidate in candidates for point in candidate.points]
    ranges = [
        _range([values(point)[axis] for point in points])
        for values in (_scores, _losses)
        for axis in range(len(weights))
    ]
    of_scores, of_losses = ranges[: len(weights)], ranges[len(weights) :]

    def one(point: Point) -> Point:
        return replace(
            point,
            objective=_scalar(_scores(point), of_scores, weights),
            loss=_scalar(_losses(point), of_losses, weights),
        )

    return [replace(candidate, points=tuple(map(one, candidate.points))) for candidate in candidates]


def _scores(point: Point) -> tuple[float, ...]:
    return (point.objective, *point.others)


def _losses(point: Point) -> tuple[float, ...]:
    return (point.loss, *point.others)


def _range(values: Sequence[float]) -> tuple[float, float]:
    return (min(values), max(values)) if values else (0.0, 0.0)


def _scalar(values: Sequence[float], ranges: Sequence[tuple[float, float]], weights: Weights) -> float:
    """Return the values as one, on the range of the first."""
    shares = [
        weight * (value - low) / (high - low) if high > low else 0.0
        for value, (low, high), weight in zip(values, ranges, weights, strict=True)
    ]
    low, high = ranges[0]
    return low + (high - low) * (max(shares) + AUGMENTED * sum(shares))
