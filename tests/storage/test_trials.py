"""Trials and their attempts, on every kind of database."""

import subprocess
import sys

import pytest
from sqlalchemy import insert

from storage.attempts import begin_attempt, end_attempt, list_attempts, wasted_seconds
from storage.database import Database, StorageError
from storage.leases import Lease, LeaseLost
from storage.schema import utc_now
from storage.searches import claim, update_search
from storage.trials import (
    Trial,
    add_trial,
    complete_trial,
    count_trials,
    end_trial,
    fail_trial,
    get_trial,
    list_trials,
)

from .test_segments import commit_ten_steps

ADD_TRIALS = """
import sys
from storage.database import open_database
from storage.leases import Lease
from storage.trials import add_trial
database = open_database(sys.argv[1])
lease = Lease(int(sys.argv[2]), int(sys.argv[3]))
for seed in range(15):
    add_trial(database, lease, {"seed": seed}, seed, "sampler")
"""


def test_trials_are_numbered_from_zero(database: Database, lease: Lease) -> None:
    added = [add_trial(database, lease, {"width": width}, 2**40 + width, "sampler") for width in (8, 16)]
    assert [trial.number for trial in added] == [0, 1]
    assert list_trials(database, lease.search_id) == added
    assert get_trial(database, lease.search_id, 1) == added[1]
    assert (added[1].configuration, added[1].seed, added[1].state) == ({"width": 16}, 2**40 + 16, "RUNNING")
    assert get_trial(database, lease.search_id, 2) is None


