"""Tiers: when it pays to compile a model whole that has been run in parts so far."""

from dataclasses import dataclass

LEAST_SECONDS = 2.0
"""So long the speed in parts is measured first."""
GAIN = 0.25
"""Share of the time that the whole saves: rows of each shape by themselves, one loop, no kinds that are not meant."""
USUAL_SECONDS = 10.0
"""What a program of the whole takes to compile, before there was one."""


@dataclass(frozen=True)
class Pace:
    """How a segment in parts has gone so far.

    Attributes:
        tokens: Target tokens of it.
        seconds: Of training.
        tokens_left: Those it is still to see; none where only the time ends it.
        seconds_left: Of the segment.
    """

    tokens: int
    seconds: float
    tokens_left: int | None
    seconds_left: float


def pays(pace: Pace, programs: int, compiling: float) -> bool:
    """Say whether the rest of a segment is so long that the whole saves more than it takes to compile.

    Args:
        pace: Of the segment.
        programs: How many are to be compiled, one a shape.
        compiling: Seconds that one takes, or 0 where none has been compiled yet.
    """
    if pace.seconds < LEAST_SECONDS or pace.tokens <= 0:
        return False
    left = pace.seconds_left
    if pace.tokens_left is not None:
        left = min(left, pace.tokens_left * pace.seconds / pace.tokens)
    return GAIN * left > programs * (compiling or USUAL_SECONDS)
