"""Several workers: one process each, told apart from the caller by a pipe and a death that costs one segment only."""

import multiprocessing
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from automl.errors import FailureReason, TrialFailure
from automl.executors.runner import TRAINER, outcome
from automl.segments import Job, Result, Workload


def environment(workload: Workload, inherited: Mapping[str, str]) -> dict[str, str]:
    """Environment of a worker: our import path, and one thread for XLA and BLAS where the workload says so."""
    changed = {**inherited, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}
    if workload.threads == 1:
        flags = f"{inherited.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
        changed |= {"NPROC": "1", "PJRT_NPROC": "1", "OMP_NUM_THREADS": "1", "XLA_FLAGS": flags}
    return changed


_LOST = (FailureReason.WORKER_LOST, FailureReason.TIMEOUT)


class ProcessExecutor:
    """Runs jobs in `workers` processes, which are started now and replaced when they die.

    A process that dies fails its job with WORKER_LOST; one that neither reports nor answers for `deadline` seconds is
    killed, and fails it with TIMEOUT. `shutdown(wait=False)` kills the processes.
    """

    def __init__(self, workload: Workload, workers: int, runner: str = TRAINER, deadline: float = 600.0) -> None:
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Result]] | None] = queue.SimpleQueue()
        self._lanes = [_Lane(self._jobs, runner, workload, deadline) for _ in range(workers)]
        self._closed = False
        for lane in self._lanes:
            lane.start()

    @property
    def workers(self) -> int:
        return len(self._lanes)

    def submit(self, job: Job) -> Future[Result]:
        if self._closed:
            raise RuntimeError("the executor is shut down")
        future: Future[Result] = Future()
        self._jobs.put((job, future))
        return future

    def stop(self) -> None:
        for lane in self._lanes:
            lane.stop()

    def status(self) -> list[str]:
        return [lane.line for lane in self._lanes]

    def shutdown(self, wait: bool = True) -> None:
        self._closed = True
        for lane in self._lanes:
            self._jobs.put(None)
            if not wait:
                lane.kill()
        for lane in self._lanes:
            lane.join()


class _Lane(threading.Thread):
    """Drives one process at a time: hands it a job, listens until the outcome, replaces it when it is gone."""

    def __init__(
        self,
        jobs: "queue.SimpleQueue[tuple[Job, Future[Result]] | None]",
        runner: str,
        workload: Workload,
        deadline: float,
    ) -> None:
        super().__init__(daemon=True)
        self.line = "idle"
        self._jobs = jobs
        self._runner = runner
        self._workload = workload
        self._deadline = deadline
        self._lock = threading.RLock()  # a signal handler may stop the executor in the midst of a stop
        self._busy = False
        self._killed = False
        self._child = _Child(runner, workload)

    def run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            if not future.set_running_or_notify_cancel():
                continue
            match outcome(partial(self._outcome, job)):
                case TrialFailure() as failure:
                    future.set_exception(failure)
                case result:
                    future.set_result(result)
        self._child.close()

    def stop(self) -> None:
        with self._lock:
            if self._busy:
                self._child.send("stop")

    def kill(self) -> None:
        with self._lock:
            self._killed = True
            self._child.kill()

    def _outcome(self, job: Job) -> Result | TrialFailure:
        self.line = f"trial {job.trial}: starting"
        with self._lock:
            if not self._child.alive():
                self._replace()
            self._busy = self._child.send(job)
        answer = self._listen(job)
        with self._lock:
            self._busy = False
            if isinstance(answer, TrialFailure) and answer.reason in _LOST:
                self._replace()
        self.line = "idle"
        return answer

    def _replace(self) -> None:
        if not self._killed:
            self._child.close()
            self._child = _Child(self._runner, self._workload)

    def _listen(self, job: Job) -> Result | TrialFailure:
        while self._child.pipe.poll(self._deadline):
            try:
                message = self._child.pipe.recv()
            except (EOFError, OSError):
                return TrialFailure(FailureReason.WORKER_LOST, f"the worker process ended ({self._child.ending()})")
            if not isinstance(message, str):
                answer: Result | TrialFailure = message
                return answer
            self.line = f"trial {job.trial}: {message}"
        self._child.kill()
        return TrialFailure(FailureReason.TIMEOUT, f"no sign of life for {self._deadline:.0f} s")


class _Child:
    """One process, started from a fresh interpreter so that it shares no state, no `__main__` and no lock with us.

    It is in a process group of its own: Ctrl-C on the terminal is for the parent to judge.
    """

    def __init__(self, runner: str, workload: Workload) -> None:
        ours, theirs = multiprocessing.Pipe()
        self.pipe = ours
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "automl.executors.child", str(theirs.fileno())],
            env=environment(workload, os.environ),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=sys.__stderr__,
            process_group=0,
        )
        theirs.close()
        self.send((runner, workload))

    def send(self, message: Any) -> bool:
        """Whether the process could still be told."""
        try:
            self.pipe.send(message)
        except OSError:
            return False
        return True

    def alive(self) -> bool:
        return self._process.poll() is None

    def ending(self) -> str:
        code = self._process.wait(timeout=10)
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self.pipe.close()
