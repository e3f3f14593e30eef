"""The base of every table, and the column types that behave alike on SQLite, PostgreSQL and MySQL."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from sqlalchemy import JSON, DateTime, Dialect, Insert, MetaData, String, Table, TypeDecorator, bindparam, insert
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase

R = TypeVar("R")

PREFIX = "automl_"
"""Every table of ours begins with it; Optuna owns other names in the same database."""

MESSAGE_CHARACTERS = 2000

DOCUMENT = JSON(none_as_null=True)


def utc_now() -> datetime:
    """The time for people to read; leases and durations use other clocks."""
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept as UTC without a zone and with microseconds."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """MySQL keeps whole seconds unless it is asked for more."""
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name in ("mysql", "mariadb") else DateTime())

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Drop the zone after going to UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Put the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Message(TypeDecorator[str]):
    """One line for people: control characters and lone surrogates replaced, cut at `MESSAGE_CHARACTERS`."""

    impl = String(MESSAGE_CHARACTERS)
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """A failure is recorded whatever its message holds (PostgreSQL refuses NUL)."""
        if value is None:
            return None
        if value.isprintable():
            return value[:MESSAGE_CHARACTERS]
        line = "".join(character if character.isprintable() else " " for character in value)
        return line[:MESSAGE_CHARACTERS]


class Base(DeclarativeBase):
    """Declarative base: one metadata, names for every constraint."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: DOCUMENT, dict[str, float]: DOCUMENT, datetime: Moment}  # noqa: RUF012

    @classmethod
    def rows(cls) -> Table:
        """The table, for statements that load and follow no objects."""
        return cast("Table", cls.__table__)


TABLE_OPTIONS = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
"""On MySQL names compare by code point, as they do elsewhere."""

KEYED_TABLE_OPTIONS = {**TABLE_OPTIONS, "sqlite_with_rowid": False}
"""On SQLite rows lie in the index of their key, so that adding one writes a page less; for short rows."""

NUMBERED_TABLE_OPTIONS = {**TABLE_OPTIONS, "sqlite_autoincrement": True}
"""An id is not given again after its row was deleted: a lease on a deleted search must not fit its successor."""


def insertion(table: Table, *names: str) -> Insert:
    """A statement that adds one row with these columns, each value bound under the column's name."""
    return insert(table).values({name: bindparam(name) for name in names}).inline()


def altered(row: R, **values: Any) -> R:
    """A frozen row with some values others; `dataclasses.replace` looks at every field and takes ten times as long."""
    made = object.__new__(type(row))
    made.__dict__.update(row.__dict__, **values)
    return made


def detach(kind: type[R], record: Base, **others: Any) -> R:
    """A frozen row from a record of the session, the fields in `others` aside."""
    names = [field.name for field in fields(cast("Any", kind)) if field.name not in others]
    return kind(**{name: getattr(record, name) for name in names}, **others)
