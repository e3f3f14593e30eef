"""Bytes that nothing points to any more go, and what was made of them on this machine."""

import time
from collections.abc import Set as AbstractSet
from shutil import rmtree

from automl.server.options import ServerOptions
from storage import objects
from storage.checkpoints import forget_unreferenced, referenced
from storage.database import Database

GRAIN = 0.1
"""Seconds by which the time of a file may be behind the clock."""

LOOKS = 3


def sweep(options: ServerOptions, database: Database, digests: AbstractSet[str]) -> None:
    """Delete those of some bytes that neither an upload nor a search has.

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
        for digest in gone - left:
            _forget_copies(options, digest)
        if not left:
            break
    forget_unreferenced(database)


def _forget_copies(options: ServerOptions, digest: str) -> None:
    rmtree(options.cache / "uploads" / digest, ignore_errors=True)
    for copy in (options.cache / "data").glob(f"{digest}*"):
        if copy.is_dir():
            rmtree(copy, ignore_errors=True)
        else:
            copy.unlink(missing_ok=True)
