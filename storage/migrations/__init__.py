"""Brings the schema of a database up to what this code works with."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, event, inspect, text

from storage.backups import copy_file
from storage.database import StorageError
from storage.engines import BusyError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0008"
"""The newest revision in `versions/`, here so that opening a current database needs no Alembic."""

VERSION_TABLE = "automl_version"
LOCK_SECONDS = 60

MADE_ALREADY = {1050, 1060, 1061, 1091, 1826, 3821, 3822, 3940}
"""MySQL's and MariaDB's names for: there is such a table, column, index or constraint, or it is gone already."""

CANNOT_CREATE = 1005
"""MariaDB's for anything; with errno 121 there is such a foreign key."""


def is_current(engine: Engine) -> bool:
    """Whether there is nothing to upgrade."""
    with engine.execution_options(automl_begin="BEGIN").connect() as connection:
        return _revision(connection) == HEAD


def migrate(engine: Engine, place: str) -> None:
    """Upgrade to `HEAD`; of several processes that open a database at once, one does it and the others wait.

    An SQLite database with an older schema is copied first, to a file beside it that ends with the old schema's name.
    An upgrade that was cut off anywhere goes on the next time.

    Raises:
        BusyError: Another process has been upgrading it for too long.
        StorageError: The database is of a schema that this code does not know.
    """
    with engine.execution_options(automl_begin="BEGIN").connect() as connection:
        found = _revision(connection)
    if found == HEAD:
        return
    match engine.dialect.name:
        case "sqlite":
            _migrate_file(engine, place, found)
        case "postgresql":
            with engine.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('automl'))"))
                _upgrade(connection, place)
        case _:
            _migrate_by_steps(engine, place)


def _migrate_by_steps(engine: Engine, place: str) -> None:
    """Upgrade MySQL, which commits every change of the schema by itself.

    Each migration is written down when it is done. Of one that was cut off, the changes that were made fail the next
    time as made already, and are passed over; what it does to rows must bear to be done again.
    """
    event.listen(engine, "do_execute", _pass_over_what_is_made)
    with engine.connect() as connection:
        try:
            with connection.begin():
                _take_lock(connection, place)
                found = _revision(connection)
            for revision in _revisions_after(found, place):
                with connection.begin():
                    _upgrade(connection, place, revision)
        finally:
            connection.invalidate()  # closed instead of lent again, which gives the lock back


def _take_lock(connection: Connection, place: str) -> None:
    """Wait until no other process upgrades this database; MySQL's locks are the whole server's."""
    lock = text("SELECT get_lock(concat('automl ', md5(database())), :seconds)")
    if connection.execute(lock, {"seconds": LOCK_SECONDS}).scalar() != 1:
        raise BusyError(
            f"database {place}: another process has been upgrading its schema for {LOCK_SECONDS} seconds; "
            "try again when it has ended"
        )


def _pass_over_what_is_made(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    try:
        context.dialect.do_execute(cursor, statement, parameters, context)
    except context.dialect.loaded_dbapi.Error as error:
        number = error.args[0] if error.args else None
        if number not in MADE_ALREADY and not (number == CANNOT_CREATE and "errno: 121" in str(error)):
            raise
    return True


def _migrate_file(engine: Engine, place: str, found: str | None) -> None:
    """Upgrade an SQLite file in one transaction.

    It changes a table by making it anew, which must not cascade into others: foreign keys are off until all is done,
    and checked before it is kept. They can be turned on and off only between transactions.
    """
    if found is not None and found in _known():
        copy_file(engine, Path(f"{place}.{found}"))
    with engine.execution_options(automl_begin="").connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            _upgrade(connection, place)
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise StorageError(f"database {place}: rows point to rows that are not there; restore a backup of it")
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        finally:
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608


def _upgrade(connection: Connection, place: str, to: str = HEAD) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    _revisions_after(_revision(connection), place)
    command.upgrade(config, to)


def _revisions_after(found: str | None, place: str) -> list[str]:
    """What is to be done, the oldest first.

    Raises:
        StorageError: The database is of a schema that this code does not know.
    """
    known = sorted(_known())
    if found is not None and found not in known:
        raise StorageError(
            f"database {place} has schema {found} and this program knows {HEAD}: "
            "use the version of automl that wrote it, or another database"
        )
    return [revision for revision in known if found is None or revision > found]


def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
