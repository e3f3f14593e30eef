"""Queued searches and the workers that take them, on every kind of database."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from storage import database as databases
from storage import leases
from storage.attempts import begin_attempt, list_attempts
from storage.database import Database, StorageError
from storage.engines import ConnectionLost
from storage.leases import LeaseHeld, LeaseLost
from storage.queues import queue_search, revise, withdraw_search
from storage.searches import (
    MOST_TAKEOVERS,
    SearchState,
    claim,
    claim_next,
    create_search,
    get_search,
    release,
    renew,
    update_search,
)
from storage.segments import commit_segment
from storage.trials import add_trial, get_trial
from storage.workers import forget_worker, list_workers, see_worker

from .test_segments import a_segment

CLAIM_ALL = """
import sys
from storage.database import open_database
from storage.searches import claim_next
database = open_database(sys.argv[1])
while (found := claim_next(database, sys.argv[2], 3600)) is not None:
    print(found[0].name)
"""


@pytest.fixture
def queued(database: Database) -> Iterator[list[str]]:
    names = [f"search {number}" for number in range(12)]
    for name in names:
        create_search(database, name, {}, "d")
        queue_search(database, name, {"workers": 2})
    yield names
    for name in names:
        search = get_search(database, name)
        assert search is not None
        release(database, leases.Lease(search.id, search.epoch))


def test_the_document_of_a_search_changes_only_while_nobody_holds_it(database: Database) -> None:
    create_search(database, "dates", {"share_samples": True}, "d")
    revise(database, "dates", {"share_samples": False})
    lease = claim(database, "dates", "a worker", 60)
    revise(database, "dates", {"share_samples": True})
    search = get_search(database, "dates")
    assert search is not None
    assert search.document == {"share_samples": False}
    release(database, lease)


def test_a_search_waits_for_a_worker_only_where_it_was_queued(database: Database) -> None:
    create_search(database, "dates", {}, "d")
    assert claim_next(database, "a worker", 60) is None
    queue_search(database, "dates", {"executor": "inline"})
    found = claim_next(database, "a worker", 60)
    assert found is not None
    row, lease = found
    assert (row.name, row.state, row.options, row.detached) == ("dates", "running", {"executor": "inline"}, True)
    assert lease.epoch == 1
    assert claim_next(database, "another", 60) is None


def test_searches_are_taken_in_the_order_in_which_they_were_queued(database: Database, queued: list[str]) -> None:
    claimed = [claim_next(database, "a worker", 3600) for _ in queued]
    assert [found[0].name for found in claimed if found] == queued
    assert claim_next(database, "a worker", 3600) is None


def test_workers_that_claim_at_once_never_get_the_same_search(
    database: Database, database_url: str, queued: list[str]
) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", CLAIM_ALL, database_url, f"worker {n}"], stdout=subprocess.PIPE)
        for n in range(3)
    ]
    claimed = b"".join(child.communicate()[0] for child in children).decode().splitlines()
    assert sorted(claimed) == sorted(queued)


def test_a_lapsed_queued_search_goes_to_the_next_worker_and_one_in_the_foreground_does_not(
    database: Database, lease: leases.Lease
) -> None:
    renew(database, lease, -1)
    assert claim_next(database, "a worker", 60) is None
    queue_search(database, "dates")
    found = claim_next(database, "a worker", -1)
    assert found is not None
    taken = claim_next(database, "another", 60)
    assert taken is not None
    assert (taken[1].epoch, taken[0].takeovers) == (found[1].epoch + 1, 1)
    with pytest.raises(LeaseLost):
        update_search(database, found[1], seconds=1.0)
    release(database, taken[1])


@pytest.mark.parametrize("state", ["finished", "interrupted", "failed"])
def test_a_search_that_has_ended_is_not_queued_by_whoever_gives_it_back(
    database: Database, lease: leases.Lease, state: SearchState
) -> None:
    update_search(database, lease, state=state)
    release(database, lease, queue=True)
    found = get_search(database, "dates")
    assert found is not None
    assert (found.state, found.held) == (state, False)
    assert claim_next(database, "another", 60) is None


def test_a_worker_that_drains_gives_its_search_to_another(database: Database, lease: leases.Lease) -> None:
    release(database, lease, queue=True)
    search = get_search(database, "dates")
    assert search is not None
    assert (search.state, search.owner) == ("queued", None)
    assert claim_next(database, "another", -1) is not None


def test_a_search_that_loses_every_worker_is_given_up_and_says_so(database: Database, lease: leases.Lease) -> None:
    release(database, lease, queue=True)
    claims = 0
    while claim_next(database, f"worker {claims}", -1) is not None:
        claims += 1
    search = get_search(database, "dates")
    assert search is not None
    assert (claims, search.state, search.held) == (MOST_TAKEOVERS, "failed", False)
    assert "lost" in str(search.message)
    queue_search(database, "dates")
    assert claim_next(database, "another", -1) is not None


def test_a_held_search_cannot_be_queued(database: Database, lease: leases.Lease) -> None:
    with pytest.raises(LeaseHeld):
        queue_search(database, "dates")
    with pytest.raises(StorageError, match="no search 'times'"):
        queue_search(database, "times")


def test_a_takeover_closes_what_was_open_in_the_same_transaction(database: Database, lease: leases.Lease) -> None:
    for number in range(2):
        add_trial(database, lease, {}, number, "sampler")
        begin_attempt(database, lease, number, 0)
    commit_segment(database, lease, a_segment(0))
    begin_attempt(database, lease, 0, 10)
    renew(database, lease, -1)
    claim(database, "dates", "second", 60)
    attempts = list_attempts(database, lease.search_id)
    assert [(a.trial, a.end_reason) for a in attempts] == [(0, "COMMITTED"), (0, "LOST"), (1, "LOST")]
    rows = [get_trial(database, lease.search_id, number) for number in range(2)]
    assert [(row.state, row.failures) for row in rows if row] == [("PAUSED", 0), ("RUNNING", 0)]


def test_what_was_in_flight_is_blamed_from_the_third_loss_in_a_row_on(database: Database, lease: leases.Lease) -> None:
    add_trial(database, lease, {}, 0, "default")
    blamed = []
    for _ in range(4):
        begin_attempt(database, lease, 0, 0)
        renew(database, lease, -1)
        lease = claim(database, "dates", "second", 60)
        row = get_trial(database, lease.search_id, 0)
        assert row is not None
        blamed.append(row.failures)
    assert blamed == [0, 0, 1, 2]
    begin_attempt(database, lease, 0, 0)
    commit_segment(database, lease, a_segment(0))
    renew(database, lease, -1)
    claim(database, "dates", "third", 60)
    search, row = get_search(database, "dates"), get_trial(database, lease.search_id, 0)
    assert search is not None
    assert row is not None
    assert (search.takeovers, row.failures) == (0, 0)


def test_a_worker_is_listed_while_it_may_live(database: Database) -> None:
    owner = leases.current_owner()
    host, pid, started, place = owner.split(":", 3)
    dead = f"{host}:{pid}:{int(started) + 1}:{place}"
    for worker in (owner, dead, owner):
        see_worker(database, worker)
    listed = list_workers(database)
    assert [(row.owner, row.search_id) for row in listed] == [(owner, None)]
    assert listed[0].silent is not None
    assert 0 <= listed[0].silent < 60
    for worker in (owner, dead):
        forget_worker(database, worker)
    assert list_workers(database) == []


def test_a_worker_shows_its_search_and_outlives_it(database: Database, lease: leases.Lease) -> None:
    see_worker(database, leases.current_owner(), lease.search_id)
    assert [row.search_id for row in list_workers(database)] == [lease.search_id]
    forget_worker(database, leases.current_owner())


def test_a_search_that_waits_is_withdrawn_and_one_that_is_held_is_not(database: Database, lease: leases.Lease) -> None:
    assert not withdraw_search(database, "dates")
    release(database, lease, queue=True)
    assert withdraw_search(database, "dates")
    assert claim_next(database, "first", 60) is None
    assert not withdraw_search(database, "nothing")


@pytest.fixture
def doubtful(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Commits that are made and not heard of, by what was claimed; each entry is one more."""
    monkeypatch.setattr(databases, "PAUSES", (0.0, 0.0))
    left: list[str] = []
    original = Database._attempt

    def attempt(self: Database, work: object) -> object:
        result = original(self, work)  # type: ignore[arg-type]
        if left:
            raise ConnectionLost(left.pop())
        return result

    monkeypatch.setattr(Database, "_attempt", attempt)
    return left


