"""An executor by whose clock each job takes as long as is expected of it, so that a search can be repeated exactly."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from automl.segments import Job, Result, Segment, SegmentResult

if TYPE_CHECKING:
    from automl.executors import Executor

COMPILING, EVALUATING, WRITING = 10.0, 1.0, 0.1
"""Seconds that are expected of a first segment's compilation, and of what follows on training."""


class ForetoldExecutor:
    """Runs each job to its end in the calling process; measured times are replaced by expected ones.

    A limit of seconds is taken off the segments: they end by their tokens alone.
    """

    workers = 1

    def __init__(self, executor: "Executor", seconds_a_token: Callable[[Segment], float]) -> None:
        """Run jobs by another executor.

        Args:
            executor: Runs them.
            seconds_a_token: Training seconds that are expected of a target token.
        """
        self._executor = executor
        self._seconds_a_token = seconds_a_token
        self._now = 0.0

    def clock(self) -> float:
        """Return the seconds that all jobs so far should have taken."""
        return self._now

    def submit(self, job: Job) -> Future[Result]:
        if not isinstance(job, Segment):
            self._now += EVALUATING
            return self._executor.submit(job)
        future = self._executor.submit(replace(job, seconds=None))
        if future.exception() is not None:
            self._now += COMPILING
            return future
        result = future.result()
        assert isinstance(result, SegmentResult)
        foretold: Future[Result] = Future()
        foretold.set_result(self._foretold(job, result))
        return foretold

    def _foretold(self, job: Segment, result: SegmentResult) -> SegmentResult:
        new = result.tokens * (result.step - job.from_step) / result.step
        seconds = {
            "tokenizing": 0.0,
            "training": new * self._seconds_a_token(job),
            "compiling": 0.0 if job.from_step else COMPILING,
            "evaluating": EVALUATING,
            "writing": WRITING,
        }
        self._now += sum(seconds.values())
        return replace(result, seconds=seconds)

    def stop(self) -> None:
        self._executor.stop()

    def abandon(self) -> None:
        self._executor.abandon()

    def status(self) -> list[str]:
        return self._executor.status()

    def shutdown(self, wait: bool = True) -> None:
        self._executor.shutdown(wait)
