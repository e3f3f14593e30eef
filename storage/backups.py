"""Copies of a database, made while it is in use."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine

from storage import objects
from storage.checkpoints import referenced
from storage.database import Database, StorageError, open_database
from storage.objects import flush

DATABASE, CHECKPOINTS = "automl.db", "automl.checkpoints"
DUMPS = {"postgresql": "pg_dump", "mysql": "mysqldump", "mariadb": "mariadb-dump"}


def back_up(database: Database, folder: objects.Place, target: Path) -> tuple[int, int]:
    """Copy an SQLite database, as it is at one moment, and every checkpoint that it points to into a new folder.

    Returns:
        How many checkpoints were copied, and how many were damaged or gone before.

    Raises:
        StorageError: It is a server's database, or the folder is there or cannot be made.
    """
    kind = database.reading.dialect.name
    if kind != "sqlite":
        raise StorageError(f"{database.place} is a server's: use {DUMPS.get(kind, 'its own tool')}, and copy {folder}")
    if referenced(database):
        objects.check_place(folder)  # before there is half a copy
    try:
        target.mkdir(mode=0o700, parents=True)
        copy_file(database.reading, target / DATABASE)
        with closing(open_database(f"sqlite:///{target / DATABASE}")) as copy:
            digests = referenced(copy)
        return _copy_objects(folder, target / CHECKPOINTS, digests)
    except FileExistsError:
        raise StorageError(f"{target} is there already; name a folder that is not") from None
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror}; name another folder") from error


def _copy_objects(folder: objects.Place, target: Path, digests: set[str]) -> tuple[int, int]:
    copied = 0
    for digest in sorted(digests):
        try:
            data = objects.read(folder, digest)
        except objects.CorruptObject:
            continue
        objects.write(target, data)
        copied += 1
    return copied, len(digests) - copied


def copy_file(engine: Engine, target: Path) -> None:
    """Copy an SQLite database while it is in use; the copy appears whole or not at all, readable by its owner."""
    temporary = target.with_name(f"{target.name}.partial-{os.getpid()}")
    temporary.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(temporary)) as copy, engine.connect() as connection:
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            source.rollback()  # a copy within our own transaction would wait for itself
            source.backup(copy)
        flush(temporary)
        temporary.replace(target)
        flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