def test_a_claim_whose_commit_was_in_doubt_finds_what_it_has_claimed(
    database: Database, queued: list[str], doubtful: list[str]
) -> None:
    doubtful.append("the connection was lost after the commit")
    found = claim_next(database, "a worker", 3600)
    assert found is not None
    assert (found[0].name, found[1].epoch, found[0].takeovers) == (queued[0], 1, 0)
    renew(database, found[1], 60)
    others = [claim_next(database, "a worker", 3600) for _ in queued[1:]]
    assert [other[0].name for other in others if other] == queued[1:]


def test_the_only_search_is_claimed_though_the_commit_was_in_doubt(database: Database, doubtful: list[str]) -> None:
    create_search(database, "dates", {}, "d")
    queue_search(database, "dates")
    doubtful.append("the connection was lost after the commit")
    found = claim_next(database, "a worker", 3600)
    assert found is not None
    doubtful.append("the connection was lost after the commit")
    assert claim(database, "dates", "a worker", 3600).epoch == found[1].epoch + 1


def test_a_claim_in_doubt_that_another_has_taken_over_is_not_found_again(
    database: Database, doubtful: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create_search(database, "dates", {}, "d")
    queue_search(database, "dates")
    doubtful.append("the connection was lost after the commit")
    pauses = iter([lambda: claim(database, "dates", "another", 3600)])
    monkeypatch.setattr(databases.time, "sleep", lambda _: next(pauses)())
    assert claim_next(database, "a worker", -1) is None
    search = get_search(database, "dates")
    assert search is not None
    assert (search.owner, search.epoch) == ("another", 2)
