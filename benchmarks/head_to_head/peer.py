"""One peer on one set: a process of its own, which prints one JSON document.

    python -m benchmarks.head_to_head.peer '{"system": …, "folder": …, "tokens": […, …], "seconds": …, "seed": …}'

Time counts from the start of the process, imports and reading included. Scoring test for the curve does not count.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.head_to_head.learners import Course, Dials, Learner, Maker, Scores
from benchmarks.head_to_head.pairs import Pairs, read_pairs

BEGAN = time.monotonic()
PROCESSES = 2
TRIALS_IN_TIME = 4
"""A trial that is not pruned takes so large a part of the time."""
LOOKS, LOOKS_OF_FIXED = 8, 20
PATIENCE = 4
NONE = Scores(2.0, 2.0)
SYSTEMS = ("optuna + pytorch", "optuna + flax", "fixed pytorch")


@dataclass
class Record:
    """The best on valid so far, with its score on test; its clock stands still while test is scored."""

    paused: float = 0.0
    best: Scores = NONE
    curve: list[tuple[float, float, float]] = field(default_factory=list)

    def now(self) -> float:
        """Return the seconds since the process began."""
        return time.monotonic() - BEGAN - self.paused

    def look(self, learner: Learner) -> Scores:
        """Score valid, and where it is the best so far test."""
        found, moment = learner.scores("valid"), self.now()
        if found < self.best:
            self.best = found
            with self.pause():
                self.curve.append((round(moment, 2), found.sequences, learner.scores("test").sequences))
        return found

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Let the clock stand still."""
        began = time.monotonic()
        yield
        self.paused += time.monotonic() - began


def main() -> None:
    job = json.loads(sys.argv[1])
    if job["system"] == SYSTEMS[2] or "worker" in job:
        print(json.dumps(work(job)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        jobs = [{**job, "worker": number, "journal": f"{scratch}/journal"} for number in range(PROCESSES)]
        command = [sys.executable, "-m", "benchmarks.head_to_head.peer"]
        children = [subprocess.Popen([*command, json.dumps(each)], stdout=subprocess.PIPE) for each in jobs]
        found = [json.loads(child.communicate()[0]) for child in children]
    print(json.dumps(merged(found)))


def merged(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the curve of the best over all processes."""
    best, curve = 2.0, []
    for moment, valid, test in sorted(tuple(point) for each in found for point in each["curve"]):
        if valid < best:
            best = valid
            curve.append((moment, valid, test))
    return {"curve": curve, "trials": sum(each["trials"] for each in found)}


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Run one process of a system."""
    pairs, make = read_pairs(Path(job["folder"]), tuple(job["tokens"])), maker(job["system"])
    record = Record()
    trials = search(job, pairs, make, record) if "worker" in job else fixed(job, pairs, make, record)
    return {"curve": record.curve, "trials": trials}


def maker(system: str) -> Maker:
    """Import what a system trains with; a process of a search has one thread."""
    if system == "optuna + flax":
        from benchmarks.head_to_head.flax_learner import FlaxLearner

        return FlaxLearner
    import torch

    from benchmarks.head_to_head.pytorch_learner import PytorchLearner

    if system != "fixed pytorch":
        torch.set_num_threads(1)
    return PytorchLearner


def fixed(job: dict[str, Any], pairs: Pairs, make: Maker, record: Record) -> int:
    """Train the default throughout."""
    left = job["seconds"] - record.now()
    for _ in steps(make(pairs, Dials(), job["seed"]), left, LOOKS_OF_FIXED, job["seed"], record):
        pass
    return 1


def steps(learner: Learner, seconds: float, looks: int, seed: int, record: Record) -> Iterator[tuple[int, Scores]]:
    """Train for so long; yield the number and the scores of each look at valid."""
    draw, began, held = np.random.default_rng(seed), time.monotonic(), record.paused
    for number in range(1, looks + 1):
        paused = record.paused - held
        course = Course(began + paused, seconds)
        learner.train(draw, began + paused + seconds * number / looks, course)
        yield number, record.look(learner)
        if time.monotonic() - began - (record.paused - held) >= seconds:
            return


def search(job: dict[str, Any], pairs: Pairs, make: Maker, record: Record) -> int:
    """Take trials from a study that all processes share, until the time is over."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name="peer",
        storage=JournalStorage(JournalFileBackend(job["journal"])),
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(
            multivariate=True, constant_liar=True, seed=job["seed"] * 10 + job["worker"]
        ),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=LOOKS, reduction_factor=2),
    )
    whole, count = job["seconds"] / TRIALS_IN_TIME, 0
    if job["worker"] == 0:
        study.enqueue_trial({name: value for name, value in Dials()._asdict().items() if name != "layers"})
    while (left := job["seconds"] - record.now()) > 0.02 * job["seconds"]:
        trial = study.ask()
        count += 1
        with suppress(optuna.TrialPruned):
            study.tell(trial, run(trial, min(whole, left), job, pairs, make, record))
            continue
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return count


def run(trial: Any, seconds: float, job: dict[str, Any], pairs: Pairs, make: Maker, record: Record) -> float:
    """Train one trial; prune it by its token error, stop it early when nothing improves."""
    import optuna

    learner = make(pairs, draw_dials(trial, job["system"]), job["seed"] + trial.number)
    best, since = NONE, 0
    for number, found in steps(learner, seconds, LOOKS, job["seed"] + trial.number, record):
        best, since = (found, 0) if found < best else (best, since + 1)
        trial.report(found.tokens, number)
        if number < LOOKS and trial.should_prune():
            raise optuna.TrialPruned
        if since >= PATIENCE or found.sequences == 0:
            break
    return best.sequences


def draw_dials(trial: Any, system: str) -> Dials:
    """Draw a configuration."""
    kind = trial.suggest_categorical("kind", ["lstm"] if system == "optuna + flax" else ["lstm", "transformer"])
    return Dials(
        kind=kind,
        size=trial.suggest_categorical("size", [64, 128, 256]),
        layers=trial.suggest_int("layers", 1, 4) if kind == "transformer" else 1,
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
        rate=trial.suggest_float("rate", 2e-4, 4e-3, log=True),
        decay=trial.suggest_float("decay", 1e-4, 0.1, log=True),
        smoothing=trial.suggest_float("smoothing", 0.0, 0.2),
    )


if __name__ == "__main__":
    main()
