import asyncio

import pytest

from automl.server import rows as module
from automl.server.rows import BELIEVED_SECONDS, Rows
from storage.database import open_database
from storage.searches import claim, create_search, get_search, release


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A database with a search, and how often it was asked for."""
    database = open_database(f"sqlite:///{tmp_path / 'automl.db'}")
    create_search(database, "words", {}, "0" * 64)
    asked = []
    monkeypatch.setattr(module, "get_search", lambda *given: asked.append(given[1]) or get_search(*given))
    yield database, asked
    database.close()


def test_a_search_that_runs_is_asked_for_once_in_a_moment(place):
    database, asked = place
    lease, now = claim(database, "words", "a test", 60.0), [0.0]
    rows = Rows(database, clock=lambda: now[0])
    assert [asyncio.run(rows.find("words")).state for _ in range(3)] == ["running"] * 3
    assert asked == ["words"]
    release(database, lease)
    now[0] = BELIEVED_SECONDS
    assert not asyncio.run(rows.find("words")).held
    assert len(asked) == 2


def test_a_search_that_does_not_run_and_one_that_is_not_there_are_asked_for_each_time(place):
    database, asked = place
    rows = Rows(database, clock=lambda: 0.0)
    assert [asyncio.run(rows.find(name)) is None for name in ("words", "words", "others", "others")] == [False] * 2 + [
        True
    ] * 2
    assert len(asked) == 4


def test_what_is_forgotten_is_asked_for_again_even_while_it_was_being_read(place, monkeypatch):
    database, asked = place
    claim(database, "words", "a test", 60.0)
    rows = Rows(database, clock=lambda: 0.0)
    asyncio.run(rows.find("words"))
    rows.forget()
    asyncio.run(rows.find("words"))
    assert len(asked) == 2
    rows.forget()
    monkeypatch.setattr(module, "get_search", lambda *given: rows.forget() or get_search(*given))
    asyncio.run(rows.find("words"))
    assert rows._believed == {}
