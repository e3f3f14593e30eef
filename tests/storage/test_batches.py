"""Batches of writes, on every kind of database."""

from typing import Any

import pytest

from storage import database as databases
from storage.attempts import end_open_attempt, list_attempts, open_attempt
from storage.batches import Batch
from storage.database import Database, Transaction
from storage.engines import BusyError, ConnectionLost
from storage.events import list_events, note
from storage.leases import Lease, LeaseLost
from storage.searches import claim, get_search
from storage.segments import drop_segments, list_segments, write_segment
from storage.trials import add_trial, list_trials

from .test_segments import a_segment


@pytest.fixture
def batch(database: Database, lease: Lease) -> Batch:
    add_trial(database, lease, {}, 0, "default")
    return Batch(database, lease)


def seconds(database: Database) -> float:
    search = get_search(database, "dates")
    assert search is not None
    return search.seconds


def test_what_a_batch_holds_is_committed_together(database: Database, lease: Lease, batch: Batch) -> None:
    batch.add(open_attempt, 0, 0)
    batch.add(note, "start", "trial 0")
    assert list_attempts(database, lease.search_id) == []
    batch.commit(1.0)
    batch.add(write_segment, a_segment(0))
    batch.add(open_attempt, 0, 10)
    batch.commit(2.5)
    batch.commit(100.0)
    assert [a.end_reason for a in list_attempts(database, lease.search_id)] == ["COMMITTED", None]
    assert (len(list_segments(database, lease.search_id)), len(list_events(database, lease.search_id))) == (1, 1)
    assert seconds(database) == 3.5


def test_a_batch_that_fails_half_way_leaves_nothing_and_can_be_tried_again(
    database: Database, lease: Lease, batch: Batch
) -> None:
    broken = [True]

    def fail(_: Transaction, __: Lease) -> None:
        if broken:
            raise databases.StorageError("no space left")

    batch.add(note, "start", "trial 0")
    batch.add(fail)
    with pytest.raises(databases.StorageError, match="no space left"):
        batch.commit(1.0)
    assert (list_events(database, lease.search_id), seconds(database)) == ([], 0.0)
    broken.clear()
    batch.commit(1.0)
    assert (len(list_events(database, lease.search_id)), seconds(database)) == (1, 1.0)


def test_a_batch_whose_commit_was_in_doubt_is_not_written_twice(
    database: Database, lease: Lease, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "PAUSES", (0.0, 0.0))
    lost = [ConnectionLost("the connection was lost after the commit"), BusyError("and then it restarted")]
    original = Database._attempt

    def attempt(self: Database, work: object) -> object:
        result = original(self, work)  # type: ignore[arg-type]
        if lost:
            raise lost.pop(0)
        return result

    monkeypatch.setattr(Database, "_attempt", attempt)
    batch.add(note, "start", "trial 0")
    batch.commit(1.0)
    assert (len(list_events(database, lease.search_id)), seconds(database)) == (1, 1.0)


@pytest.mark.parametrize("is_committed", [True, False])
def test_what_is_added_after_an_interrupted_commit_is_not_taken_for_written(
    database: Database, lease: Lease, batch: Batch, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    interrupts = [KeyboardInterrupt()]
    original = Database._attempt

    def attempt(self: Database, work: Any) -> object:
        result = original(self, work) if is_committed or not interrupts else None
        if interrupts:
            raise interrupts.pop()
        return result

    monkeypatch.setattr(Database, "_attempt", attempt)
    batch.add(open_attempt, 0, 0)
    with pytest.raises(KeyboardInterrupt):
        batch.commit(1.0)
    batch.add(write_segment, a_segment(0))
    batch.commit(2.5)
    batch.add(note, "start", "trial 0")
    batch.commit(1.0)
    assert [segment.to_step for segment in list_segments(database, lease.search_id)] == [10]
    assert (len(list_attempts(database, lease.search_id)), len(list_events(database, lease.search_id))) == (1, 1)
    assert seconds(database) == 3.5


def test_a_batch_of_an_old_epoch_is_refused(database: Database, lease: Lease, batch: Batch) -> None:
    claim(database, "dates", "first", 60)
    batch.add(note, "start", "trial 0")
    with pytest.raises(LeaseLost):
        batch.commit(1.0)
    assert (list_events(database, lease.search_id), seconds(database)) == ([], 0.0)


def test_a_segment_costs_one_transaction_of_few_statements(
    database: Database, lease: Lease, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch.add(open_attempt, 0, 0)
    batch.commit(0.0)
    statements: list[object] = []
    original = Transaction._execute

    def execute(self: Transaction, statement: Any, values: Any) -> Any:
        statements.append(statement)
        return original(self, statement, values)

    monkeypatch.setattr(Transaction, "_execute", execute)
    batch.add(write_segment, a_segment(0))
    batch.add(open_attempt, 0, 10)
    batch.add(note, "thaw", "trial 0")
    batch.commit(1.0)
    assert 1 < len(statements) <= 7


def test_what_a_batch_remembers_of_trials_is_nothing_that_was_rolled_back(
    database: Database, lease: Lease, batch: Batch
) -> None:
    broken = [True]

    def fail(_: Transaction, __: Lease) -> None:
        if broken:
            raise databases.StorageError("no space left")

    batch.add(open_attempt, 0, 0)
    batch.commit(0.0)
    batch.add(write_segment, a_segment(0))
    batch.add(fail)
    with pytest.raises(databases.StorageError, match="no space left"):
        batch.commit(1.0)
    broken.clear()
    batch.commit(1.0)
    assert [segment.to_step for segment in list_segments(database, lease.search_id)] == [10]


def test_a_batch_that_forgets_sees_what_was_written_past_it(database: Database, lease: Lease, batch: Batch) -> None:
    batch.add(open_attempt, 0, 0)
    batch.add(write_segment, a_segment(0))
    batch.commit(0.0)
    drop_segments(database, lease, 0, [0])
    batch.forget()
    batch.add(open_attempt, 0, 0)
    batch.add(end_open_attempt, 0, "TIMEOUT")
    batch.commit(0.0)
    assert [(trial.state, trial.step) for trial in list_trials(database, lease.search_id)] == [("RUNNING", 0)]
