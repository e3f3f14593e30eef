"""Brings the schema of a database up to what this code works with."""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from storage.database import StorageError

HEAD = "0001"
"""The newest revision in `versions/`, here so that opening a current database needs no Alembic."""

VERSION_TABLE = "automl_version"


def migrate(engine: Engine, place: str) -> None:
    """Upgrade to `HEAD`; of several processes that open a database at once, one does it and the others wait.

    Raises:
        StorageError: The database is of a schema that this code does not know.
    """
    with engine.execution_options(automl_begin="BEGIN").connect() as connection:
        if _revision(connection) == HEAD:
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
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    found = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StorageError(
            f"database {place} has schema {found} and this program knows {HEAD}: "
            "use the version of automl that wrote it, or another database"
        )
    command.upgrade(config, "head")
