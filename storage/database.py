"""Opens databases: sessions, transactions, and tries again."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFree
from sqlalchemy.orm import Session

from storage.engines import (
    LOCK_SECONDS,
    PAUSES,
    UPGRADE_SECONDS,
    BusyError,
    ConnectionLost,
    describe,
    engine_of,
    in_words,
    parse,
    turn_on_write_ahead_log,
)
from storage.errors import StorageError as StorageError  # noqa: PLC0414
from storage.statements import Prepared, Statement, prepare

T = TypeVar("T")

PATIENCE = 600.0
"""Seconds for which a running search waits for a database that does not answer; what is training goes on meanwhile."""
LONGEST_PAUSE = 10.0

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
            if isinstance(failure, DBAPIError | NoneFree):
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
        except (DBAPIError, NoneFree) as error:
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

    target = parse(url)
    engine = engine_of(target)
    place = describe(target)
    try:
        if engine.dialect.name == "sqlite":
            turn_on_write_ahead_log(engine)
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

    engine = engine_of(target, UPGRADE_SECONDS)
    try:
        migrate(engine.execution_options(automl_begin="BEGIN IMMEDIATE"), place)
    finally:
        engine.dispose()