def test_two_processes_that_add_trials_get_distinct_numbers(
    database: Database, database_url: str, lease: Lease
) -> None:
    command = [sys.executable, "-c", ADD_TRIALS, database_url, str(lease.search_id), str(lease.epoch)]
    children = [subprocess.Popen(command) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert [trial.number for trial in list_trials(database, lease.search_id)] == list(range(30))


def test_an_old_epoch_adds_begins_and_ends_nothing(database: Database, lease: Lease) -> None:
    add_trial(database, lease, {}, 0, "default")
    newer = claim(database, "dates", "first", 60)
    with pytest.raises(LeaseLost):
        add_trial(database, lease, {}, 0, "sampler")
    with pytest.raises(LeaseLost):
        begin_attempt(database, lease, 0, 0)
    with pytest.raises(LeaseLost):
        fail_trial(database, lease, 0, "ERROR", "")
    assert len(list_trials(database, newer.search_id)) == 1
    assert list_attempts(database, newer.search_id) == []


def test_a_failed_trial_keeps_its_reason_and_closes_its_attempt(database: Database, lease: Lease) -> None:
    add_trial(database, lease, {}, 0, "default")
    begin_attempt(database, lease, 0, 0, "worker 1")
    fail_trial(database, lease, 0, "NAN_LOSS", "loss became NaN at step 7")
    fail_trial(database, lease, 0, "ERROR", "again")
    trial = get_trial(database, lease.search_id, 0)
    assert trial is not None
    assert (trial.state, trial.reason, trial.message) == ("FAILED", "NAN_LOSS", "loss became NaN at step 7")
    assert [attempt.end_reason for attempt in list_attempts(database, lease.search_id)] == ["NAN_LOSS"]
    with pytest.raises(StorageError, match="trial 0 is FAILED"):
        begin_attempt(database, lease, 0, 0)


def test_a_message_is_one_line_that_any_database_takes(database: Database, lease: Lease) -> None:
    add_trial(database, lease, {}, 0, "default")
    fail_trial(database, lease, 0, "ERROR", "a\nb\x00c\ud800" + "x" * 5000)
    trial = get_trial(database, lease.search_id, 0)
    assert trial is not None
    assert trial.message is not None
    assert (trial.message[:6], len(trial.message)) == ("a b c ", 2000)


@pytest.mark.parametrize("state", ["PAUSED", "COMPLETE", "FAILED", "ASLEEP"])
def test_the_database_refuses_a_state_without_what_it_stands_for(database: Database, lease: Lease, state: str) -> None:
    now = utc_now()
    counts = {"number": 0, "seed": 0, "step": 0, "tokens": 0, "attempts": 0, "failures": 0, "segments": 0}
    values = {"search_id": lease.search_id, "configuration": {}, "origin": "default", "created": now, "updated": now}
    with pytest.raises(StorageError), database.write() as transaction:
        transaction.connection.execute(insert(Trial).values(state=state, **counts, **values))
    assert list_trials(database, lease.search_id) == []


def test_a_paused_trial_can_be_completed_as_it_is(database: Database, lease: Lease) -> None:
    add_trial(database, lease, {}, 0, "default")
    with pytest.raises(StorageError, match="trial 0 is RUNNING"):
        complete_trial(database, lease, 0)
    commit_ten_steps(database, lease, 0)
    complete_trial(database, lease, 0)
    complete_trial(database, lease, 0)
    assert count_trials(database, lease.search_id) == {"RUNNING": 0, "PAUSED": 0, "COMPLETE": 1, "FAILED": 0}
    with pytest.raises(StorageError, match="trial 0 is COMPLETE"):
        fail_trial(database, lease, 0, "ERROR", "")


def test_failures_count_in_a_row_and_interruptions_do_not(database: Database, lease: Lease) -> None:
    add_trial(database, lease, {}, 0, "default")
    counted = []
    for failure in (True, False, True):
        begin_attempt(database, lease, 0, 0)
        counted.append(end_attempt(database, lease, 0, "WORKER_LOST", failure=failure))
    assert counted == [1, 1, 2]
    begin_attempt(database, lease, 0, 0)
    commit_ten_steps(database, lease, 0)
    trial = get_trial(database, lease.search_id, 0)
    assert trial is not None
    assert (trial.attempts, trial.failures, trial.state) == (4, 0, "PAUSED")


def test_ending_an_attempt_twice_counts_once(database: Database, lease: Lease) -> None:
    add_trial(database, lease, {}, 0, "default")
    begin_attempt(database, lease, 0, 0)
    assert end_attempt(database, lease, 0, "TIMEOUT") == 1
    assert end_attempt(database, lease, 0, "TIMEOUT") == 1


def test_a_trial_goes_back_to_its_checkpoint_when_an_attempt_gives_nothing(database: Database, lease: Lease) -> None:
    add_trial(database, lease, {}, 0, "default")
    begin_attempt(database, lease, 0, 0)
    end_attempt(database, lease, 0, "TIMEOUT")
    assert count_trials(database, lease.search_id)["RUNNING"] == 1
    begin_attempt(database, lease, 0, 0)
    commit_ten_steps(database, lease, 0)
    begin_attempt(database, lease, 0, 10)
    assert count_trials(database, lease.search_id)["RUNNING"] == 1
    end_attempt(database, lease, 0, "TIMEOUT")
    assert count_trials(database, lease.search_id)["PAUSED"] == 1


def test_an_attempt_that_nobody_saw_end_is_closed_as_lost(database: Database, lease: Lease) -> None:
    add_trial(database, lease, {}, 0, "default")
    assert [begin_attempt(database, lease, 0, 0, "worker 1") for _ in range(2)] == [1, 2]
    lost, newest = list_attempts(database, lease.search_id)
    assert (lost.number, lost.end_reason, lost.ended is None) == (1, "LOST", False)
    assert (newest.number, newest.end_reason, newest.ended) == (2, None, None)


def test_attempts_that_gave_nothing_carry_their_seconds(database: Database, lease: Lease) -> None:
    for number in range(3):
        add_trial(database, lease, {}, number, "default")
        begin_attempt(database, lease, number, 0)
    end_attempt(database, lease, 0, "TIMEOUT", seconds=2.5)
    database.transact(lambda transaction: end_trial(transaction, lease, 1, "NAN_LOSS", "no number", 1.5))
    assert wasted_seconds(database, lease.search_id) == 4.0
    update_search(database, lease, message="the holder is seen a last time")
    claim(database, "dates", "first", 60)
    ended = {attempt.trial: attempt for attempt in list_attempts(database, lease.search_id)}
    assert (ended[0].seconds, ended[1].seconds, ended[2].end_reason) == (2.5, 1.5, "LOST")
    assert ended[2].seconds is not None
    assert ended[2].ended is not None
    assert 0.0 < ended[2].seconds <= (ended[2].ended - ended[2].started).total_seconds()


def test_a_trial_that_does_not_exist_is_named(database: Database, lease: Lease) -> None:
    with pytest.raises(StorageError, match="no trial 7"):
        begin_attempt(database, lease, 7, 0)
