"""Opening databases, migrations, transactions."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, inspect, literal, make_url, select, text
from sqlalchemy.exc import DBAPIError

from storage import database as databases
from storage import migrations
from storage.database import Database, StorageError, Transaction, open_database
from storage.engines import BusyError, ConnectionLost
from storage.schema import PREFIX, Base
from storage.searches import create_search, get_search

OPEN = "import sys; from storage.database import open_database; open_database(sys.argv[1]).close()"


@pytest.fixture(scope="module", autouse=True)
def migrated_once() -> None:
    """Here every database is migrated."""


def test_every_table_carries_our_prefix(database: Database) -> None:
    assert {*Base.metadata.tables, migrations.VERSION_TABLE} == set(inspect(database.reading).get_table_names())
    assert all(name.startswith(PREFIX) for name in inspect(database.reading).get_table_names())


def test_the_migrations_match_the_models(database: Database) -> None:
    with database.reading.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name in Base.metadata.tables}
        context = MigrationContext.configure(connection, opts={"version_table": "automl_version", **options})
        assert compare_metadata(context, Base.metadata) == []


def test_the_newest_migration_is_the_head_that_opening_looks_for() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_current_head() == migrations.HEAD


def test_opening_a_current_database_needs_no_alembic(database: Database, database_url: str) -> None:
    command = f"{OPEN}; assert 'alembic' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", command, database_url], check=False).returncode == 0


def test_several_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, f"sqlite:///{tmp_path / 'automl.db'}"]
    children = [subprocess.Popen(command) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]


def test_a_newer_schema_is_refused_by_name(database: Database, database_url: str) -> None:
    with database.write() as transaction:
        transaction.connection.execute(text("UPDATE automl_version SET version_num = '9999'"))
    try:
        with pytest.raises(StorageError, match=f"schema 9999 and this program knows {migrations.HEAD}"):
            open_database(database_url)
    finally:
        with database.write() as transaction:
            transaction.connection.execute(
                text("UPDATE automl_version SET version_num = :head"), {"head": migrations.HEAD}
            )


def test_sqlite_is_opened_with_our_pragmas(sqlite: Database) -> None:
    with sqlite.read() as session:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        assert [session.scalar(text(f"PRAGMA {name}")) for name in names] == ["wal", 2, 1, 60_000]


def test_a_relative_path_is_taken_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_database("sqlite:///automl.db").close()
    assert (tmp_path / "automl.db").exists()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("my notes, none of them a database" * 100)
    with pytest.raises(StorageError, match=r"notes.db is not a SQLite database"):
        open_database(f"sqlite:///{file}")
    assert file.read_text().startswith("my notes")


def test_a_missing_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere.*folder must exist"):
        open_database(f"sqlite:///{tmp_path / 'nowhere' / 'automl.db'}")


def test_an_unwritable_folder_is_refused_by_name() -> None:
    with pytest.raises(StorageError, match=r"/proc/automl.db cannot be written"):
        open_database("sqlite:////proc/automl.db")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("automl.db", "write it like sqlite:///automl.db"),
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:///:memory:", "SQLite needs a file"),
        ("oracle://somewhere/automl", "'oracle' is not known"),
        ("postgresql://someone@host:sword/fish", "port that is no number"),
        ("mysql://someone@127.0.0.1:99999/automl", "port 99999; a port is a number from 1 to 65535"),
        ("mysql://someone@127.0.0.1", "names no database; write it like mysql://user:password@host/automl"),
        ("sqlite+aiosqlite:///automl.db", "'sqlite[+]aiosqlite' is not known; write sqlite alone"),
        ("sqlite:////tmp/automl.db?timeout=soon", r"does not take the options of its URL \(timeout\)"),
        ("mysql://someone@127.0.0.1/automl?colour=red", r"does not take the options of its URL \(colour\)"),
        ("postgresql://someone@127.0.0.1/automl?colour=red", "mend what follows the [?]"),
    ],
)
def test_a_url_that_cannot_be_used_is_answered_with_one_that_can(url: str, words: str) -> None:
    with pytest.raises(StorageError, match=words):
        open_database(url)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_server_that_does_not_answer_is_named_without_the_password(kind: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_database(f"{kind}://someone:swordfish@127.0.0.1:9/automl")
    message = str(caught.value)
    assert "127.0.0.1" in message
    assert "swordfish" not in message
    assert "\n" not in message


@pytest.mark.parametrize("kind", ["PostgreSQL", "MariaDB"])
def test_a_server_that_has_no_such_database_or_user_is_not_said_to_be_silent(
    server_urls: Callable[[str], str], kind: str
) -> None:
    url = make_url(server_urls(kind))
    wrong = [url.set(database="nowhere")]
    if kind == "PostgreSQL":  # a server that skips its tables of grants lets everybody in
        wrong.append(url.set(username="nobody", password="swordfish"))
    for one in wrong:
        with pytest.raises(StorageError, match=r"refuses: .*; name a user, password and database that the") as caught:
            open_database(one.render_as_string(hide_password=False))
        assert not isinstance(caught.value, BusyError)
        assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1205, "is busy: no luck; close other programs"),
        (1213, "is busy"),
        (1040, "takes no more connections: no luck; close some"),
        (1129, "takes no more connections"),
        (1203, "takes no more connections"),
        (1053, "does not answer: no luck; start it"),
        (2003, "does not answer"),
    ],
)
def test_errors_of_mysql_that_pass_are_known_by_their_number(number: int, words: str) -> None:
    error = pymysql.err.OperationalError(number, "no luck")
    error.sqlstate = "HY000"
    found = databases.in_words(DBAPIError(None, None, error), "here")
    assert isinstance(found, BusyError)
    assert words in str(found)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("failed to resolve host 'db': [Errno -2] Name or service not known", "does not answer"),
        ("connection timeout expired", "does not answer"),
        ("connection failed: FATAL:  sorry, too many clients already", "takes no more connections"),
        ("connection failed: FATAL:  the database system is starting up", "lets nobody in now"),
    ],
)
def test_connections_to_postgresql_that_may_be_made_later_are_tried_again(line: str, words: str) -> None:
    found = databases.in_words(DBAPIError(None, None, psycopg.OperationalError(line)), "here")
    assert isinstance(found, BusyError)
    assert words in str(found)


@pytest.mark.parametrize(
    "line", ["database or disk is full", "disk I/O error", "database disk image is malformed", "?"]
)
@pytest.mark.parametrize("is_lost", [False, True])
def test_every_error_of_a_driver_ends_with_a_remedy(line: str, is_lost: bool) -> None:
    error = DBAPIError(None, None, sqlite3.OperationalError(line), connection_invalidated=is_lost)
    assert re.fullmatch(r"database here: .*; \w.+", str(databases.in_words(error, "here")))


def test_a_place_never_shows_a_password() -> None:
    url = URL.create("postgresql", "someone", "swordfish", "db", 5432, "automl", {"password": "swordfish"})
    assert databases.describe(url) == "postgresql://someone:***@db:5432/automl"


def test_reading_does_not_wait_for_a_writer(sqlite: Database) -> None:
    with sqlite.write() as writer, sqlite.read() as reader:
        writer.connection.execute(text("UPDATE automl_version SET version_num = 'x'"))
        assert reader.scalar(text("SELECT version_num FROM automl_version")) == migrations.HEAD
        writer.connection.rollback()


def test_writers_take_turns_from_their_first_statement(sqlite: Database) -> None:
    with sqlite.write() as transaction:
        transaction.connection.execute(text("SELECT 1"))
        other = sqlite3.connect(sqlite.place, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()


def test_a_busy_database_is_tried_again_and_a_wrong_statement_is_not(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "PAUSES", (0.0, 0.0))
    assert _tries(sqlite, BusyError("busy"), succeeds_at=3) == 3
    with pytest.raises(BusyError):
        _tries(sqlite, BusyError("busy"), succeeds_at=4)
    with pytest.raises(StorageError, match="wrong"):
        _tries(sqlite, StorageError("wrong"), succeeds_at=2)


def test_what_must_not_happen_twice_is_not_tried_again_when_its_commit_is_in_doubt(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "PAUSES", (0.0,))
    assert _tries(sqlite, ConnectionLost("gone"), succeeds_at=2) == 2
    with pytest.raises(ConnectionLost):
        _tries(sqlite, ConnectionLost("gone"), succeeds_at=2, repeatable=False)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are not known here")
def test_a_closed_database_holds_no_file_open(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'automl.db'}")
    for _ in range(2):
        database.transact(lambda transaction: transaction.rows(select(literal(1)), {"param_1": 1}))
    database.close()
    held = [str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
    assert [file for file in held if file.startswith(str(tmp_path))] == []


def test_a_transaction_that_raises_changes_nothing(database: Database) -> None:
    def work(transaction: Transaction) -> None:
        transaction.connection.execute(text("UPDATE automl_version SET version_num = 'x'"))
        raise KeyError

    with pytest.raises(KeyError):
        database.transact(work)
    with database.read() as session:
        assert session.scalar(text("SELECT version_num FROM automl_version")) == migrations.HEAD


def test_an_error_shows_neither_the_statement_nor_its_values(database: Database) -> None:
    with pytest.raises(StorageError) as caught, database.write() as transaction:
        transaction.connection.execute(text("INSERT INTO automl_nowhere VALUES (:value)"), {"value": "private"})
    assert "private" not in str(caught.value)
    assert "INSERT" not in str(caught.value)


def _tries(database: Database, error: StorageError, succeeds_at: int, *, repeatable: bool = True) -> int:
    tries = 0

    def work(_: Transaction) -> int:
        nonlocal tries
        tries += 1
        if tries < succeeds_at:
            raise error
        return tries

    return database.transact(work, repeatable=repeatable)


class Outage:
    """A server that answers again after so many seconds of a clock that only sleeping moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds
        attempt, connected = Database._attempt, Database._connected
        monkeypatch.setattr(databases.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(databases.time, "sleep", self.sleep)
        monkeypatch.setattr(Database, "_attempt", lambda database, work: self.answer(attempt, database, work))
        monkeypatch.setattr(Database, "_connected", lambda database: self.answer(connected, database))

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def answer(self, method: Any, *arguments: Any) -> Any:
        if self.now < self.seconds:
            raise BusyError("the server does not answer")
        return method(*arguments)


@pytest.mark.parametrize("seconds", [30.0, 500.0])
def test_a_patient_reader_and_writer_wait_for_a_server_that_is_away_for_long(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    with monkeypatch.context() as patched:
        Outage(patched, seconds)
        with pytest.raises(BusyError):
            sqlite.transact(lambda _: None)
    with monkeypatch.context() as patched:
        Outage(patched, seconds)
        with pytest.raises(BusyError), sqlite.read():
            pass
    for run in (lambda: sqlite.patient().transact(lambda _: 1), lambda: read_one(sqlite.patient())):
        with monkeypatch.context() as patched:
            outage = Outage(patched, seconds)
            assert run() == 1
            assert seconds <= outage.now < seconds + databases.LONGEST_PAUSE + sum(databases.PAUSES)


def read_one(database: Database) -> int:
    with database.read() as session:
        return int(session.scalars(select(literal(1))).one())


def test_patience_ends(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    outage = Outage(monkeypatch, 10_000.0)
    with pytest.raises(BusyError):
        sqlite.patient(100.0).transact(lambda _: None)
    assert 80 < outage.now < 120


def test_that_no_connection_is_free_is_said_in_a_line(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "PAUSES", ())
    monkeypatch.setattr(sqlite.reading.pool, "_timeout", 0.1)
    with ExitStack() as held:
        for _ in range(15):
            held.enter_context(sqlite.read())
        for ask in (lambda: get_search(sqlite, "dates"), lambda: create_search(sqlite, "dates", {}, "d" * 64)):
            with pytest.raises(BusyError, match=r"automl.db is busy: all connections of this process wait for it"):
                ask()
    create_search(sqlite, "dates", {}, "d" * 64)
