"""What can go wrong, in words for the person who has to mend it."""

from enum import StrEnum


class InputError(Exception):
    """The input is wrong: one line that says what, where, and what would be right (exit code 2)."""


class NameTaken(InputError):
    """There is another search of that name."""


class Obstacle(Exception):
    """The machine does not let a search go on: one line that says why; everything is kept (exit code 130)."""


class FailureReason(StrEnum):
    """Why a trial ended without a result."""

    NAN_LOSS = "NAN_LOSS"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    TIMEOUT = "TIMEOUT"
    BAD_DATA = "BAD_DATA"
    WORKER_LOST = "WORKER_LOST"
    STORAGE = "STORAGE"
    CORRUPT_CHECKPOINT = "CORRUPT_CHECKPOINT"
    STOPPED = "STOPPED"
    ERROR = "ERROR"


class TrialFailure(Exception):
    """A trial cannot go on.

    The message names the cause without any text of the training data.
    """

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["TrialFailure"], tuple[FailureReason, str]]:
        return (TrialFailure, (self.reason, str(self)))
