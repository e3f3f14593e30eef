"""Where segments run: every executor takes jobs and answers with futures, in the words of `concurrent.futures`."""

from concurrent.futures import Future
from dataclasses import replace
from typing import Protocol

from automl.executors.foretold import ForetoldExecutor
from automl.executors.inline import InlineExecutor
from automl.executors.limits import DEFAULT_LIMITS, Limits
from automl.executors.processes import ProcessExecutor
from automl.executors.ray import RayExecutor
from automl.executors.runner import TRAINER, load_runner
from automl.executors.slots import SlotsExecutor
from automl.segments import Job, Result, Workload

__all__ = [
    "DEFAULT_LIMITS",
    "EXECUTORS",
    "Executor",
    "ForetoldExecutor",
    "InlineExecutor",
    "Limits",
    "ProcessExecutor",
    "RayExecutor",
    "SlotsExecutor",
]


class Executor(Protocol):
    """Runs jobs on a fixed number of workers.

    A future ends with the job's result or with `TrialFailure`, whatever went wrong inside.
    """

    @property
    def workers(self) -> int:
        """How many jobs run at the same time."""
        ...

    def submit(self, job: Job) -> Future[Result]:
        """Run a job as soon as a worker is free."""
        ...

    def stop(self) -> None:
        """Let the jobs that run now end at their next chunk boundary, with what they have."""
        ...

    def abandon(self) -> None:
        """Give up the jobs that run now, with STOPPED, as far as that is possible; workers go on with other jobs."""
        ...

    def status(self) -> list[str]:
        """One short line a worker: what it does now."""
        ...

    def shutdown(self, wait: bool = True) -> None:
        """Take no more jobs; let the running ones end, or with `wait=False` abandon them."""
        ...


class ExecutorFactory(Protocol):
    """Makes an executor; one that runs jobs in the calling process keeps no limits."""

    def __call__(
        self, workload: Workload, workers: int, limits: Limits = DEFAULT_LIMITS, address: str | None = None
    ) -> Executor:
        """Make it with so many workers; the address is that of a cluster.

        Raises:
            InputError: What it needs is not there.
        """
        ...


def _inline(workload: Workload, workers: int, limits: Limits = DEFAULT_LIMITS, address: str | None = None) -> Executor:
    del workers, limits, address
    return InlineExecutor(lambda: load_runner(TRAINER, workload))


def _processes(
    workload: Workload, workers: int, limits: Limits = DEFAULT_LIMITS, address: str | None = None
) -> Executor:
    del address
    return ProcessExecutor(workload, workers, limits=limits)


def _ray(workload: Workload, workers: int, limits: Limits = DEFAULT_LIMITS, address: str | None = None) -> Executor:
    return RayExecutor(workload, workers, limits=limits, address=address)


def _slots(workload: Workload, workers: int, limits: Limits = DEFAULT_LIMITS, address: str | None = None) -> Executor:
    del address
    return SlotsExecutor(replace(workload, slots=max(workers, 2)), workers, limits=limits)


EXECUTORS: dict[str, ExecutorFactory] = {
    "inline": _inline,
    "processes": _processes,
    "ray": _ray,
    "slots": _slots,
}
