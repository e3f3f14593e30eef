"""Bytes that nothing points to any more go, and what was made of them on this machine."""

import time
from collections.abc import Set as AbstractSet
from pathlib import Path
from shutil import rmtree

from automl.leftovers import copies, remove
from automl.server.options import ServerOptions
from storage import objects
from storage.checkpoints import forget_unreferenced, referenced
from storage.database import Database
from storage.uploads import uploaded_names

GRAIN = 0.1
"""Seconds by which the time of a file may be behind the clock."""

LOOKS = 3


def sweep(options: ServerOptions, database: Database, digests: AbstractSet[str]) -> None:
    """Delete those of some bytes that neither an upload nor a search has, and copies that no upload needs.

    Whoever needs bytes refers to them first and then writes them, again where they are there. So what was written since
    it was asked what is referred to is left, and asked about once more.
    """
    left = digests
    for look in range(LOOKS):
        if look:
            time.sleep(2 * GRAIN)
        asked = time.time() - GRAIN
        gone = left - referenced(database)
        left = objects.delete(options.checkpoints, gone, asked)
        for copy in (copy for digest in gone - left for copy in copies(options.cache, digest)):
            remove(copy)
        if not left:
            break
    forget_unreferenced(database)
    for digest in digests:
        _forget_copies(options.cache / "uploads" / digest, uploaded_names(database, digest))


def _forget_copies(folder: Path, names: AbstractSet[str]) -> None:
    """Delete a folder of an upload where no account has one of these bytes; else copies by names that none has."""
    if not names:
        rmtree(folder, ignore_errors=True)
        return
    for file in folder.glob("*"):
        if file.is_file() and not file.name.startswith(".") and file.name not in names:
            file.unlink(missing_ok=True)
