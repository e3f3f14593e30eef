"""Opens databases: engines, sessions, transactions, and errors in words."""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from storage.errors import StorageError as StorageError  # noqa: PLC0414
from storage.mounts import network_file_system
from storage.statements import Prepared, Statement, prepare

T = TypeVar("T")

BUSY_SECONDS = 60.0
PAUSES = (0.1, 0.4, 1.6, 6.4)
"""Seconds between tries of a transaction; a busy SQLite waits `BUSY_SECONDS` within each."""

PATIENCE = 600.0
"""Seconds for which a running search waits for a database that does not answer; what is training goes on meanwhile."""
LONGEST_PAUSE = 10.0

SILENCE_SECONDS = 20.0
"""A connection on which a server says nothing for so long within a statement is lost: a third of a lease, and far
longer than any statement of ours takes."""

CONNECT_SECONDS = 5.0
LOCK_SECONDS = 10
"""MySQL waits so long for others' locks, so that it says so before it counts as silent."""

UPGRADE_SECONDS = 3600.0
"""The same silence while the schema is changed, where one statement may copy a large table."""

DRIVERS = {"sqlite": "pysqlite", "postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
EXAMPLE = "sqlite:///automl.db"
SERVER_EXAMPLE = "user:password@host/automl"

BUSY_CODES = {"40001", "40P01", "55P03", 1205, 1213}
"""PostgreSQL's and MySQL's names for: rolled back by a conflict with others, try again."""

FULL_CODES = {"53300", 1040, 1129, 1203}
"""Their names for: no further connection is taken now."""

ABSENT_CODES = {"57P03", 1053, 2002, 2003}
"""Their names for: no connection could be made, as while a server restarts."""

ABSENT_WORDS = ("connection failed", "connection is bad", "connection timeout expired", "failed to resolve host")
"""How psycopg begins to say so, which gives no code then."""

FULL_WORDS = ("too many", "remaining connection slots")
REFUSED_CODES = {1044, 1045, 1049, 1698}
REFUSED_WORDS = (
    "does not exist",
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf",
    "permission denied",
)
"""A server that answers, and has no such database or user, or does not let the user in."""

REMEDIES = {
    "invalid connection option": "mend what follows the ? of its URL",
    "is full": "make room on its disk",
    "I/O error": "look at its disk",
    "malformed": "restore a backup of it",
}


HURRIED = "SET SESSION innodb_lock_wait_timeout = {seconds}, SESSION lock_wait_timeout = {seconds}"
UNHURRIED = f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}, SESSION lock_wait_timeout = DEFAULT"
HURRY: dict[str, tuple[str, str | None]] = {
    "postgresql": ("SET LOCAL lock_timeout = '{seconds}s'", None),
    "mysql": (HURRIED, UNHURRIED),
    "mariadb": (HURRIED, UNHURRIED),
}
"""What bounds how long a statement waits for others, and what ends that where the transaction's end does not.

A transaction on SQLite waits only before it holds anything.
"""


class BusyError(StorageError):
    """Others were in the way or the server did not answer, and nothing was changed."""


class ConnectionLost(StorageError):
    """The server went away; whether the transaction was committed is not known."""


