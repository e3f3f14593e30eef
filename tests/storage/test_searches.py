"""Searches and their leases, on every kind of database."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage import leases
from storage.database import Database, StorageError
from storage.leases import Lease, LeaseHeld, LeaseLost
from storage.searches import (
    SearchExists,
    claim,
    create_search,
    get_search,
    list_searches,
    release,
    renew,
    update_search,
)
from storage.spending import delete_search
from storage.trials import add_trial, list_trials

CLAIM_AND_DIE = """
import os, signal, sys
from storage.database import open_database
from storage.leases import current_owner
from storage.searches import claim, create_search
database = open_database(sys.argv[1])
create_search(database, "left", {}, "d")
claim(database, "left", current_owner(), 3600)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_search_comes_back_as_it_was_created(database: Database) -> None:
    created = create_search(database, "dates", {"seed": {"value": 0}, "name": "dätes"}, "d" * 64)
    assert get_search(database, "dates") == created
    assert list_searches(database) == [created]
    assert created.document == {"seed": {"value": 0}, "name": "dätes"}
    assert (created.seconds, created.epoch, created.held) == (0.0, 0, False)


def test_an_unknown_search_is_none_and_cannot_be_claimed(database: Database) -> None:
    assert get_search(database, "dates") is None
    with pytest.raises(StorageError, match="no search 'dates'"):
        claim(database, "dates", "first", 60)


def test_a_name_is_given_once_and_case_counts(database: Database) -> None:
    create_search(database, "dates", {}, "d")
    create_search(database, "Dates", {}, "d")
    with pytest.raises(SearchExists, match="'dates'"):
        create_search(database, "dates", {}, "d")


def test_a_second_owner_is_refused_and_told_who_holds_it(database: Database, lease: Lease) -> None:
    with pytest.raises(LeaseHeld, match="first") as caught:
        claim(database, "dates", "second", 60)
    assert caught.value.owner == "first"
    search = get_search(database, "dates")
    assert search is not None
    assert (search.owner, search.epoch, search.held, search.state) == ("first", lease.epoch, True, "running")


def test_a_lapsed_lease_is_taken_over_and_the_old_epoch_fenced_off(database: Database, lease: Lease) -> None:
    renew(database, lease, -1)
    newer = claim(database, "dates", "second", 60)
    assert newer == Lease(lease.search_id, lease.epoch + 1)
    with pytest.raises(LeaseLost):
        renew(database, lease, 60)
    with pytest.raises(LeaseLost):
        update_search(database, lease, state="finished")
    renew(database, newer, 60)


def test_renewing_keeps_others_out(database: Database, lease: Lease) -> None:
    renew(database, lease, -1)
    renew(database, lease, 60)
    with pytest.raises(LeaseHeld):
        claim(database, "dates", "second", 60)


def test_an_owner_that_claims_again_fences_off_itself(database: Database, lease: Lease) -> None:
    assert claim(database, "dates", "first", 60).epoch == lease.epoch + 1
    with pytest.raises(LeaseLost):
        renew(database, lease, 60)


def test_a_released_search_is_free_at_once(database: Database, lease: Lease) -> None:
    release(database, lease)
    assert claim(database, "dates", "second", 60).epoch == lease.epoch + 1


def test_releasing_a_lost_lease_leaves_the_new_owner_alone(database: Database, lease: Lease) -> None:
    renew(database, lease, -1)
    claim(database, "dates", "second", 60)
    release(database, lease)
    search = get_search(database, "dates")
    assert search is not None
    assert (search.owner, search.held) == ("second", True)


def test_a_killed_process_loses_its_lease_at_once(database: Database, database_url: str) -> None:
    subprocess.run([sys.executable, "-c", CLAIM_AND_DIE, database_url], check=False)
    search = get_search(database, "left")
    assert search is not None
    assert (search.state, search.epoch, search.held) == ("running", 1, False)
    assert claim(database, "left", leases.current_owner(), 60).epoch == 2


def test_a_live_process_is_not_dead_and_other_machines_are_not_judged() -> None:
    host, pid, started, place = leases.current_owner().split(":", 3)
    assert not leases.is_dead(leases.current_owner())
    assert leases.is_dead(f"{host}:{pid}:{int(started) + 1}:{place}")
    assert not leases.is_dead(f"elsewhere:{pid}:{int(started) + 1}:{place}")
    assert not leases.is_dead(f"{host}:{pid}:{int(started) + 1}:another-boot")


def test_a_process_of_another_user_that_is_hidden_is_not_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _, _, place = leases.current_owner().split(":", 3)
    monkeypatch.setattr(leases, "_place", lambda: place)
    monkeypatch.setattr(leases, "PROC", tmp_path)

    def kill(pid: int, number: int) -> None:
        raise {2: PermissionError, 3: ProcessLookupError}[pid]

    monkeypatch.setattr(leases.os, "kill", kill)
    assert [leases.is_dead(f"{host}:{pid}:77:{place}") for pid in (2, 3)] == [False, True]


def test_a_killed_process_that_nobody_waited_for_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    host, _, _, place = leases.current_owner().split(":", 3)
    owner = f"{host}:{child.pid}:{leases._started(child.pid)}:{place}"
    assert not leases.is_dead(owner)
    child.kill()
    while not leases.is_dead(owner):
        time.sleep(0)
    child.communicate()


def test_on_sqlite_a_lease_of_an_earlier_boot_has_lapsed(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    create_search(sqlite, "dates", {}, "d")
    claim(sqlite, "dates", "first", 3600)
    monkeypatch.setattr(leases, "boot_id", lambda: "the next boot")
    assert claim(sqlite, "dates", "second", 60).epoch == 2


def test_fields_are_set_and_cleared(database: Database, lease: Lease) -> None:
    update_search(database, lease, state="finished", seconds=12.5, rung_tokens=5_000_000_000, summary={"best": 3})
    update_search(database, lease, message="no trial\nfinished", bundle="models/dates")
    search = get_search(database, "dates")
    assert search is not None
    assert (search.state, search.seconds, search.rung_tokens) == ("finished", 12.5, 5_000_000_000)
    assert (search.summary, search.message) == ({"best": 3}, "no trial finished")
    update_search(database, lease, summary=None)
    cleared = get_search(database, "dates")
    assert cleared is not None
    assert cleared.summary is None


def test_an_unknown_state_is_refused(database: Database, lease: Lease) -> None:
    with pytest.raises(StorageError):
        update_search(database, lease, state="paused")  # type: ignore[arg-type]


def test_a_held_search_is_not_deleted(database: Database, lease: Lease) -> None:
    with pytest.raises(LeaseHeld):
        delete_search(database, "dates")
    assert get_search(database, "dates") is not None


def test_a_lease_on_a_deleted_search_does_not_fit_its_successor(database: Database, lease: Lease) -> None:
    add_trial(database, lease, {}, 0, "default")
    assert delete_search(database, "dates", "first")
    assert not delete_search(database, "dates")
    create_search(database, "dates", {}, "d")
    newer = claim(database, "dates", "second", 60)
    assert list_trials(database, newer.search_id) == []
    with pytest.raises(LeaseLost):
        add_trial(database, lease, {}, 0, "default")
