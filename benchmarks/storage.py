"""Compare what keeping a trial of ten rungs costs: CPU milliseconds of the process that controls a search.

    python -m benchmarks.storage [--quick] [--trials N] [--storage URL] [--json]

Ours is the controller with its transactions and the Optuna study that it mirrors every 30 seconds' worth of trials;
what it decides and proposes is scripted, and what a trainer does is not counted. The peer is Optuna's own storage on
SQLite: ask, ten reports, tell, with parameters from the same space. Both take turns, block by block. Then `ask` is
timed, the time for one proposal after so many trials.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import optuna

from automl.budget import Budget
from automl.control import controller as controllers
from automl.control import history
from automl.control.controller import Controller
from automl.control.criteria import Criteria
from automl.control.decisions import Start, Thaw
from automl.control.garbage import Garbage
from automl.control.plan import Plan
from automl.control.proposals import Proposal, Proposals
from automl.control.ranking import Score, Tried
from automl.control.sampler import RENEWAL
from automl.metrics import metric
from automl.segments import Evaluation, EvaluationResult, Job, Result, SegmentResult
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space, space
from storage.database import Database, open_database
from storage.leases import current_owner
from storage.searches import claim, create_search, get_search
from storage.segments import list_segments
from storage.trials import list_trials

RUNGS = 10
BLOCK = 50
PEER_BLOCK = 5
MIRROR_BLOCK = 30
"""Trials that a fast search ends within the 30 seconds between two updates of the mirror: one a second."""
METRIC = "sequence_error_rate"


@dataclass
class Script:
    """Stands for the scheduler and the sampler: every trial is trained through ten rungs, one after another."""

    space: Space
    configurations: list[Seq2Seq]
    segments: int = 0
    limit: int = 0

    def decide(self, *_: object) -> object:
        trial, rung = divmod(self.segments, RUNGS)
        if trial >= self.limit:
            return controllers.Finish("the block is over")
        self.segments += 1
        tokens = 1000 * 2**rung
        return Thaw(trial, tokens, None, f"continued {trial}: {tokens} tokens") if rung else Start(tokens, None, "new")

    def propose(self, _: object) -> list[Proposal]:
        return [Proposal(self.configurations[self.segments // RUNGS % len(self.configurations)], "sampler")]

    def prepare(self) -> None: ...


@dataclass
class Instant:
    """An executor whose trainers take no time; what it costs itself is measured, to be taken off."""

    checkpoints: Path
    workers: int = 1
    seconds: float = 0.0
    made: set[Path] = field(default_factory=set)

    def submit(self, job: Job) -> "Future[Result]":
        began = time.process_time()
        future: Future[Result] = Future()
        future.set_result(self._result(job))
        self.seconds += time.process_time() - began
        return future

    def _result(self, job: Job) -> Result:
        if isinstance(job, Evaluation):
            return EvaluationResult(job.trial, {METRIC: 0.5}, rows=1)
        digest = f"{job.trial:032x}{job.from_step + 1:032x}"
        folder = self.checkpoints / digest[:2]
        if folder not in self.made:
            folder.mkdir(parents=True, exist_ok=True)
            self.made.add(folder)
        (folder / digest).touch()
        assert job.to_tokens is not None
        score = 1.0 / (1 + job.from_step + job.trial % 7)
        scores = {"loss": 3.0 * score, METRIC: score, "token_accuracy": 0.5}
        seconds = {"training": 1.0, "compiling": 0.0, "evaluating": 0.1, "writing": 0.01}
        step = job.from_step + 100
        return SegmentResult(job.trial, job.from_step, step, job.to_tokens, scores, digest, 12_345, seconds)

    def stop(self) -> None: ...

    def status(self) -> list[str]:
        return ["busy"]

    def shutdown(self, wait: bool = True) -> None: ...


class Ours:
    """One search in a database of its own, which can be run on and on."""

    def __init__(self, url: str, folder: Path, script: Script) -> None:
        self.database: Database = open_database(url)
        self.name = f"benchmark-{os.getpid()}"
        create_search(self.database, self.name, {}, "0" * 64)
        self.executor = Instant(folder / "objects")
        self.script = script
        self.plan = Plan(script.space, Criteria(metric(METRIC)), Budget(trials=10**9), folder / "objects", 20_000)
        self.clock = 0.0
        lease = claim(self.database, self.name, current_owner(), 3600.0)
        row = get_search(self.database, self.name)
        assert row is not None
        controllers.decide = script.decide  # type: ignore[assignment]
        controllers.prospects = lambda *_: []  # type: ignore[assignment]
        history.candidates = lambda *_: []  # type: ignore[assignment]
        history.tried = lambda *_: []  # type: ignore[assignment]
        self.controller = Controller(
            self.database, row, lease, self.executor, self.plan, clock=self.now, waiting=lambda _: None
        )
        self.controller._proposals = script  # type: ignore[assignment]

    def now(self) -> float:
        """A second a trial, so that the mirror is due every thirty trials."""
        return self.script.segments / RUNGS

    def run(self, trials: int) -> float:
        """Return the CPU seconds of so many trials."""
        self.script.limit += trials
        before, began = self.executor.seconds, time.process_time()
        self.controller._ending = ""
        self.controller._loop()
        return time.process_time() - began - (self.executor.seconds - before)

    def check(self, trials: int) -> None:
        """Everything is in the database."""
        row = get_search(self.database, self.name)
        assert row is not None
        assert len(list_trials(self.database, row.id)) == trials
        assert len(list_segments(self.database, row.id)) == trials * RUNGS


class Peer:
    """Optuna's own storage."""

    def __init__(self, url: str, script: Script) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(storage=url, sampler=optuna.samplers.RandomSampler(seed=0))
        self.space = script.space

    def run(self, trials: int) -> float:
        """Return the CPU seconds of so many trials."""
        began = time.process_time()
        for _ in range(trials):
            trial = self.study.ask()
            self.space.sample(trial)
            for rung in range(RUNGS):
                trial.report(1.0 / (1 + rung), rung)
            self.study.tell(trial, 0.1)
        return time.process_time() - began