class Transaction:
    """Writes that are committed together at the end of its context, or not at all.

    Attributes:
        dialect: Name of the database's dialect.
        known: What was read under a lock in this transaction, by whatever names it.
        trials: The trials among it.
    """

    def __init__(
        self,
        engine: Engine,
        prepared: dict[Statement, Prepared],
        idle: list[Any],
        place: str,
        patience: int | None = None,
    ) -> None:
        self.dialect = engine.dialect.name
        self.known: dict[Any, Any] = {}
        self.trials: dict[Any, Any] = {}
        self._engine = engine
        self._prepared = prepared
        self._idle = idle
        self._place = place
        self._hurry: str | None = None
        self._unhurry: str | None = None
        if patience is not None and self.dialect in HURRY:
            self._hurry, self._unhurry = HURRY[self.dialect]
        self._patience = patience
        self._last: list[Callable[[], None]] = []
        self._borrowed: Any = None
        self._errors: Any = engine.dialect.loaded_dbapi.Error

    def __enter__(self) -> "Transaction":
        try:
            self._borrowed = self._borrow()
            self._cursor: Any = self._borrowed.cursor()
            if self._hurry is not None:
                self._cursor.execute(self._hurry.format(seconds=self._patience))
            if self.dialect == "sqlite":
                self._engine.dialect.do_execute(self._cursor, "BEGIN IMMEDIATE", ())
        except BaseException as error:
            failure = self._translated(error) if isinstance(error, self._errors) else error
            self._close(keep=False)
            if isinstance(failure, DBAPIError):
                raise in_words(failure, self._place) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._close(keep=error is None)
        except DBAPIError as failure:
            raise in_words(failure, self._place) from failure
        if isinstance(error, DBAPIError):
            raise in_words(error, self._place) from error

    @cached_property
    def moment(self) -> datetime:
        """The time of all that is written, for people to read."""
        return datetime.now(UTC)

    @cached_property
    def connection(self) -> Connection:
        """A connection within this transaction, for statements that are compiled anew."""
        return Connection(self._engine.execution_options(automl_begin=""), self._borrowed)

    @cached_property
    def session(self) -> Session:
        """A session within this transaction, for what is rare."""
        return Session(self.connection)

    def run(self, statement: Statement, values: Mapping[str, Any]) -> int:
        """Run a statement that is compiled once for the database; returns how many rows it found."""
        cursor = self._execute(statement, values)
        return int(cursor.rowcount)

    def rows(self, statement: Statement, values: Mapping[str, Any]) -> list[Any]:
        """Run such a query; rows come as the driver gives them."""
        return list(self._execute(statement, values).fetchall())

    def run_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run such a statement for every row."""
        if rows:
            prepared = self._compiled(statement)
            parameters = [prepared.parameters(values) for values in rows]
            try:
                self._cursor.executemany(prepared.text, parameters)
            except self._errors as error:
                raise self._translated(error) from error

    def before_end(self, work: Callable[[], None]) -> None:
        """Call `work` before the transaction is committed."""
        self._last.append(work)

    def _close(self, *, keep: bool) -> None:
        """Commit, or roll back, and give the connection back."""
        committed = False
        try:
            if keep:
                self._commit()
                committed = True
        finally:
            self._take_time()
            if "session" in self.__dict__:
                self.session.close()
            if "connection" in self.__dict__:
                self.connection.close()
            elif committed and self.dialect == "sqlite" and not self._idle:
                self._idle.append(self._borrowed)
            elif self._borrowed is not None:
                self._borrowed.close()

    def _take_time(self) -> None:
        """Let whoever borrows the connection next wait for others as long as is usual."""
        if self._unhurry is not None and self._borrowed is not None and self._borrowed.is_valid:
            try:
                self._cursor.execute(self._unhurry)
            except self._errors as error:
                self._borrowed.invalidate(error)

    def _borrow(self) -> Any:
        """A connection of the pool, or the one that the last transaction has put by: the pool's way costs a statement.

        Servers may restart, for which the pool looks at a connection before it lends it.
        """
        try:
            return self._idle.pop()
        except IndexError:
            return self._engine.raw_connection()

    def _commit(self) -> None:
        """Write what was put off, and end what was done by the session."""
        for work in self._last:
            work()
        if "session" in self.__dict__:
            self.session.flush()
        if "connection" in self.__dict__ and self.connection.in_transaction():
            self.connection.commit()
        else:
            try:
                self._engine.dialect.do_commit(self._borrowed)
            except self._errors as error:
                raise self._translated(error) from error

    def _execute(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        prepared = self._prepared.get(statement) or self._compiled(statement)
        parameters = prepared.parameters(values)
        try:
            self._cursor.execute(prepared.text, parameters)
        except self._errors as error:
            raise self._translated(error) from error
        return self._cursor

    def _translated(self, error: Any) -> DBAPIError:
        """The driver's error as SQLAlchemy's, whose own way round a statement costs three times the statement."""
        lost = self._engine.dialect.is_disconnect(error, self._borrowed and self._borrowed.dbapi_connection, None)
        if lost and self._borrowed is not None:
            self._borrowed.invalidate(error)
        return DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=lost)

    def _compiled(self, statement: Statement) -> Prepared:
        found = self._prepared.get(statement)
        if found is None:
            found = self._prepared[statement] = prepare(statement, self._engine.dialect)
        return found


@dataclass(frozen=True)
class Database:
    """An open database.

    Attributes:
        url: With its password; never print it.
        place: The same for people to read, without it.
        reading: Engine for transactions that only read, each one state of the database.
        writing: Engine over the same connections for transactions that write.
        idle: At most one of these connections, put by for the next transaction.
        patience: Seconds for which it is waited for where it does not answer, beside the `PAUSES` of a transaction.
        session: Where it is held still, what all reads are made in.
    """

    url: str
    place: str
    reading: Engine
    writing: Engine
    prepared: dict[Statement, Prepared] = field(default_factory=dict, repr=False, compare=False)
    idle: list[Any] = field(default_factory=list, repr=False, compare=False)
    patience: float = field(default=0.0, repr=False, compare=False)
    session: Session | None = field(default=None, repr=False, compare=False)

    def patient(self, seconds: float = PATIENCE) -> "Database":
        """The same database, waited for that long where it does not answer."""
        return replace(self, patience=seconds)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one state of the database."""
        if self.session is not None:
            yield self.session
            return
        try:
            with self._persist(self._connected) as session:
                yield session
        except DBAPIError as error:
            raise in_words(error, self.place) from error

    @contextmanager
    def still(self) -> Iterator["Database"]:
        """The database as it is now: all that is read of it within the context is of one state."""
        with self.read() as session:
            yield replace(self, session=session)

    def write(self, patience: int | None = None) -> Transaction:
        """A transaction that is committed at the end.

        Args:
            patience: Seconds that each of its statements waits for others before `BusyError`; none for as long as the
                database does.
        """
        return Transaction(self.writing, self.prepared, self.idle, self.place, patience)

    def transact(self, work: Callable[[Transaction], T], *, repeatable: bool = True) -> T:
        """Run `work` in a write transaction, and again if the database was busy.

        Args:
            work: Must be safe to run again after its changes were rolled back.
            repeatable: It is safe to run again after its changes were committed, too.
        """
        if not repeatable:
            return self._tried(work, repeatable=False)
        return self._persist(lambda: self._tried(work, repeatable=True))

    def close(self) -> None:
        """Close the connections."""
        while self.idle:
            self.idle.pop().close()
        self.reading.dispose()

    def _persist(self, work: Callable[[], T]) -> T:
        """Run `work` until the database answers, as long as patience lasts."""
        until, pause = time.monotonic() + self.patience, 0.5
        while True:
            try:
                return work()
            except (BusyError, ConnectionLost):
                if time.monotonic() + pause > until:
                    raise
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(2 * pause, LONGEST_PAUSE)

    def _connected(self) -> Session:
        session = Session(self.reading)
        try:
            session.connection()
        except DBAPIError as error:
            session.close()
            raise in_words(error, self.place) from error
        return session

    def _tried(self, work: Callable[[Transaction], T], *, repeatable: bool) -> T:
        for pause in PAUSES:
            try:
                return self._attempt(work)
            except BusyError:
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            except ConnectionLost:
                if not repeatable:
                    raise
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        return self._attempt(work)

    def _attempt(self, work: Callable[[Transaction], T]) -> T:
        with self.write() as transaction:
            return work(transaction)


