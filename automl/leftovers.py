"""What searches and uploads have left in the cache of a machine, and what goes when they are gone."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

from storage.checkpoints import referenced
from storage.database import Database
from storage.searches import list_searches
from storage.uploads import all_uploaded_digests

DIGEST = 64


def copies(cache: Path, digest: str) -> list[Path]:
    """Return what a worker has fetched of some bytes: the file, and the folder that it is unpacked to."""
    return [*(cache / "data").glob(f"{digest}*")]


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir():
        rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def clear(cache: Path, database: Database, seconds: float) -> tuple[int, int]:
    """Delete what no search and no upload of a database needs; returns how many files, and their bytes.

    Corpora that a process works with stay, since it may be one of another database.

    Args:
        cache: The folder; what others have left there can be made again.
        database: Whose searches and uploads need some of it.
        seconds: What has changed since then is left.
    """
    before, number, size = time.time() - seconds, 0, 0
    for path in [*_unneeded(cache, database)]:
        with suppress(FileNotFoundError):
            if path.stat().st_mtime > before or is_held(path):
                continue
            lengths = [file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file()]
            remove(path)
            number, size = number + len(lengths), size + sum(lengths)
    return number, size


def is_held(folder: Path) -> bool:
    """Whether a process has opened a folder by `automl.data.artifact.held`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _unneeded(cache: Path, database: Database) -> Iterator[Path]:
    corpora, fetched, uploads = (list((cache / name).glob("*")) for name in ("corpora", "data", "uploads"))
    served = list((cache / "served").glob("*-*"))
    # what is needed is asked for after the files were listed, so that nothing goes whose row is committed meanwhile
    rows, needed, uploaded = list_searches(database), referenced(database), all_uploaded_digests(database)
    known, numbers = {row.data_digest for row in rows}, {str(row.id) for row in rows}
    yield from (path for path in corpora if path.name not in known)
    yield from (path for path in fetched if path.name.lstrip(".")[:DIGEST] not in needed)
    yield from (path for path in uploads if path.name not in uploaded)
    yield from (path for path in served if path.name.partition("-")[0] not in numbers)
