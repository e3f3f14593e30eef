"""Watches over one job of a trainer process: whether it gets on, what it uses, and what its end means."""

import signal
from collections.abc import Callable
from time import monotonic

from automl.errors import FailureReason, TrialFailure
from automl.executors.limits import Limits
from automl.segments import Beat, Job, Phase

UNBOUNDED: tuple[Phase, ...] = ("evaluating", "writing")
"""Phases that may last as long as they get on, however long their job was to be."""


class Supervision:
    """One job, from the moment that it was handed over.

    A process that is alive proves nothing: only a new phase, or a step or a part of it that grows, moves the deadline.
    """

    def __init__(
        self, job: Job, limits: Limits, memory: int | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        """Begin to watch; without `memory`, what the process holds is no matter of this job."""
        self._limits = limits
        self._memory = memory
        self._clock = clock
        self._last = Beat("starting")
        self._began = self._moved = clock()
        self._deadline = limits.deadline(job)
        self._told_to_stop: float | None = None
        self.abandoned = False

    def note(self, beat: Beat) -> None:
        """Take a sign of life."""
        last = self._last
        if (beat.phase, beat.step, beat.part) != (last.phase, last.step, last.part):
            self._moved = self._clock()
        self._last = beat

    def told_to_stop(self) -> None:
        """Note that the job shall end early; the first time counts."""
        self._told_to_stop = self._told_to_stop or self._clock()

    @property
    def shall_stop(self) -> bool:
        """Whether the job was told to stop."""
        return self._told_to_stop is not None

    def violation(self, memory: int = 0) -> TrialFailure | None:
        """Say why the process that holds so many bytes must be killed now, if it must."""
        now, limits, last = self._clock(), self._limits, self._last
        if (excess := excessive(memory, self._memory)) is not None:
            return excess
        if now - self._moved > limits.seconds(last.phase):
            return _overdue(f"no progress for {limits.seconds(last.phase):.0f} s while {_where(last)}")
        if self._told_to_stop is not None and now - self._told_to_stop > limits.drain:
            return TrialFailure(FailureReason.STOPPED, f"did not stop in {limits.drain:.0f} s while {_where(last)}")
        if now - self._began > self._deadline and last.phase not in UNBOUNDED:
            return _overdue(f"not done in {self._deadline:.0f} s, {_where(last)}")
        return None


def excessive(memory: int, most: int | None) -> TrialFailure | None:
    """Say why a process that holds so many bytes must be killed, if it must."""
    if most is None or memory <= most:
        return None
    return _exhausted(f"{memory >> 20:,} MiB are more than its {most >> 20:,} MiB")


def _where(beat: Beat) -> str:
    return f"{beat.phase} at step {beat.step}" if beat.step else beat.phase


def _overdue(message: str) -> TrialFailure:
    return TrialFailure(FailureReason.TIMEOUT, message)


def _exhausted(message: str) -> TrialFailure:
    return TrialFailure(FailureReason.OUT_OF_MEMORY, message)


def ending(code: int, *, out_of_memory: bool = False) -> TrialFailure:
    """Return what it means that a process ended by itself in the midst of a job.

    Args:
        code: Its exit code; below zero the signal that ended it.
        out_of_memory: Whether the kernel killed one of our processes for want of memory while it ran.
    """
    match -code:
        case signal.SIGKILL if out_of_memory:
            return _exhausted("the system killed the worker process for want of memory")
        case signal.SIGXCPU:
            return _overdue("the worker process used up its processor time (SIGXCPU)")
        case signal.SIGXFSZ:
            return TrialFailure(FailureReason.STORAGE, "the worker process may not write so large a file (SIGXFSZ)")
        case number if number > 0:
            return TrialFailure(FailureReason.WORKER_LOST, f"the worker process ended (signal {_named(number)})")
        case _:
            return TrialFailure(FailureReason.WORKER_LOST, f"the worker process ended (exit code {code})")


def _named(number: int) -> str:
    try:
        return f"{number}, {signal.Signals(number).name}"
    except ValueError:
        return str(number)
