"""Several workers: one process each, watched over, and told apart from the caller by a pipe and a death of its own."""

import multiprocessing
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from automl.errors import FailureReason, TrialFailure
from automl.executors.devices import share
from automl.executors.limits import (
    DEFAULT_LIMITS,
    GIGABYTE,
    Limits,
    out_of_memory_kills,
    private_memory,
    share_of_memory,
)
from automl.executors.runner import TRAINER, outcome
from automl.executors.supervision import Supervision, ending
from automl.hardware import gpus, has_accelerator
from automl.segments import Beat, Job, Result, Workload

WATCH_SECONDS = 1.0
SWOLLEN = 0.7
"""Share of its memory beyond which a process is replaced between two jobs: programs that it compiled stay in it."""
NO_DEVICES: Mapping[str, str] = {}


def environment(workload: Workload, inherited: Mapping[str, str]) -> dict[str, str]:
    """Environment of a worker: our import path, and as many threads for XLA and BLAS as the workload says.

    Each of several threads computes for a device of its own, since operations as small as these gain little by being
    shared among threads.
    """
    changed = {**inherited, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}
    threads = workload.threads
    if threads:
        flags = f"{inherited.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
        flags += f" --xla_force_host_platform_device_count={threads}" if threads > 1 else ""
        changed |= {
            "NPROC": f"{threads}",
            "PJRT_NPROC": f"{threads}",
            "OMP_NUM_THREADS": "1",
            "XLA_FLAGS": flags.strip(),
        }
    return changed


class ProcessExecutor:
    """Runs jobs in `workers` processes, which are started now and replaced when they die.

    A process that dies fails its job with what its death means; one that does not get on, or holds more memory than
    `limits` allow, is killed and fails it with TIMEOUT or OUT_OF_MEMORY. `shutdown(wait=False)` kills the processes.
    They die with the caller, too, however that ends.
    """

    def __init__(
        self, workload: Workload, workers: int, runner: str = TRAINER, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Result]] | None] = queue.SimpleQueue()
        limits = replace(limits, memory=limits.memory or share_of_memory(workers))
        names = gpus()
        shares = [share(worker, workers, names, os.environ) for worker in range(workers)]
        self._lanes = [_Lane(self._jobs, runner, workload, limits, own) for own in shares]
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

    def abandon(self) -> None:
        for lane in self._lanes:
            lane.abandon()

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
    """Drives one process at a time: hands it a job, watches over it until the outcome, replaces it when it is gone.

    The process is started by this thread, since it dies with the thread that has started it.
    """

    def __init__(
        self,
        jobs: "queue.SimpleQueue[tuple[Job, Future[Result]] | None]",
        runner: str,
        workload: Workload,
        limits: Limits,
        devices: Mapping[str, str],
    ) -> None:
        super().__init__(daemon=True)
        self.line = "idle"
        self._jobs = jobs
        self._runner = runner
        self._workload = workload
        self._limits = limits
        self._devices = devices
        self._lock = threading.RLock()  # a signal handler may stop the executor in the midst of a stop
        self._supervision: Supervision | None = None
        self._killed = False
        self._abandoned = False
        self._child: Child | None = None

    def run(self) -> None:
        self._prepare()
        while (item := self._jobs.get()) is not None:
            job, future = item
            if not future.set_running_or_notify_cancel():
                continue
            match outcome(partial(self._outcome, job)):
                case TrialFailure() as failure:
                    future.set_exception(failure)
                case result:
                    future.set_result(result)
            self._prepare()
        self._drop_child()

    def _prepare(self) -> None:
        """Let a process load its libraries while there is no job; one that has grown makes room for another."""
        with self._lock:
            if self._child is not None and not self._killed and self._is_swollen(self._child):
                self._drop_child()
        with suppress(OSError):  # the next job will say so
            self._living_child()

    def _is_swollen(self, child: "Child") -> bool:
        return self._limits.memory is not None and child.memory() > SWOLLEN * self._limits.memory

    def stop(self) -> None:
        with self._lock:
            if self._supervision is not None and self._child is not None:
                self._supervision.told_to_stop()
                self._child.send("stop")

    def abandon(self) -> None:
        with self._lock:
            if self._supervision is not None and self._child is not None:
                self._abandoned = True
                self._child.kill()

    def kill(self) -> None:
        with self._lock:
            self._killed = True
            if self._child is not None:
                self._child.kill()

    def _outcome(self, job: Job) -> Result | TrialFailure:
        """Run a job; where memory ran out in a process that held what others had left, once more in a new one."""
        child, supervision = self._begun(job)
        answer = self._listen(job, child, supervision)
        with self._lock:  # whoever stops or gives up the job does so before another one begins, or after
            is_to_go_on = not (self._abandoned or self._killed or supervision.shall_stop)
            is_due_to_others = is_to_go_on and child.jobs > 1 and _is_exhausted(answer)
            if is_due_to_others:
                self._drop_child()
                child, supervision = self._begun(job)
        if is_due_to_others:
            answer = self._listen(job, child, supervision)
        with self._lock:
            self._supervision = None
            abandoned, self._abandoned = self._abandoned, False
        self.line = "idle"
        return TrialFailure(FailureReason.STOPPED, "given up, since the time was over") if abandoned else answer

    def _begun(self, job: Job) -> "tuple[Child, Supervision]":
        """Hand a job over to the process."""
        self.line = f"trial {job.trial}: starting"
        with self._lock:
            self._supervision = None
            child = self._living_child()
            supervision = self._supervision = Supervision(job, self._limits, self._limits.memory)
            child.give(job)
            return child, supervision

    def _living_child(self) -> "Child":
        with self._lock:
            if self._child is not None and (self._killed or self._child.alive()):
                return self._child
            self._drop_child()
            self._child = Child(self._runner, self._workload, self._limits, self._devices)
            if self._killed:
                self._child.kill()
            return self._child

    def _drop_child(self) -> None:
        with self._lock:
            if self._child is not None:
                self._child.close()
                self._child = None

    def _listen(self, job: Job, child: "Child", supervision: Supervision) -> Result | TrialFailure:
        while True:
            if child.pipe.poll(WATCH_SECONDS):
                try:
                    message = child.pipe.recv()
                except (EOFError, OSError):
                    return child.ending()
                if not isinstance(message, Beat):
                    answer: Result | TrialFailure = message
                    return answer
                supervision.note(message)
                self.line = f"trial {job.trial}: {message}"
            violation = supervision.violation(child.memory())
            if violation is not None:
                child.kill()
                return violation


