"""Upgrades of servers' databases: each by one process, and whole after one that was cut off."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import sqlalchemy
from sqlalchemy import make_url, text

from storage import migrations
from storage.database import open_database
from storage.engines import BusyError
from tests.storage.old_schemas import empty, make_old


@pytest.fixture
def url(server_urls: Callable[[str], str]) -> Iterator[str]:
    url = server_urls("MariaDB")
    empty(url)
    yield url
    empty(url)


@contextmanager
def held(url: str, database: str) -> Iterator[None]:
    """While another process upgrades that database of the server."""
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        lock = text("SELECT get_lock(concat('automl ', md5(:database)), 0)")
        assert connection.execute(lock, {"database": database}).scalar() == 1
        yield
        connection.detach()
    engine.dispose()


def test_an_upgrade_waits_for_another_of_its_database_and_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 0)
    with held(url, str(make_url(url).database)), pytest.raises(BusyError, match=r"another process .*; try again"):
        open_database(url)
    with held(url, "another"):
        open_database(url).close()
    assert revision(url) == migrations.HEAD


def test_of_a_cut_off_upgrade_each_migration_that_was_done_is_written_down(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(url, "0002")
    upgrade = migrations._upgrade

    def cut_off(connection: sqlalchemy.Connection, place: str, to: str) -> None:
        if to == "0005":
            raise KeyboardInterrupt
        upgrade(connection, place, to)

    monkeypatch.setattr(migrations, "_upgrade", cut_off)
    with suppress(KeyboardInterrupt):
        open_database(url)
    assert revision(url) == "0004"


@pytest.mark.parametrize("cut", ["INSERT INTO automl_keys", "DROP COLUMN token_digest"])
def test_tokens_become_keys_once_however_their_migration_was_cut_off(
    url: str, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(url, "0002")
    run = migrations._pass_over_what_is_made

    def cut_off(cursor: object, statement: str, parameters: object, context: object) -> bool:
        done = run(cursor, statement, parameters, context)
        if cut in statement:
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(migrations, "_pass_over_what_is_made", cut_off)
        open_database(url)
    assert revision(url) == "0002"
    open_database(url).close()
    assert asked(url, "SELECT count(*) FROM automl_keys WHERE digest = :value", "a" * 64) == 1


def revision(url: str) -> object:
    return asked(url, "SELECT max(version_num) FROM automl_version", "")


def asked(url: str, question: str, value: str) -> object:
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(text(question), {"value": value}).scalar()
    engine.dispose()
    return found