def draw(searched: Space, number: int) -> list[Seq2Seq]:
    """Return configurations drawn at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [searched.sample(study.ask()) for _ in range(number)]


def measure(trials: int, url: str | None, peer_blocks: int) -> dict[str, Any]:
    """Return CPU milliseconds a trial, block by block, of both sides."""
    folder = Path(tempfile.mkdtemp(prefix="automl-benchmark-", dir=Path.cwd()))
    try:
        searched = space()
        script = Script(searched, draw(searched, 200))
        ours = Ours(url or f"sqlite:///{folder / 'ours.db'}", folder, script)
        peer = Peer(f"sqlite:///{folder / 'peer.db'}", script)
        with closing(ours.database):
            found = list(_blocks(ours, peer, trials, peer_blocks))
            ours.check(trials)
            return {"ours": [pair[0] for pair in found], "peer": [pair[1] for pair in found if pair[1] is not None]}
    finally:
        shutil.rmtree(folder)


def _blocks(ours: Ours, peer: Peer, trials: int, peer_blocks: int) -> Iterator[tuple[float, float | None]]:
    ours.run(BLOCK)
    for block in range(1, trials // BLOCK):
        mine = 1e3 * ours.run(BLOCK) / BLOCK
        theirs = 1e3 * peer.run(PEER_BLOCK) / PEER_BLOCK if block <= peer_blocks else None
        yield mine, theirs


def time_ask(trials: int) -> tuple[list[float], list[float]]:
    """Return the CPU milliseconds of each of many proposals in a row after so many trials, and of what is between them.

    All kinds of draws are included. One of what is offered is tried next, whichever, and measured, as in a search;
    there are so many proposals that the sampler's study is rebuilt once among them, as it is once in so many. Between
    them is what the controller does while workers train: it prepares the next choice and looks for garbage.
    """
    searched, chance, garbage = space(), Random(0), Garbage()
    known = draw(searched, 500)
    tried = [
        Tried(known[n % len(known)], Score(n % 8, 1.0 / (1 + n % 97), 1.0 + n % 31), failed=False)
        for n in range(trials)
    ]
    proposals, found, between = Proposals(searched, 0), [], []
    proposals.propose(tried)
    for number in range(max(RENEWAL, trials // RENEWAL)):
        chosen = chance.choice(proposals.propose(tried)).configuration
        between.append(1e3 * _cpu(lambda: (proposals.prepare(), garbage.look())))
        tried.append(Tried(chosen, Score(number % 8, chance.random(), chance.random())))
        found.append(1e3 * _cpu(lambda: proposals.propose(tried)))
    return found, between


def _cpu(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    """Print a table, or one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="500 trials instead of 10,000")
    parser.add_argument("--trials", type=int, help="trials of ours")
    parser.add_argument("--storage", help="another database for ours, such as PostgreSQL's URL")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    trials = options.trials or (500 if options.quick else 10_000)
    load = os.getloadavg()[0]
    ask, between = time_ask(trials)
    found = measure(trials, options.storage, peer_blocks=8 if options.quick else 12)
    first, last = found["ours"][: len(found["ours"]) // 4 or 1], found["ours"][-(len(found["ours"]) // 4 or 1) :]
    ours, peer = statistics.median(found["ours"]), statistics.median(found["peer"])
    measured = {
        "trials": trials,
        "milliseconds_a_trial": ours,
        "first_quarter": statistics.median(first),
        "last_quarter": statistics.median(last),
        "optuna_milliseconds_a_trial": peer,
        "ask_milliseconds": statistics.fmean(ask),
        "ask_median": statistics.median(ask),
        "ask_longest": max(ask),
        "between_milliseconds": statistics.fmean(between),
        "between_longest": max(between),
        "load": load,
    }
    ratios = {"cpu_of_optuna_storage": peer / ours}
    if options.json:
        print(json.dumps({"ratios": ratios, "measured": measured}, indent=2))
    else:
        for name, value in (measured | ratios).items():
            print(f"{name:32} {value:10.2f}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
