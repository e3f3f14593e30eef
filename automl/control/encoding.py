"""Configurations as points, so that what one trial has shown tells of its likes."""

import math
from collections.abc import Callable, Mapping

from search_spaces.dials import Choice, Dial, OneOf, Uniform, Value

KIND_DISTANCE = 0.7
"""How far apart two kinds are, where the ends of a range of numbers are 1 apart."""

Part = Callable[[Value | None], tuple[float, ...]]


def encoder(ranges: Mapping[str, Dial]) -> Callable[[Mapping[str, Value]], tuple[float, ...]]:
    """Return what turns the free dials of a configuration, by path, into a point of fixed length.

    A number lies where its place in the range is, on a logarithmic scale if the range spans much; a kind or a name
    has an axis of its own; a dial that the configuration does not have lies in the middle.
    """
    parts = {path: _part(dial) for path, dial in ranges.items()}

    def encode(parameters: Mapping[str, Value]) -> tuple[float, ...]:
        return tuple(x for path, part in parts.items() for x in part(parameters.get(path)))

    return encode


def _part(dial: Dial) -> Part:
    match dial:
        case Uniform(low, high, log):
            return _scale(low, high, log) if low < high else _nothing
        case Choice(values) if len(values) < 2:
            return _nothing
        case Choice(values):
            numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
            if len(numbers) < len(values):
                return _axes(values)
            low, high = float(min(numbers)), float(max(numbers))
            return _scale(low, high, low > 0 and high >= 3 * low)
        case OneOf() if len(dial.kinds) < 2:
            return _nothing
        case OneOf():
            return _axes(dial.names())


def _scale(low: float, high: float, log: bool) -> Part:
    turned = math.log if log else float

    def part(value: Value | None) -> tuple[float, ...]:
        if value is None:
            return (0.5,)
        return ((turned(float(value)) - turned(low)) / (turned(high) - turned(low)),)

    return part


def _axes(values: tuple[Value, ...]) -> Part:
    return lambda value: tuple(KIND_DISTANCE / math.sqrt(2) * (value == other) for other in values)


def _nothing(value: Value | None) -> tuple[float, ...]:
    del value
    return ()
