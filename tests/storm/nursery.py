"""Starts workers within a second: a process that has loaded every library and only forks.

Each line `worker URL` on standard input makes a process that does what `automl worker --storage URL --workers 1` does;
`born PID` and `dead PID` come back. Its trainers are forked, too, because to load JAX anew after each of hundreds of
kills would take longer than all that is tested here.
"""

import multiprocessing
import os
import select
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import optuna  # noqa: F401

from automl import worker
from automl.cli import run
from automl.errors import TrialFailure
from automl.executors import EXECUTORS, ProcessExecutor, child, processes
from automl.executors.limits import Limits, private_memory, restrict
from automl.executors.supervision import ending
from automl.segments import Workload
from tests.storm import observed

RUNNER = f"{observed.ObservedTrainer.__module__}:ObservedTrainer"
TICK_SECONDS = 0.1


class ForkedChild:
    """`automl.executors.processes.Child`, forked from a process that has loaded JAX and not yet begun to use it."""

    def __init__(self, runner: str, workload: Workload, limits: Limits, devices: Mapping[str, str]) -> None:
        ours, theirs = multiprocessing.Pipe()
        parent = os.getpid()
        self.pipe, self.jobs = ours, 0
        self.process, self.code = os.fork(), None
        if self.process == 0:
            ours.close()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.setpgid(0, 0)
            os.environ.update({**processes.environment(workload, os.environ), **devices})
            child.die_with_parent(parent)
            restrict(limits.files, limits.file_bytes, None)
            child.serve(theirs, runner, workload)
        theirs.close()

    def give(self, job: Any) -> bool:
        self.jobs += 1
        return self.send(job)

    def send(self, message: Any) -> bool:
        try:
            self.pipe.send(message)
        except OSError:
            return False
        return True

    def alive(self) -> bool:
        return self._poll(os.WNOHANG) is None

    def memory(self) -> int:
        return private_memory(self.process)

    def ending(self) -> TrialFailure:
        return ending(self._poll(0) or 0)

    def kill(self) -> None:
        if self.alive():
            os.kill(self.process, signal.SIGKILL)
            self._poll(0)

    def close(self) -> None:
        self.kill()
        self.pipe.close()

    def _poll(self, flags: int) -> int | None:
        if self.code is None:
            done, status = os.waitpid(self.process, flags)
            self.code = os.waitstatus_to_exitcode(status) if done else None
        return self.code


def live(url: str) -> int:
    """Be a worker; return its exit code."""
    processes.Child = ForkedChild
    EXECUTORS["processes"] = lambda workload, workers, limits, address: ProcessExecutor(
        workload, workers, runner=RUNNER, limits=limits
    )
    worker.POLL_SECONDS = 0.3
    worker.PAUSES = (0.5,)
    observed.observe_commits()
    return run(["worker", "--storage", url, "--workers", "1"])


def bear(url: str) -> int:
    """Fork a worker; return its process id."""
    process = os.fork()
    if process:
        return process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = os.open(observed.FOLDER / "workers.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 70
    try:
        code = live(url)
    finally:
        os._exit(code)


def end(number: int, frame: FrameType | None) -> None:
    os._exit(0)


def main() -> None:
    """Bear workers and report the dead until standard input ends."""
    signal.signal(signal.SIGTERM, end)
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], TICK_SECONDS)
        if ready:
            line = sys.stdin.readline().split()
            if not line:
                return
            print("born", bear(line[1]), flush=True)
        bury()


def bury() -> None:
    """Wait for children that are dead."""
    try:
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            print("dead", found[0], os.waitstatus_to_exitcode(found[1]), flush=True)
    except ChildProcessError:
        return


if __name__ == "__main__":
    assert Path(observed.FOLDER).is_dir()
    main()