def open_database(url: str) -> Database:
    """Open a database and bring its schema up to date.

    Raises:
        StorageError: It cannot be opened, is no database, or is of a newer schema.
    """
    from storage.migrations import is_current

    target = _parse(url)
    engine = _create_engine(target)
    place = describe(target)
    try:
        if engine.dialect.name == "sqlite":
            _turn_on_write_ahead_log(engine)
        if not is_current(engine):
            _bring_up_to_date(target, place)
    except DBAPIError as error:
        engine.dispose()
        raise in_words(error, place) from error
    except StorageError:
        engine.dispose()
        raise
    writing = engine.execution_options(automl_begin="BEGIN IMMEDIATE")
    return Database(target.render_as_string(hide_password=False), place, _reading(engine), writing)


def _reading(engine: Engine) -> Engine:
    """The engine for reads: on a server a transaction of its usual kind sees what others commit between statements."""
    match engine.dialect.name:
        case "sqlite":
            return engine
        case "postgresql":
            return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    reading = engine.execution_options()
    event.listen(reading, "begin", _begin_reading)  # the level of a connection would cost a statement more, to end it
    return reading


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _bring_up_to_date(target: URL, place: str) -> None:
    """Upgrade over connections of its own, which have more patience."""
    from storage.migrations import migrate

    engine = _create_engine(target, UPGRADE_SECONDS)
    try:
        migrate(engine.execution_options(automl_begin="BEGIN IMMEDIATE"), place)
    finally:
        engine.dispose()


