"""One worker: the calling process itself."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType

from automl.errors import TrialFailure
from automl.executors.runner import outcome
from automl.segments import Beat, Job, Result, Runner


class InlineExecutor:
    """Runs each job to its end while it is submitted.

    Ctrl-C during a job lets it end at its next chunk boundary and is delivered with the next `submit`, so that the
    result is not lost; a second Ctrl-C interrupts at once. A caller with a handler of its own keeps it.
    """

    workers = 1

    def __init__(self, runner_factory: Callable[[], Runner]) -> None:
        self._runner_factory = runner_factory
        self._runner: Runner | None = None
        self._stop = threading.Event()
        self._interrupted = False
        self._closed = False
        self._line = "idle"

    def submit(self, job: Job) -> Future[Result]:
        if self._closed:
            raise RuntimeError("the executor is shut down")
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt
        future: Future[Result] = Future()
        with self._deferred_interrupt():
            match outcome(lambda: self._run(job)):
                case TrialFailure() as failure:
                    future.set_exception(failure)
                case result:
                    future.set_result(result)
        self._stop.clear()
        self._line = "idle"
        return future

    def stop(self) -> None:
        self._stop.set()

    def abandon(self) -> None:
        """Do as `stop` does: the job runs in the caller's own process."""
        self.stop()

    def status(self) -> list[str]:
        return [self._line]

    def shutdown(self, wait: bool = True) -> None:
        del wait
        self._closed = True
        self._runner = None

    def _run(self, job: Job) -> Result:
        def report(beat: Beat) -> None:
            self._line = f"trial {job.trial}: {beat}"

        report(Beat("starting"))
        self._runner = self._runner or self._runner_factory()
        return self._runner.run(job, report, self._stop.is_set)

    @contextmanager
    def _deferred_interrupt(self) -> Iterator[None]:
        default = signal.default_int_handler
        if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not default:
            yield
            return

        def interrupt(number: int, frame: FrameType | None) -> None:
            if self._interrupted:
                default(number, frame)
            self._interrupted = True
            self._stop.set()

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, default)
