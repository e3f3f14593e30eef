"""Bytes that nothing points to any more go, and what was made of them on this machine."""

from collections.abc import Set as AbstractSet
from shutil import rmtree

from automl.server.options import ServerOptions
from storage import objects
from storage.checkpoints import forget_unreferenced, referenced
from storage.database import Database


def sweep(options: ServerOptions, database: Database, digests: AbstractSet[str]) -> None:
    """Delete those of some bytes that neither an upload nor a search has."""
    gone = set(digests) - referenced(database)
    objects.delete(options.checkpoints, gone)
    forget_unreferenced(database)
    for digest in gone:
        rmtree(options.cache / "uploads" / digest, ignore_errors=True)
        for copy in (options.cache / "data").glob(f"{digest}*"):
            if copy.is_dir():
                rmtree(copy, ignore_errors=True)
            else:
                copy.unlink(missing_ok=True)
