"""What follows for a trial from an attempt that gave no result."""

from typing import Literal, assert_never

from automl.errors import FailureReason

MOST_ATTEMPTS = 3
"""A trial that was lost so often in a row has failed."""
MOST_LOSSES = 5 * MOST_ATTEMPTS
"""So many lost attempts in a row, of whichever trials, are the machine's fault: the search halts and loses nothing."""

Consequence = Literal["keep", "halt", "retry", "go back", "fail"]
"""`keep`: nothing has happened to the trial. `halt`: nor has it, but no trial can go on here. `retry`: from its last
checkpoint, as often as `MOST_ATTEMPTS` allows. `go back`: likewise, from an earlier checkpoint. `fail`: it is over."""


def obstacle(failure: Exception) -> str:
    """Return the line for a search that halts, in which nothing is lost."""
    return f"{failure}; the same command goes on once that is mended"


def consequence(reason: FailureReason, *, has_trained: bool) -> Consequence:
    """Return what follows from a reason.

    Args:
        has_trained: Whether the trial has got through a segment before. If so, it fits into memory by itself, and what
            was too much came from beside it.
    """
    match reason:
        case FailureReason.STOPPED:
            return "keep"
        case FailureReason.STORAGE:
            return "halt"
        case FailureReason.WORKER_LOST | FailureReason.TIMEOUT:
            return "retry"
        case FailureReason.CORRUPT_CHECKPOINT:
            return "go back"
        case FailureReason.OUT_OF_MEMORY:
            return "retry" if has_trained else "fail"
        case FailureReason.NAN_LOSS | FailureReason.BAD_DATA | FailureReason.ERROR:
            return "fail"
        case other:
            assert_never(other)
