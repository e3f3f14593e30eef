"""Brings the schema of a database up to what this code works with."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from storage.backups import copy_file
from storage.database import StorageError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0008"
"""The newest revision in `versions/`, here so that opening a current database needs no Alembic."""

VERSION_TABLE = "automl_version"


def migrate(engine: Engine, place: str) -> None:
    """Upgrade to `HEAD`; of several processes that open a database at once, one does it and the others wait.

    An SQLite database with an older schema is copied first, to a file beside it that ends with the old schema's name.

    Raises:
        StorageError: The database is of a schema that this code does not know.
    """
    with engine.execution_options(automl_begin="BEGIN").connect() as connection:
        found = _revision(connection)
    if found == HEAD:
        return
    if engine.dialect.name == "sqlite":
        _migrate_file(engine, place, found)
        return
    with engine.begin() as connection:
        lock, unlock = _locks(connection)
        if lock:
            connection.execute(text(lock))
        try:
            _upgrade(connection, place)
        finally:
            if unlock:
                connection.execute(text(unlock))


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


def _locks(connection: Connection) -> tuple[str, str]:
    match connection.dialect.name:
        case "postgresql":
            return "SELECT pg_advisory_xact_lock(hashtext('automl'))", ""
        case "mysql" | "mariadb":
            return "SELECT get_lock('automl', 60)", "SELECT release_lock('automl')"
        case _:
            return "", ""


def _upgrade(connection: Connection, place: str) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    found = _revision(connection)
    if found is not None and found not in _known():
        raise StorageError(
            f"database {place} has schema {found} and this program knows {HEAD}: "
            "use the version of automl that wrote it, or another database"
        )
    command.upgrade(config, "head")


def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