class Child:
    """One process, started from a fresh interpreter so that it shares no state, no `__main__` and no lock with us.

    It is in a process group of its own: Ctrl-C on the terminal is for the parent to judge.
    """

    def __init__(
        self, runner: str, workload: Workload, limits: Limits, devices: Mapping[str, str] = NO_DEVICES
    ) -> None:
        ours, theirs = multiprocessing.Pipe()
        self.pipe = ours
        self.jobs = 0
        self._kills = out_of_memory_kills()
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "automl.executors.child", str(theirs.fileno()), str(os.getpid())],
            env={**environment(workload, os.environ), **devices},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=sys.__stderr__,
            process_group=0,
        )
        theirs.close()
        self.send((runner, workload, limits.files, limits.file_bytes, _address_space(limits.memory)))

    def give(self, job: Any) -> bool:
        """Whether the process could still be told; from now on it is asked whether the kernel killed it for memory."""
        self._kills = out_of_memory_kills()
        self.jobs += 1
        return self.send(job)

    def send(self, message: Any) -> bool:
        """Whether the process could still be told."""
        try:
            self.pipe.send(message)
        except OSError:
            return False
        return True

    def alive(self) -> bool:
        return self._process.poll() is None

    def memory(self) -> int:
        return private_memory(self._process.pid)

    def ending(self) -> TrialFailure:
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
            code = 0
        return ending(code, out_of_memory=out_of_memory_kills() > self._kills)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self.pipe.close()


def _is_exhausted(answer: Result | TrialFailure) -> bool:
    return isinstance(answer, TrialFailure) and answer.reason is FailureReason.OUT_OF_MEMORY


def _address_space(memory: int | None) -> int | None:
    """Bytes that a process may reserve, which is more than it uses; drivers of accelerators reserve without measure."""
    return None if memory is None or has_accelerator() else memory + memory // 4 + GIGABYTE
