"""Where a search left its checkpoints: one that is out of reach is told from one that is damaged, and costs nothing."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from automl.errors import FailureReason, TrialFailure
from automl.segments import Result, SegmentResult
from storage import objects
from storage.buckets import Unreachable


@contextmanager
def in_reach() -> Iterator[None]:
    """Turn a place that is not there, or does not answer, into a `TrialFailure` that charges nothing to a trial."""
    try:
        yield
    except Unreachable as error:
        raise TrialFailure(FailureReason.STORAGE, str(error)) from error


def returned(future: "Future[Result]", checkpoints: objects.Place, known: Iterable[str]) -> SegmentResult:
    """Return what a segment brought.

    Args:
        known: The checkpoints that the search has left there. Where none of them is, a disk was unmounted or a folder
            renamed: nothing is said of them by one that is missing, and a new one lies where nobody will look for it.

    Raises:
        TrialFailure: It brought nothing, or none of the others is there (`STORAGE`).
    """
    match future.exception():
        case None:
            if isinstance(checkpoints, Path):  # at a URL it would be a question to a server for each segment
                check(checkpoints, known)
            result = future.result()
            assert isinstance(result, SegmentResult)
            return result
        case TrialFailure(reason=FailureReason.CORRUPT_CHECKPOINT) as failure:
            check(checkpoints, known)
            raise failure
        case TrialFailure() as failure:
            raise failure
        case error:
            raise TrialFailure(FailureReason.ERROR, type(error).__name__)


def check(checkpoints: objects.Place, known: Iterable[str]) -> None:
    """Make sure that at least one of those that the search has left there is there, if there are any.

    Raises:
        TrialFailure: None is (`STORAGE`).
    """
    with in_reach():
        objects.check_any(checkpoints, known)


def is_damaged(checkpoints: objects.Place, digest: str) -> bool:
    """Whether a checkpoint is known not to be as it was written."""
    try:
        return not objects.is_sound(checkpoints, digest)
    except Unreachable:
        return False


def size(checkpoints: objects.Place, digest: str) -> int:
    """Bytes of a checkpoint that was just written.

    Raises:
        TrialFailure: It is not there, or cannot be reached (`STORAGE`).
    """
    try:
        with in_reach():
            return objects.size(checkpoints, digest)
    except FileNotFoundError:
        line = f"{checkpoints}: checkpoint {digest[:12]} was written and is not there"
        raise TrialFailure(FailureReason.STORAGE, line) from None
