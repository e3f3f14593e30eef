"""Learning rates and averages of the parameters, from step to step."""

import math
from collections.abc import Mapping
from typing import Any

FLOOR = 0.1
"""Share of the rate that is left from the horizon on."""


def learning_rate(rate: float, schedule: Mapping[str, Any], step: int) -> float:
    """Return the rate of a step, counted from 0."""
    warmup = schedule["warmup_steps"]
    return float(rate * min(1.0, (step + 1) / warmup) * _shape(schedule, warmup, step))


def _shape(schedule: Mapping[str, Any], warmup: int, step: int) -> float:
    match schedule["kind"]:
        case "WarmupStableDecay":
            return math.sqrt(schedule["stable_steps"] / max(step + 1, schedule["stable_steps"]))
        case "InverseSquareRoot":
            return math.sqrt(warmup / max(step + 1, warmup))
        case "Cosine":
            return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * _way(schedule, warmup, step))) / 2
        case "Linear":
            return 1 - (1 - FLOOR) * _way(schedule, warmup, step)
        case other:
            raise NotImplementedError(f"schedule {other}")


def _way(schedule: Mapping[str, Any], warmup: int, step: int) -> float:
    return min(max((step + 1 - warmup) / max(schedule["horizon"] - warmup, 1), 0.0), 1.0)


def average_share(averaging: Mapping[str, Any], step: int) -> float:
    """Return the share that the parameters after a step have in their average."""
    match averaging["kind"]:
        case "ExponentialAverage":
            return float(1 - min(averaging["decay"], (1 + step) / (10 + step)))
        case "PolynomialAverage":
            return float((averaging["power"] + 1) / (step + 1 + averaging["power"]))
        case other:
            raise NotImplementedError(f"averaging {other}")
