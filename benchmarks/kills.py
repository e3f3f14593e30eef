"""Count what plain Optuna loses under kill -9, with heartbeats and unlimited retry.

    python -m benchmarks.kills [--quick] [--kills N] [--storage URL] [--json]

The peer of `tests/storm`: two workers, trials of three rungs, a phase is drawn after each commit and the process that
enters it next is killed within it. Training is slept here; a checkpoint is a file that is written, brought to the disk
and renamed; a commit is `report`, or the end of the trial. A study is at its end with 12 complete trials.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

WORKERS, TRIALS, RUNGS, KILLS_OF_A_STUDY = 2, 12, 3, 25
HEARTBEAT, GRACE = 1, 3
TRAINING_SECONDS = 0.15
DELAYS = {"training": 0.03, "writing": 0.006, "committing": 0.002}
"""Phases in which a trap may be set, and the seconds within which SIGKILL follows their beginning."""
WEIGHTS = {"training": 5, "writing": 4, "committing": 5, "any worker": 2}
TICK_SECONDS = 0.02
PATIENCE = 30.0


@dataclass
class Phases:
    """What a worker does now; as it enters a phase it springs the trap that is set there."""

    folder: Path
    now: str = "starting"

    def enter(self, phase: str) -> None:
        """Go on to a phase."""
        self.now = phase
        sprung = self.folder / f"sprung.{os.getpid()}"
        try:
            (self.folder / f"trap.{phase}").rename(sprung)
        except FileNotFoundError:
            return
        threading.Thread(target=self._die, args=(float(sprung.read_text()),), daemon=True).start()

    def _die(self, delay: float) -> None:
        time.sleep(delay)
        append(self.folder / "hits", self.now)
        os.kill(os.getpid(), signal.SIGKILL)


def append(file: Path, line: str) -> None:
    """Add a line to a file that several processes write to."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def lines(file: Path) -> list[str]:
    """Return the lines of a file; none where there is no file."""
    return file.read_text().splitlines() if file.exists() else []


@contextmanager
def opened(url: str) -> Iterator[RDBStorage]:
    """A storage with heartbeats and retry; SQLite waits as long as ours does."""
    options: dict[str, Any] = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    retry = RetryHeartbeatStaleTrialCallback()
    storage = RDBStorage(
        url, options, heartbeat_interval=HEARTBEAT, grace_period=GRACE, heartbeat_stale_trial_callback=retry
    )
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def work(url: str, name: str, folder: Path) -> None:
    """Be a worker."""
    phases = Phases(folder)

    def objective(trial: optuna.Trial) -> float:
        value = trial.suggest_float("x", 0, 1) + trial.suggest_categorical("y", (0, 1, 2))
        for rung in range(RUNGS):
            phases.enter("training")
            time.sleep(TRAINING_SECONDS)
            phases.enter("writing")
            write(folder, os.urandom(100_000))
            phases.enter("committing")
            trial.report(value, rung)
            append(folder / "commits", name)
        phases.enter("committing")
        return float(value)

    enough = optuna.study.MaxTrialsCallback(TRIALS, states=(TrialState.COMPLETE,))
    with opened(url) as storage:
        optuna.load_study(study_name=name, storage=storage).optimize(objective, callbacks=[enough])


