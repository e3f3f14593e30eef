"""Claim, renew, expire, begin, commit and kill, against a model of a few lines."""

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from storage.attempts import begin_attempt, end_attempt
from storage.database import StorageError, open_database
from storage.leases import Lease, LeaseHeld, LeaseLost
from storage.searches import claim, create_search, get_search, release, renew
from storage.segments import NewSegment, commit_segment, list_segments
from storage.trials import BudgetSpent, add_trial, list_trials
from tests.torture import times

MOST = 3
OWNERS = st.sampled_from(["ada", "bob", "cyd"])
TRIALS = st.integers(0, MOST - 1)


@dataclass
class Model:
    """Who holds the search under which epoch, and where each trial stands."""

    epoch: int = 0
    owner: str | None = None
    lapsed: bool = True
    steps: list[int] = field(default_factory=list)
    running: list[bool] = field(default_factory=list)
    segments: int = 0


class Leases(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = open_database(f"sqlite:///{Path(self.folder.name) / 'automl.db'}")
        create_search(self.database, "dates", {}, "0" * 64)
        self.model, self.leases = Model(), {name: Lease(1, -1) for name in ("ada", "bob", "cyd")}

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    def holds(self, owner: str) -> bool:
        return self.leases[owner].epoch == self.model.epoch > 0

    @rule(owner=OWNERS)
    def claim(self, owner: str) -> None:
        model = self.model
        free = model.owner in (None, owner) or model.lapsed
        try:
            self.leases[owner] = claim(self.database, "dates", owner, 3600.0)
            assert free
        except LeaseHeld:
            assert not free
            return
        model.epoch, model.owner, model.lapsed = model.epoch + 1, owner, False
        model.running = [step == 0 for step in model.steps]
        assert self.leases[owner].epoch == model.epoch

    @rule(owner=OWNERS, lapses=st.booleans())
    def renew_or_expire(self, owner: str, lapses: bool) -> None:
        try:
            renew(self.database, self.leases[owner], -1.0 if lapses else 3600.0)
            assert self.holds(owner)
            if self.model.owner is not None:
                self.model.lapsed = lapses
        except (LeaseLost, StorageError):
            assert not self.holds(owner) or self.model.owner is None

    @rule(owner=OWNERS)
    def release(self, owner: str) -> None:
        release(self.database, self.leases[owner])
        if self.holds(owner):
            self.model.owner, self.model.lapsed = None, True

    @rule(owner=OWNERS)
    def add(self, owner: str) -> None:
        try:
            row = add_trial(self.database, self.leases[owner], {}, 0, "sampler", most=MOST)
            assert self.holds(owner)
            assert row.number == len(self.model.steps) < MOST
            self.model.steps.append(0)
            self.model.running.append(True)
        except LeaseLost:
            assert not self.holds(owner)
        except BudgetSpent:
            assert self.holds(owner)
            assert len(self.model.steps) == MOST

    @rule(owner=OWNERS, trial=TRIALS)
    def begin(self, owner: str, trial: int) -> None:
        there = trial < len(self.model.steps)
        try:
            begin_attempt(self.database, self.leases[owner], trial, self.model.steps[trial] if there else 0)
            assert self.holds(owner)
            assert there
            self.model.running[trial] = True
        except LeaseLost:
            assert not self.holds(owner)
        except StorageError:
            assert not there

    @rule(owner=OWNERS, trial=TRIALS)
    def lose(self, owner: str, trial: int) -> None:
        there = trial < len(self.model.steps)
        try:
            end_attempt(self.database, self.leases[owner], trial, "WORKER_LOST", failure=False)
            assert self.holds(owner)
            assert there
            self.model.running[trial] = self.model.steps[trial] == 0
        except LeaseLost:
            assert not self.holds(owner)
        except StorageError:
            assert not there

    @rule(owner=OWNERS, trial=TRIALS, repeated=st.booleans())
    def commit(self, owner: str, trial: int, repeated: bool) -> None:
        there = trial < len(self.model.steps)
        step = self.model.steps[trial] if there else 0
        digest = hashlib.sha256(f"{trial} {step + 10}".encode()).hexdigest()
        segment = NewSegment(trial, step, step + 10, step + 10, {"loss": 1.0}, digest, 1, 1)
        for _ in range(1 + repeated):
            try:
                commit_segment(self.database, self.leases[owner], segment, elapsed=1.0)
                assert self.holds(owner)
                assert self.model.running[trial] or self.model.steps[trial] == step + 10
            except LeaseLost:
                assert not self.holds(owner)
                return
            except StorageError:
                assert self.holds(owner)
                assert not there or not self.model.running[trial]
                return
            if self.model.steps[trial] == step:
                self.model.segments += 1
            self.model.steps[trial], self.model.running[trial] = step + 10, False

    @invariant()
    def agrees(self) -> None:
        row = get_search(self.database, "dates")
        assert row is not None
        assert (row.epoch, row.owner) == (self.model.epoch, self.model.owner)
        assert row.held == (self.model.owner is not None and not self.model.lapsed)
        trials = list_trials(self.database, row.id)
        assert [trial.step for trial in trials] == self.model.steps
        assert [trial.state == "RUNNING" for trial in trials] == self.model.running
        assert len(list_segments(self.database, row.id)) == self.model.segments == row.seconds


Leases.TestCase.settings = settings(
    max_examples=times(8, 1000),
    stateful_step_count=times(15, 30),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLeases = Leases.TestCase
