"""Many jobs in one process, which owns the accelerator and trains like models together."""

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count

from automl.errors import FailureReason, TrialFailure
from automl.executors.limits import DEFAULT_LIMITS, Limits, share_of_memory
from automl.executors.processes import WATCH_SECONDS, Child
from automl.executors.runner import POPULATION, outcome
from automl.executors.supervision import Supervision, excessive
from automl.segments import Beat, Job, Result, Workload


@dataclass(eq=False)
class _Seat:
    """A job, and whether the process has it."""

    job: Job
    future: Future[Result]
    number: int
    supervision: Supervision | None = None
    line: str = ""


class SlotsExecutor:
    """Runs up to `workers` jobs at the same time in one process, which is replaced when it dies.

    When it dies under several jobs, or its memory is too small for all of them, none is blamed: they were stopped, and
    each is run alone the next time, so that one which kills its process, or fits nowhere, is found out.
    `shutdown(wait=False)` kills the process. It dies with the caller, too.
    """

    def __init__(
        self, workload: Workload, workers: int, runner: str = POPULATION, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.workers = workers
        self._workload, self._runner, self._limits = workload, runner, limits
        self._memory = limits.memory or share_of_memory(1)
        self._numbers = count()
        self._waiting: deque[_Seat] = deque()
        self._taken: dict[int, _Seat] = {}
        self._suspects: set[int] = set()
        self._child: Child | None = None
        self._closed = self._killed = self._abandoned = False
        self._lock = threading.RLock()  # a signal handler may stop the executor in the midst of a stop
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Future[Result]:
        if self._closed:
            raise RuntimeError("the executor is shut down")
        seat = _Seat(job, Future(), next(self._numbers), line=f"trial {job.trial}: starting")
        with self._lock:
            self._waiting.append(seat)
            self._admit()
        return seat.future

    def stop(self) -> None:
        with self._lock:
            for seat in self._taken.values():
                if seat.supervision is not None:
                    seat.supervision.told_to_stop()
            if self._child is not None:
                self._child.send("stop")

    def abandon(self) -> None:
        with self._lock:
            if self._child is not None and self._taken:
                self._abandoned = True
                self._child.kill()

    def status(self) -> list[str]:
        with self._lock:
            lines = [seat.line for seat in (*self._taken.values(), *self._waiting)]
        return [*lines, *["idle"] * (self.workers - len(lines))][: self.workers]

    def shutdown(self, wait: bool = True) -> None:
        self._closed = True
        with self._lock:
            if not wait:
                self._killed = True
                if self._child is not None:
                    self._child.kill()
        self._thread.join()

    def _admit(self) -> None:
        """Hand over the jobs that may run beside those that do; one under suspicion runs alone."""
        while self._waiting and len(self._taken) < self.workers and self._child is not None and self._child.alive():
            seat = self._waiting[0]
            suspected = any(own.job.trial in self._suspects for own in (seat, *self._taken.values()))
            if suspected and self._taken:
                return
            self._waiting.popleft()
            if seat.future.set_running_or_notify_cancel():
                seat.supervision = Supervision(seat.job, self._limits)
                self._taken[seat.number] = seat
                self._child.give((seat.number, seat.job))

    def _watch(self) -> None:
        """Drive the process; it dies with this thread, which starts it."""
        while not (self._closed and not self._waiting and not self._taken):
            match outcome(self._turn):
                case TrialFailure() as failure:  # no process can be started
                    with self._lock:
                        self._taken |= {seat.number: seat for seat in self._waiting}
                        self._waiting.clear()
                        self._fail(failure)
                case _:
                    pass
        with self._lock:
            self._drop()

    def _turn(self) -> None:
        child = self._living()
        if child.pipe.poll(WATCH_SECONDS):
            try:
                self._note(*child.pipe.recv())
            except (EOFError, OSError):
                self._ended(child.ending())
                return
        with self._lock:
            excess = excessive(child.memory(), self._memory)
            if excess is not None:  # of them all: nobody knows whose it is
                child.kill()
                self._ended(excess)
                return
            for seat in list(self._taken.values()):
                violation = None if seat.supervision is None else seat.supervision.violation()
                if violation is not None:
                    child.kill()
                    self._ended(violation, seat)
                    return

    def _living(self) -> Child:
        with self._lock:
            # of one that died with jobs the pipe says so, after what it said before
            idle = not self._killed and not self._taken
            if self._child is None or (idle and not self._child.alive()):
                self._drop()
                self._child = Child(self._runner, self._workload, self._limits)
                if self._killed:
                    self._child.kill()
            self._admit()
            return self._child

    def _note(self, number: int, message: Beat | Result | TrialFailure) -> None:
        with self._lock:
            seat = self._taken[number]
            if isinstance(message, Beat):
                seat.line = f"trial {seat.job.trial}: {message}"
                if seat.supervision is not None:
                    seat.supervision.note(message)
                return
            del self._taken[number]
            self._suspects.discard(seat.job.trial)
            if isinstance(message, TrialFailure) and message.reason is FailureReason.STOPPED:
                self._suspects.add(seat.job.trial)
            self._admit()
        _settle(seat.future, message)

    def _ended(self, failure: TrialFailure, guilty: _Seat | None = None) -> None:
        """Fail what the process had: the job that is to blame with the reason, the others blamelessly."""
        with self._lock:
            if self._abandoned:
                self._abandoned = False
                self._fail(TrialFailure(FailureReason.STOPPED, "given up, since the time was over"))
            elif guilty is None and len(self._taken) > 1 and not self._killed:
                self._suspects |= {seat.job.trial for seat in self._taken.values()}
                self._fail(TrialFailure(FailureReason.STOPPED, f"{failure}; other trials trained beside it"))
            else:
                if guilty is not None:
                    _settle(self._taken.pop(guilty.number).future, failure)
                    failure = TrialFailure(FailureReason.STOPPED, "its process was killed for another trial")
                self._fail(failure)
            self._drop()

    def _fail(self, failure: TrialFailure) -> None:
        failed, self._taken = list(self._taken.values()), {}
        for seat in failed:
            _settle(seat.future, failure)

    def _drop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _settle(future: Future[Result], answer: Result | TrialFailure) -> None:
    if isinstance(answer, TrialFailure):
        future.set_exception(answer)
    else:
        future.set_result(answer)
