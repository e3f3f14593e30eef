"""Committing segments, on every kind of database."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from storage.attempts import begin_attempt, list_attempts
from storage.checkpoints import Checkpoint, forget_unreferenced, referenced
from storage.database import Database, StorageError
from storage.events import append_event, list_events, newest_events
from storage.leases import Lease, LeaseLost
from storage.searches import claim, get_search
from storage.segments import NewSegment, SegmentRow, commit_segment, drop_segments, list_segments
from storage.spending import delete_search
from storage.trials import add_trial, get_trial


def a_segment(trial: int = 0, from_step: int = 0, **fields: Any) -> NewSegment:
    digest = hashlib.sha256(f"{trial} {from_step}".encode()).hexdigest()
    segment = NewSegment(trial, from_step, from_step + 10, (from_step + 10) * 50, {"loss": 1.5}, digest, 2**33, 12_345)
    return replace(segment, **fields)


def commit_ten_steps(database: Database, lease: Lease, trial: int, from_step: int = 0) -> SegmentRow:
    return commit_segment(database, lease, a_segment(trial, from_step))


def checkpoints(database: Database) -> int:
    with database.read() as session:
        return session.scalars(select(func.count()).select_from(Checkpoint)).one()


@pytest.fixture
def trial(database: Database, lease: Lease) -> int:
    return add_trial(database, lease, {"width": 8}, 0, "default").number


def test_a_commit_moves_the_trial_its_attempt_and_the_budget_together(
    database: Database, lease: Lease, trial: int
) -> None:
    begin_attempt(database, lease, trial, 0, "worker 1")
    row = commit_segment(database, lease, a_segment(seconds={"training": 2.0}, worker="worker 1"), elapsed=2.5)
    paused, search = get_trial(database, lease.search_id, trial), get_search(database, "dates")
    assert paused is not None
    assert search is not None
    assert (paused.state, paused.step, paused.tokens) == ("PAUSED", 10, 500)
    assert (paused.checkpoint, paused.parameters) == (row.checkpoint, 12_345)
    assert search.seconds == 2.5
    assert [attempt.end_reason for attempt in list_attempts(database, lease.search_id)] == ["COMMITTED"]
    assert list_segments(database, lease.search_id) == [row]


def test_the_same_commit_again_changes_nothing(database: Database, lease: Lease, trial: int) -> None:
    rows = [commit_segment(database, lease, a_segment(), complete=True, elapsed=2.5) for _ in range(2)]
    search = get_search(database, "dates")
    assert search is not None
    assert (rows[0], search.seconds) == (rows[1], 2.5)
    assert list_segments(database, lease.search_id) == rows[:1]


def test_a_commit_of_an_old_epoch_is_refused_even_when_it_is_known(
    database: Database, lease: Lease, trial: int
) -> None:
    commit_segment(database, lease, a_segment())
    begin_attempt(database, lease, trial, 10)
    newer = claim(database, "dates", "first", 60)
    for from_step in (0, 10):
        with pytest.raises(LeaseLost):
            commit_segment(database, lease, a_segment(from_step=from_step))
    assert len(list_segments(database, newer.search_id)) == checkpoints(database) == 1


def test_a_trial_goes_on_from_where_it_stood(database: Database, lease: Lease, trial: int) -> None:
    commit_segment(database, lease, a_segment())
    begin_attempt(database, lease, trial, 10)
    commit_segment(database, lease, a_segment(from_step=10, cooldown=True), complete=True)
    rows = list_segments(database, lease.search_id)
    assert [(row.index, row.from_step, row.to_step, row.cooldown) for row in rows] == [
        (0, 0, 10, False),
        (1, 10, 20, True),
    ]
    complete = get_trial(database, lease.search_id, trial)
    assert complete is not None
    assert (complete.state, complete.step) == ("COMPLETE", 20)


def test_a_segment_from_a_step_where_the_trial_never_was_is_refused(
    database: Database, lease: Lease, trial: int
) -> None:
    with pytest.raises(StorageError, match="never at step 30"):
        commit_segment(database, lease, a_segment(from_step=30))
    assert (list_segments(database, lease.search_id), checkpoints(database)) == ([], 0)


def test_a_segment_of_a_trial_that_is_not_running_is_refused(database: Database, lease: Lease, trial: int) -> None:
    commit_segment(database, lease, a_segment())
    with pytest.raises(StorageError, match="trial 0 is PAUSED"):
        commit_segment(database, lease, a_segment(from_step=10))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_refused_by_name(
    database: Database, lease: Lease, trial: int, value: float
) -> None:
    with pytest.raises(ValueError, match="loss of trial 0"):
        commit_segment(database, lease, a_segment(scores={"loss": value}))


def test_two_trials_with_the_same_state_share_a_checkpoint(database: Database, lease: Lease, trial: int) -> None:
    other = add_trial(database, lease, {"width": 8}, 0, "sampler").number
    row = commit_segment(database, lease, a_segment(trial))
    commit_segment(database, lease, a_segment(other, checkpoint=row.checkpoint))
    assert referenced(database, lease.search_id) == {row.checkpoint}
    assert checkpoints(database) == 1


def test_checkpoints_outlive_a_search_until_they_are_forgotten(database: Database, lease: Lease, trial: int) -> None:
    commit_segment(database, lease, a_segment())
    assert forget_unreferenced(database) == 0
    delete_search(database, "dates", "first")
    assert (checkpoints(database), referenced(database)) == (1, set())
    assert forget_unreferenced(database) == 1


def test_events_are_listed_in_order_after_an_id(database: Database, lease: Lease) -> None:
    for number in range(3):
        append_event(database, lease, "scheduler", f"thawed {number}")
    first, *later = list_events(database, lease.search_id)
    assert list_events(database, lease.search_id, after=first.id) == later
    assert list_events(database, lease.search_id, limit=1) == [first]
    append_event(database, lease, "wait", "nothing to do")
    assert newest_events(database, lease.search_id, ["scheduler"], limit=1) == later[-1:]
    assert newest_events(database, lease.search_id, ["scheduler"]) == [first, *later]
    assert [event.message for event in (first, *later)] == ["thawed 0", "thawed 1", "thawed 2"]


def test_an_old_epoch_says_nothing(database: Database, lease: Lease) -> None:
    claim(database, "dates", "first", 60)
    with pytest.raises(LeaseLost):
        append_event(database, lease, "scheduler", "thawed 3")
    assert list_events(database, lease.search_id) == []


def three_segments(database: Database, lease: Lease, trial: int) -> list[SegmentRow]:
    for from_step in (0, 10, 20):
        begin_attempt(database, lease, trial, from_step)
        commit_ten_steps(database, lease, trial, from_step)
    return list_segments(database, lease.search_id)


def test_a_trial_goes_back_to_the_last_segment_that_is_left_and_on_from_there(
    database: Database, lease: Lease, trial: int
) -> None:
    first, second, third = three_segments(database, lease, trial)
    row = drop_segments(database, lease, trial, [second.index, third.index])
    assert (row.state, row.step, row.tokens, row.checkpoint) == ("PAUSED", 10, 500, first.checkpoint)
    begin_attempt(database, lease, trial, 10)
    again = commit_ten_steps(database, lease, trial, 10)
    assert list_segments(database, lease.search_id) == [first, again]
    assert again.checkpoint == second.checkpoint


def test_a_segment_dropped_from_the_middle_leaves_the_trial_where_it_is(
    database: Database, lease: Lease, trial: int
) -> None:
    first, second, third = three_segments(database, lease, trial)
    row = drop_segments(database, lease, trial, [second.index])
    assert (row.step, row.checkpoint) == (30, third.checkpoint)
    begin_attempt(database, lease, trial, 30)
    fourth = commit_ten_steps(database, lease, trial, 30)
    assert list_segments(database, lease.search_id) == [first, third, fourth]


def test_a_trial_without_segments_is_at_its_beginning(database: Database, lease: Lease, trial: int) -> None:
    segments = three_segments(database, lease, trial)
    row = drop_segments(database, lease, trial, [segment.index for segment in segments])
    assert (row.state, row.step, row.tokens, row.checkpoint) == ("RUNNING", 0, 0, None)
    assert list_segments(database, lease.search_id) == []