def describe(url: URL) -> str:
    """A database for people to read: the file of SQLite, else the URL without its password and options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string(hide_password=True)


def in_words(error: DBAPIError, place: str) -> StorageError:
    """One line on a driver's error, without the statement and its values."""
    code, line = _said(error.orig)
    if error.connection_invalidated:
        return ConnectionLost(f"database {place}: the connection was lost ({line}); try again when it answers")
    if line.startswith(ABSENT_WORDS) or code in ABSENT_CODES | FULL_CODES | REFUSED_CODES:
        return _unconnected(code, line, place)
    if code in BUSY_CODES or line.startswith(("database is locked", "database table is locked")):
        return BusyError(f"database {place} is busy: {line}; close other programs that write to it")
    if "not a database" in line:
        return StorageError(f"{place} is not a SQLite database; name another file, or move this one away")
    if "unable to open" in line or "readonly" in line:
        return StorageError(f"database {place} cannot be written: its folder must exist, and both must be writable")
    fallback = f"look {'into the log of its server' if '://' in place else 'at its disk'}, or restore a backup of it"
    remedy = next((remedy for words, remedy in REMEDIES.items() if words in line), fallback)
    return StorageError(f"database {place}: {line}; {remedy}")


def _said(cause: BaseException | None) -> tuple[object, str]:
    """The code and the first line of a driver's error: PyMySQL has both as arguments, and hardly a state of SQL's."""
    arguments = cause.args if cause is not None else ()
    if len(arguments) > 1 and isinstance(arguments[0], int):
        code, said = arguments[:2]
    else:
        code, said = getattr(cause, "sqlstate", None), cause
    return code, (str(said).splitlines() or [""])[0]


def _unconnected(code: object, line: str, place: str) -> StorageError:
    """Why no connection was made: nobody answers, or somebody who refuses."""
    if code in REFUSED_CODES or any(words in line for words in REFUSED_WORDS):
        return StorageError(f"database {place} refuses: {line}; name a user, password and database that the server has")
    if code in FULL_CODES or any(words in line for words in FULL_WORDS):
        return BusyError(f"database {place} takes no more connections: {line}; close some, or raise its limit")
    if "FATAL:" in line:
        return BusyError(f"database {place} lets nobody in now: {line}; try again, or look into the server's log")
    return BusyError(f"database {place} does not answer: {line}; start it, or name another")


def _parse(url: str) -> URL:
    try:
        target = make_url(url)
    except ArgumentError:
        raise StorageError(f"the storage is no database URL; write it like {EXAMPLE}") from None
    except ValueError:  # whose words may hold a piece of a password
        raise StorageError(
            f"the storage's URL has a port that is no number; write it like postgresql://{SERVER_EXAMPLE}, "
            "with %2F for a / and %40 for an @ in the password"
        ) from None
    backend = target.get_backend_name()
    if backend not in DRIVERS:
        raise StorageError(f"storage of kind {backend!r} is not known; use sqlite, postgresql or mysql")
    if target.drivername not in (backend, f"{backend}+{DRIVERS[backend]}"):
        raise StorageError(f"storage of kind {target.drivername!r} is not known; write {backend} alone before ://")
    if backend == "sqlite":
        _check_file(target)
        return target
    if not target.database and backend != "postgresql":
        raise StorageError(f"the storage's URL names no database; write it like {backend}://{SERVER_EXAMPLE}")
    if target.port is not None and not 0 < target.port < 65536:
        raise StorageError(f"the storage's URL has port {target.port}; a port is a number from 1 to 65535")
    return target.set(drivername=f"{backend}+{DRIVERS[backend]}")


