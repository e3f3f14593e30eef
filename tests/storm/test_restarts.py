"""What ends and comes back in good order: a server under a search, and a worker that is told to end."""

import os
import signal
import time
from pathlib import Path

import pytest

from storage.attempts import list_attempts
from storage.database import StorageError
from storage.searches import get_search
from tests.storm.storm import TICK_SECONDS, Storm, damage

RESTARTS = 20
SECONDS = 600.0
OUTAGE = 25.0
"""Seconds: a transaction by itself is tried again for less than ten."""


def wait_until(done, storm: Storm) -> None:
    until = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < until, f"not reached in {SECONDS:.0f} s"
        storm.tend()
        time.sleep(TICK_SECONDS)


@pytest.mark.parametrize("kind", ["SQLite"])
def test_a_worker_that_is_told_to_end_saves_its_search_and_another_one_finishes_it(tmp_path, kind, storm_url):
    with Storm(tmp_path, storm_url(kind), trials=4) as storm:
        storm.submit("drained")
        wait_until(lambda: storm.committed("drained"), storm)
        for process in storm.workers:
            os.kill(process, signal.SIGTERM)
        while storm.workers:
            storm.hear()
        search = get_search(storm.database, "drained")
        open_attempts = [a for a in list_attempts(storm.database, search.id) if a.ended is None]
        assert {code for _, code in storm.exits} == {0}
        assert (search.state, search.held, open_attempts) == ("queued", False, [])
        storm.follow("drained")
        assert damage(storm.database, "drained", 4, tmp_path / "checkpoints") == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fast", "immediate"])
@pytest.mark.parametrize("kind", ["PostgreSQL", "MariaDB"])
def test_a_server_that_is_restarted_twenty_times_in_a_search_costs_no_worker(tmp_path: Path, new, kind, mode) -> None:
    server = new(kind)
    with Storm(tmp_path, server.url, trials=24) as storm:
        storm.submit("restarted")
        restarts = 0
        while restarts < RESTARTS and storm.state("restarted") in ("queued", "running"):
            before = storm.committed("restarted")
            server.stop(mode)
            server.start()
            restarts += 1
            wait_until(lambda known=before: gets_on(storm, known), storm)
        storm.follow("restarted")
        print(f"{kind}: {restarts} restarts ({mode}), {len(storm.exits)} workers ended")
        assert restarts == RESTARTS
        assert storm.exits == []
        assert damage(storm.database, "restarted", 24, tmp_path / "checkpoints") == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PostgreSQL", "MariaDB"])
def test_a_server_that_is_away_for_longer_than_a_transaction_waits_costs_no_worker(tmp_path: Path, new, kind) -> None:
    server = new(kind)
    with Storm(tmp_path, server.url, trials=6) as storm:
        storm.submit("restarted")
        for _ in range(2):
            before = storm.committed("restarted")
            server.stop("fast")
            time.sleep(OUTAGE)
            server.start()
            wait_until(lambda known=before: gets_on(storm, known), storm)
        storm.follow("restarted")
        assert storm.exits == []
        assert damage(storm.database, "restarted", 6, tmp_path / "checkpoints") == []


def gets_on(storm: Storm, before: int) -> bool:
    """Whether something was committed since, or the search has ended."""
    try:
        return storm.committed("restarted") > before or storm.state("restarted") == "finished"
    except StorageError:
        return False
