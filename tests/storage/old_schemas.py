"""Databases of servers as older versions have left them."""

import json
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from storage import migrations
from storage.database import Database
from storage.engines import engine_of, parse
from storage.schema import Base

SCHEMAS = Path(__file__).parent / "schemas"


def empty(url: str) -> None:
    """Drop every table."""
    engine = engine_of(parse(url))
    with engine.begin() as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        tables.drop_all(connection)
    engine.dispose()


def make_old(url: str, revision: str) -> None:
    """Make an empty database one of that schema, with the rows of its dump."""
    engine = engine_of(parse(url))
    with engine.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    with engine.begin() as connection, closing(sqlite3.connect(":memory:")) as dump:
        dump.row_factory = sqlite3.Row
        dump.executescript((SCHEMAS / f"{revision}.sql").read_text(encoding="utf-8"))
        _copy_rows(dump, connection)
    engine.dispose()


def differences(database: Database) -> list[object]:
    """What of the schema is not as the models say."""
    names = set(Base.metadata.tables)
    options = {"version_table": migrations.VERSION_TABLE, "include_name": lambda name, kind, _: _is(name, kind, names)}
    with database.reading.connect() as connection:
        found: list[object] = list(
            compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
        )
        inspector = sa.inspect(connection)
        for table in Base.metadata.tables.values():
            checks = {check.name for check in table.constraints if isinstance(check, sa.CheckConstraint)}
            found += sorted(
                str(name) for name in checks - {it["name"] for it in inspector.get_check_constraints(table.name)}
            )
    return found


def _is(name: str | None, kind: str, names: set[str]) -> bool:
    return kind != "table" or name in names


def _copy_rows(dump: sqlite3.Connection, connection: sa.Connection) -> None:
    tables = sa.MetaData()
    tables.reflect(connection)
    for table in tables.sorted_tables:
        if table.name == migrations.VERSION_TABLE:
            continue
        for row in dump.execute(f"SELECT * FROM {table.name}"):
            connection.execute(table.insert().values({column.name: _value(column, row) for column in table.columns}))


def _value(column: sa.Column[Any], row: sqlite3.Row) -> Any:
    value = row[column.name]
    if value is None:
        return None
    if isinstance(column.type, sa.JSON):
        return json.loads(value)
    if isinstance(column.type, sa.DateTime):
        return datetime.fromisoformat(value)
    return bool(value) if isinstance(column.type, sa.Boolean) else value
