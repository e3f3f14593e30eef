"""Trainers as Ray actors on an existing cluster: Ray places them, restarts them, and moves them off lost nodes.

Every node needs this package and the same paths: checkpoints, token tables and compiled programs lie on a file system
that all of them share.
"""

import logging
import os
import queue
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from typing import Any

from automl.errors import FailureReason, InputError, TrialFailure
from automl.executors.limits import DEFAULT_LIMITS, Limits
from automl.executors.processes import WATCH_SECONDS, environment
from automl.executors.runner import TRAINER, load_runner, outcome
from automl.executors.supervision import Supervision
from automl.segments import Beat, Job, Result, Runner, Workload


class Trainer:
    """The actor: one call runs a job, the others are answered beside it by a second thread."""

    def __init__(self, runner: str, workload: Workload) -> None:
        self._named = (runner, workload)
        self._runner: Runner | None = None
        self._beat = Beat("starting")
        self._stop = threading.Event()

    def run(self, job: Job) -> Result | TrialFailure:
        """Run a job; a failure is a value, so that Ray does not wrap it."""
        self._stop.clear()
        self._beat = Beat("starting")
        return outcome(lambda: self._run(job))

    def beat(self) -> Beat:
        """Return the newest sign of life of the job."""
        return self._beat

    def stop(self) -> None:
        """Let the job end at its next chunk boundary."""
        self._stop.set()

    def _run(self, job: Job) -> Result:
        self._runner = self._runner or load_runner(*self._named)
        return self._runner.run(job, self._report, self._stop.is_set)

    def _report(self, beat: Beat) -> None:
        self._beat = beat


class RayExecutor:
    """Runs jobs in actors with one GPU each, or one processor core where the cluster has no GPU.

    A lost actor or node fails its job with WORKER_LOST, one that Ray killed for want of memory with OUT_OF_MEMORY; an
    actor that does not get on within `limits` is killed, and Ray starts it anew. Time in which the cluster has no room
    for an actor does not count. Until it is shut down, `sys.stdout` is standard error: Ray's threads print there.
    """

    def __init__(
        self,
        workload: Workload,
        workers: int,
        runner: str = TRAINER,
        limits: Limits = DEFAULT_LIMITS,
        address: str | None = None,
    ) -> None:
        """Connect; without a number of workers there are as many as the cluster has GPUs or cores.

        Raises:
            InputError: Ray is not installed, or no cluster answers.
        """
        self._ray, self._connected = connect(address)
        resources: dict[str, float] = self._ray.cluster_resources()
        kind = "GPU" if resources.get("GPU") else "CPU"
        workload = workload if kind == "GPU" else replace(workload, threads=1)
        variables = {name: value for name, value in environment(workload, {}).items() if name != "PYTHONPATH"}
        actor = self._ray.remote(Trainer).options(
            **{f"num_{kind.lower()}s": 1},
            max_restarts=-1,
            max_concurrency=2,
            runtime_env={"env_vars": variables},
        )
        self.workers = workers or max(int(resources.get(kind, 1)), 1)
        self._limits = limits
        self._actors = [actor.remote(runner, workload) for _ in range(self.workers)]
        self._idle: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(self.workers):
            self._idle.put(number)
        self._lines = ["idle"] * self.workers
        self._running: dict[int, Supervision] = {}
        self._threads = ThreadPoolExecutor(self.workers, "ray-trainer")
        self._redirected = ExitStack()
        self._redirected.enter_context(redirect_stdout(sys.stderr))

    def submit(self, job: Job) -> Future[Result]:
        try:
            return self._threads.submit(self._run, job)
        except RuntimeError:
            raise RuntimeError("the executor is shut down") from None

    def stop(self) -> None:
        for number, supervision in list(self._running.items()):
            supervision.told_to_stop()
            self._actors[number].stop.remote()

    def abandon(self) -> None:
        for number, supervision in list(self._running.items()):
            supervision.abandoned = True
            self._ray.kill(self._actors[number], no_restart=False)

    def status(self) -> list[str]:
        return list(self._lines)

    def shutdown(self, wait: bool = True) -> None:
        if not wait:
            self._kill_all()
        self._threads.shutdown(wait=True)
        self._kill_all()
        if self._connected and self._ray.is_initialized():
            self._ray.shutdown()
        self._redirected.close()

    def _kill_all(self) -> None:
        if self._ray.is_initialized():
            for actor in self._actors:
                self._ray.kill(actor)

    def _run(self, job: Job) -> Result:
        number = self._idle.get()
        try:
            match self._watched(number, job):
                case TrialFailure() if number in self._running and self._running[number].abandoned:
                    raise TrialFailure(FailureReason.STOPPED, "given up, since the time was over")
                case TrialFailure() as failure:
                    raise failure
                case result:
                    return result
        finally:
            self._running.pop(number, None)
            self._lines[number] = "idle"
            self._idle.put(number)

    def _watched(self, number: int, job: Job) -> Result | TrialFailure:
        actor, errors = self._actors[number], self._ray.exceptions
        self._lines[number] = f"trial {job.trial}: waits for a place in the cluster"
        try:
            self._await(actor)
            supervision = self._running[number] = Supervision(job, self._limits, None)
            answer = actor.run.remote(job)
            while not self._ray.wait([answer], timeout=WATCH_SECONDS)[0]:
                violation = self._look(number, job, supervision)
                if violation is not None:
                    self._ray.kill(actor, no_restart=False)
                    self._ray.wait([answer], timeout=self._limits.starting)  # its end is known when the call has failed
                    return violation
            result: Result | TrialFailure = self._ray.get(answer)
            return result
        except errors.OutOfMemoryError:
            return TrialFailure(FailureReason.OUT_OF_MEMORY, "Ray killed the trainer for want of memory on its node")
        except errors.RayError as error:
            return TrialFailure(FailureReason.WORKER_LOST, f"the trainer or its node was lost ({type(error).__name__})")

    def _await(self, actor: Any) -> None:
        """Wait until the actor has a place and answers, as after its start and after each time that it was lost."""
        while True:
            try:
                self._ray.get(actor.beat.remote())
                return
            except self._ray.exceptions.ActorUnavailableError:
                time.sleep(WATCH_SECONDS)

    def _look(self, number: int, job: Job, supervision: Supervision) -> TrialFailure | None:
        try:
            beat: Beat = self._ray.get(self._actors[number].beat.remote(), timeout=WATCH_SECONDS)
        except self._ray.exceptions.GetTimeoutError:
            return supervision.violation(0)
        supervision.note(beat)
        self._lines[number] = f"trial {job.trial}: {beat}"
        return supervision.violation(0)


def connect(address: str | None) -> tuple[Any, bool]:
    """Return Ray, connected, and whether it was this call that connected it.

    Raises:
        InputError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise InputError("the executor ray needs Ray; install automl-seq2seq[ray]") from None
    if ray.is_initialized():
        return ray, False
    place = address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        ray.init(place, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = "on this machine" if place == "auto" else f"at {place}"
        raise InputError(
            f"no Ray cluster answers {where}; start one (ray start --head), or name one by --address"
        ) from error
    return ray, True