def _check_file(target: URL) -> None:
    if target.database in (None, "", ":memory:"):
        raise StorageError(f"SQLite needs a file to keep a search in; write it like {EXAMPLE}")
    if str(target.database).startswith("file:"):
        raise StorageError(f"SQLite's own URIs are not taken; write the storage like {EXAMPLE}")
    remote = network_file_system(Path(str(target.database)))
    if remote:
        raise StorageError(
            f"{target.database} is on a network file system ({remote}), where SQLite cannot lock; "
            "put it on a local disk, or use PostgreSQL"
        )


def _create_engine(url: URL, silence: float | None = None) -> Engine:
    """Engine whose connections are lost when a server says nothing for so long, `SILENCE_SECONDS` by default."""
    backend = url.get_backend_name()
    silence = SILENCE_SECONDS if silence is None else silence
    settings = {name: value for name, value in _settings(backend, silence).items() if name not in url.query}
    options: dict[str, Any] = {
        "hide_parameters": True,
        "json_serializer": json.JSONEncoder(
            check_circular=False, allow_nan=False, ensure_ascii=False, separators=(",", ":")
        ).encode,
        "connect_args": settings,
    }
    if backend != "sqlite":
        options |= {"isolation_level": "READ COMMITTED", "pool_pre_ping": True}
    try:
        engine = create_engine(url, **options)
    except (NoSuchModuleError, ModuleNotFoundError):
        raise StorageError(
            f"the driver for {url.drivername} is not installed; install automl-seq2seq[{_extra(backend)}]"
        ) from None
    except ValueError:
        raise _wrong_options(url) from None
    event.listen(engine, "do_connect", partial(_connect, url, silence))
    if backend == "sqlite":
        event.listen(engine, "connect", _prepare_connection)
        event.listen(engine, "begin", _begin)
    return engine


def _settings(backend: str, silence: float) -> dict[str, Any]:
    """What the driver is told, where the URL says nothing else."""
    match backend:
        case "sqlite":
            return {"timeout": BUSY_SECONDS}
        case "postgresql":
            probes = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3}
            unheard = {"tcp_user_timeout": int(1000 * min(silence, SILENCE_SECONDS))}
            return {"connect_timeout": _whole(CONNECT_SECONDS), "keepalives": 1, **probes, **unheard}
        case _:
            # unix_timestamp() reads a local time, which is ambiguous for an hour each autumn.
            first = f"SET time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_SECONDS}"
            waits = {"read_timeout": _whole(silence), "write_timeout": _whole(silence)}
            return {"init_command": first, "charset": "utf8mb4", "connect_timeout": _whole(CONNECT_SECONDS), **waits}


def _whole(seconds: float) -> int:
    return max(1, round(seconds))


def _connect(url: URL, silence: float, dialect: Any, _record: object, arguments: Any, settings: Any) -> Any:
    """Connect as the dialect does, to PostgreSQL by what gives up on a silent server."""
    try:
        if dialect.name != "postgresql":
            return dialect.connect(*arguments, **settings)
        from storage.silence import ImpatientConnection

        connection = ImpatientConnection.connect(*arguments, **settings)
        connection.silence = silence
        return connection
    except (TypeError, ValueError):
        raise _wrong_options(url) from None


def _wrong_options(url: URL) -> StorageError:
    names = ", ".join(sorted(url.query)) or "none"
    return StorageError(
        f"database {describe(url)}: the driver does not take the options of its URL ({names}); "
        "mend what follows the ?, or leave it out"
    )


def _extra(backend: str) -> str:
    return "postgres" if backend == "postgresql" else "mysql"


def _prepare_connection(connection: Any, _record: object) -> None:
    # Python's sqlite3 would begin transactions by itself, late and never IMMEDIATE.
    connection.isolation_level = None
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    statement = connection.get_execution_options().get("automl_begin", "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)


def _turn_on_write_ahead_log(engine: Engine) -> None:
    # The mode stays in the file. Changing it needs the file alone and does not wait for that.
    with engine.connect().execution_options(automl_begin="") as connection:
        for pause in PAUSES:
            try:
                mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
                if mode == "wal" or connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar_one() == "wal":
                    return
                break
            except OperationalError as error:
                if not isinstance(in_words(error, ""), BusyError):
                    raise
                time.sleep(pause)
    raise StorageError(f"SQLite cannot keep a write-ahead log at {engine.url.database}; put it on a local disk")
