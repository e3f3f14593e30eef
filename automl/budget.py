"""How long a search may go on, and the short forms in which people write amounts."""

import math
import re
from dataclasses import dataclass
from typing import Literal, cast

from automl.errors import InputError

Finish = Literal["single", "ensemble", "distill"]
Operator = Literal["<=", ">=", "<", ">"]
Target = tuple[str, Operator, float]
"""A score at which the search is done: metric, operator, value."""

_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[dhms])\s*", re.IGNORECASE)
_COUNTS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}


@dataclass(frozen=True)
class Budget:
    """Limits of a whole search, whichever comes first; none where there is no limit.

    Attributes:
        time: Seconds of wall clock, from reading the data to the exported winner.
        trials: Number of trials.
        device_time: Seconds of computing, added up over the devices.
        target: Score at which the search is done.
        finish: What is made of the best trials at the end: nothing, an ensemble, or one model that learns from it; a
            fifth of the time is kept for it.
    """

    time: float | None = None
    trials: int | None = None
    device_time: float | None = None
    target: Target | None = None
    finish: Finish = "single"

    @property
    def is_endless(self) -> bool:
        """Whether there is no limit."""
        return (self.time, self.trials, self.device_time, self.target) == (None,) * 4


def parse_duration(text: str | float) -> float:
    """Read a duration such as "10m", "1h30m", "90s" or a number of seconds, in seconds.

    Raises:
        InputError: It is malformed or not above zero.
    """
    seconds = _seconds(text.strip()) if isinstance(text, str) else float(text)
    if seconds is None or not 0 < seconds < math.inf:
        raise InputError(f'duration {text!r} is not understood; write it like "90s", "10m" or "1h30m"')
    return seconds


def _seconds(text: str) -> float | None:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not re.fullmatch(f"(?:{_PART.pattern})+", text, re.IGNORECASE):
        return None
    return sum(float(part[1]) * _SECONDS[part[2].lower()] for part in _PART.finditer(text))


def parse_parameters(text: str | int) -> int:
    """Read a number of parameters such as "5M", "250k" or 1000000.

    Raises:
        InputError: It is malformed or not above zero.
    """
    count = _count(text)
    if count is None:
        raise InputError(f'number of parameters {text!r} is not understood; write it like "250k" or "5M"')
    return count


def parse_operations(text: str | int) -> int:
    """Read a number of floating-point operations such as "50M" or "1.5G".

    Raises:
        InputError: It is malformed or not above zero.
    """
    count = _count(text)
    if count is None:
        raise InputError(f'number of operations {text!r} is not understood; write it like "50M" or "1.5G"')
    return count


def parse_memory(text: str | int) -> int:
    """Read a number of bytes such as "2G" or "500M", in thousands.

    Raises:
        InputError: It is malformed or not above zero.
    """
    match = re.fullmatch(r"(.*\d\s*[KMG]?)B?", str(text).strip(), re.IGNORECASE)
    count = _count(match[1]) if match else None
    if count is None:
        raise InputError(f'memory {text!r} is not understood; write it like "500M" or "2G"')
    return count


def _count(text: str | int) -> int | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGB]?)", str(text).strip(), re.IGNORECASE)
    count = round(float(match[1]) * _COUNTS[match[2].upper()]) if match else 0
    return count if count >= 1 else None


def parse_target(text: str) -> Target:
    """Read a target score such as "sequence_error_rate<=0.25".

    Raises:
        InputError: It is malformed.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)\s*", text, re.IGNORECASE)
    if match is None:
        raise InputError(f'target {text!r} is not understood; write it like "sequence_error_rate<=0.25"')
    return match[1], cast("Operator", match[2]), float(match[3])


def reached(target: Target, score: float) -> bool:
    """Whether a score of the target's metric meets it."""
    _, operator, value = target
    match operator:
        case "<=":
            return score <= value
        case ">=":
            return score >= value
        case "<":
            return score < value
        case ">":
            return score > value
