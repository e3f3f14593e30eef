"""Engines: URLs of databases, connections by each driver, and its errors in words."""

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as NoneFree

from storage.errors import StorageError
from storage.mounts import network_file_system

BUSY_SECONDS = 60.0
PAUSES = (0.1, 0.4, 1.6, 6.4)
"""Seconds between tries of a transaction; a busy SQLite waits `BUSY_SECONDS` within each."""

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


class BusyError(StorageError):
    """Others were in the way or the server did not answer, and nothing was changed."""


class ConnectionLost(StorageError):
    """The server went away; whether the transaction was committed is not known."""


def parse(url: str) -> URL:
    """Read the URL of a database, with our driver for its kind.

    Raises:
        StorageError: It is none, or of what cannot be used.
    """
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


def engine_of(url: URL, silence: float | None = None) -> Engine:
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


def connect(url: URL) -> Any:
    """A connection of the driver alone, lost in silence as those of `engine_of`, for an engine that is another's."""
    dialect, silence = engine_of(url).dialect, SILENCE_SECONDS
    arguments, settings = dialect.create_connect_args(url)
    settings = {**_settings(url.get_backend_name(), silence), **settings}
    return _connect(url, silence, dialect, None, arguments, settings)


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


def turn_on_write_ahead_log(engine: Engine) -> None:
    """Let readers of an SQLite file not wait for its writer.

    Raises:
        StorageError: The file's place does not allow it.
    """
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


def describe(url: URL) -> str:
    """A database for people to read: the file of SQLite, else the URL without its password and options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string(hide_password=True)


def in_words(error: DBAPIError | NoneFree, place: str) -> StorageError:
    """One line on a driver's error, without the statement and its values; or on a pool without a free connection."""
    if isinstance(error, NoneFree):
        return BusyError(f"database {place} is busy: all connections of this process wait for it; try again later")
    return _of_driver(error, place)


def _of_driver(error: DBAPIError, place: str) -> StorageError:
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
