"""The head start of the first trial: a second worker compiles what it goes on with while it has its first look.

What is compiled in the first seconds is most of what they are for, and the default is what they are worth most to;
another family can wait for as long.
"""

from concurrent.futures import Future

from automl.control.journal import Journal
from automl.executors import Executor
from automl.segments import Preparation, Result, Segment


class HeadStart:
    """At most one preparation, of the trial that begins first; where it fails, trials compile for themselves."""

    def __init__(self, executor: Executor, journal: Journal, *, is_wanted: bool) -> None:
        self._executor = executor
        self._journal = journal
        self._is_wanted = is_wanted and executor.workers > 1
        self._future: Future[Result] | None = None

    @property
    def workers(self) -> int:
        """How many workers it has, or is about to have."""
        return int(self._is_wanted if self._future is None else not self._future.done())

    def follow(self, segment: Segment) -> None:
        """Prepare a trial whose first segment was submitted, if it is the first of all."""
        if self._is_wanted and self._future is None:
            self._journal.record("prepare", f"compiles what trial {segment.trial} goes on with beside its first look")
            self._future = self._executor.submit(Preparation(segment.trial, segment.configuration))