def write(folder: Path, data: bytes) -> None:
    """Keep bytes durably."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).rename(folder / "checkpoint")


@dataclass
class Storm:
    """Workers on one study, under fire.

    Attributes:
        hits: SIGKILLs by the phase in which they met a process.
        errors: Workers that ended by themselves with an error.
    """

    url: str
    folder: Path
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    hits: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    workers: set[int] = field(default_factory=set)

    def run(self, name: str, kills: int) -> Counter[str]:
        """Let a study end, kill so often meanwhile; return what has become of its trials."""
        with opened(self.url) as storage:
            optuna.create_study(study_name=name, storage=storage)
        committed = done = 0
        while (ended := self.complete(name) >= TRIALS) is False or self.workers:
            self.tend(name, bear=not ended)
            now = len(lines(self.folder / "commits"))
            if now > committed and done < kills and not ended:
                committed = now
                done += self.kill(name)
            time.sleep(10 * TICK_SECONDS)
        with opened(self.url) as storage:
            study = optuna.load_study(study_name=name, storage=storage)
            time.sleep(GRACE + 2 * HEARTBEAT)
            optuna.storages.fail_stale_trials(study)
            return outcome(study.get_trials(deepcopy=False)) + Counter(kills=done)

    def complete(self, name: str) -> int:
        """Return the number of complete trials."""
        with opened(self.url) as storage:
            study = optuna.load_study(study_name=name, storage=storage)
            return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))

    def tend(self, name: str, *, bear: bool) -> None:
        """Take note of the dead, and let there be as many workers as before."""
        for process in list(self.workers):
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                self.workers.discard(process)
                self.errors += os.waitstatus_to_exitcode(status) > 0
        while bear and len(self.workers) < WORKERS:
            self.workers.add(fork(lambda: work(self.url, name, self.folder)))

    def kill(self, name: str) -> bool:
        """Kill one process in a phase drawn at random; False if none has come there in time."""
        phase = self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if phase == "any worker":
            time.sleep(self.chance.uniform(0, 0.3))
            os.kill(self.chance.choice(sorted(self.workers)), signal.SIGKILL)
            self.hits[phase] += 1
            return True
        before = len(lines(self.folder / "hits"))
        trap, partial = self.folder / f"trap.{phase}", self.folder / "trap"
        partial.write_text(str(self.chance.uniform(0, DELAYS[phase])))
        partial.rename(trap)
        until = time.monotonic() + PATIENCE
        while len(lines(self.folder / "hits")) == before and time.monotonic() < until and self.complete(name) < TRIALS:
            self.tend(name, bear=True)
            time.sleep(TICK_SECONDS)
        trap.unlink(missing_ok=True)
        time.sleep(2 * TICK_SECONDS)
        found = lines(self.folder / "hits")[before:]
        self.hits.update(found)
        return bool(found)


def fork(child: Any) -> int:
    """Run in a child process; return its id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        child()
        code = 0
    finally:
        os._exit(code)


def outcome(trials: list[FrozenTrial]) -> Counter[str]:
    """Return what has become of the trials of a study that is at its end.

    Interrupted is what did not complete in its first run. It is lost if it is RUNNING for ever, or FAIL and nothing was
    queued in its place; doubled if it was queued twice.
    """
    copies = Counter(t.system_attrs["retry_history"][-1] for t in trials if t.system_attrs.get("retry_history"))
    stuck = [t for t in trials if t.state is TrialState.RUNNING]
    failed = [t for t in trials if t.state is TrialState.FAIL]
    return Counter(
        interrupted=len(stuck) + len(failed),
        running_for_ever=len(stuck),
        failed_without_a_copy=sum(copies[t.number] == 0 for t in failed),
        queued_twice=sum(count > 1 for count in copies.values()),
        beyond_the_budget=max(sum(t.state is TrialState.COMPLETE for t in trials) - TRIALS, 0),
    )


def main() -> None:
    """Print a table, or one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 kills instead of 200")
    parser.add_argument("--kills", type=int, help="number of kills")
    parser.add_argument("--storage", help="another database than an SQLite file, such as PostgreSQL's URL; empty")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    wanted, load = options.kills or (10 if options.quick else 200), os.getloadavg()[0]
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="automl-benchmark-") as folder:
        storm = Storm(options.storage or f"sqlite:///{folder}/optuna.db", Path(folder))
        while found["kills"] < wanted:
            found += storm.run(f"study-{found['studies']}", min(KILLS_OF_A_STUDY, wanted - found["kills"]))
            found["studies"] += 1
            print(json.dumps({**found, "hits": dict(storm.hits)}), file=sys.stderr, flush=True)
    keys = ("running_for_ever", "failed_without_a_copy", "queued_twice", "beyond_the_budget", "interrupted", "studies")
    measured = {"kills": found["kills"], **{key: found[key] for key in keys}, "errors": storm.errors, "load": load}
    if options.json:
        print(json.dumps({"measured": measured, "hits": dict(storm.hits)}, indent=2))
    else:
        for name, value in (measured | storm.hits).items():
            print(f"{name:32} {value:10.2f}")


if __name__ == "__main__":
    main()
