"""Lets a process die in a phase that the test has named: it springs a trap as it enters, and SIGKILL comes a moment later.

A trap is a file, so the test may set it at any time, one process alone springs it, and nobody looks for it in between.
What is counted is the phase that the process is in when it dies.
"""

import os
import signal
import threading
import time
from pathlib import Path

from automl.segments import Beat, Job, Report, Result, Stop, Workload
from automl.training.trainer import Trainer
from storage import segments
from storage.database import Database, Transaction

FOLDER = Path(os.environ["AUTOML_STORM"])
HITS = FOLDER / "hits"


class Phases:
    """What this process does now."""

    def __init__(self) -> None:
        self.role = ""
        self.now = ""

    def enter(self, phase: str) -> None:
        """Go on to a phase, and into the trap if one is set there."""
        self.now = phase
        sprung = FOLDER / f"sprung.{os.getpid()}"
        try:
            (FOLDER / f"trap.{phase}").rename(sprung)
        except FileNotFoundError:
            return
        threading.Thread(target=self._die, args=(float(sprung.read_text()),), daemon=True).start()

    def _die(self, delay: float) -> None:
        time.sleep(delay)
        line = f"{self.role} {self.now} {os.getpid()}\n".encode()
        file = os.open(HITS, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, line)
        os.kill(os.getpid(), signal.SIGKILL)


PHASES = Phases()


class ObservedTrainer:
    """The trainer of every search, and what it does now."""

    def __init__(self, workload: Workload) -> None:
        PHASES.role = "trainer"
        PHASES.enter("starting")
        self.trainer = Trainer(workload)

    def run(self, job: Job, report: Report, stop: Stop) -> Result:
        def observed(beat: Beat) -> None:
            PHASES.enter(beat.phase)
            report(beat)

        PHASES.enter("loading")
        return self.trainer.run(job, observed, stop)


def observe_commits() -> None:
    """Let a process that writes segments be `committing` from the first statement of one until the transaction's end."""
    PHASES.role = "worker"
    PHASES.enter("waiting")
    execute, attempt = Transaction._execute, Database._attempt

    def observed(self, statement, values):
        if statement is segments.INSERT:
            PHASES.enter("committing")
        return execute(self, statement, values)

    def ended(self, work):
        try:
            return attempt(self, work)
        finally:
            if PHASES.now == "committing":
                PHASES.now = "deciding"

    Transaction._execute, Database._attempt = observed, ended
