"""What accounts use, and whether they may use more."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from automl.archives import files_below
from automl.leftovers import DIGEST
from automl.server.access import Caller
from automl.server.datasets import UNPACKED, WHOLE
from automl.server.options import Limits, ServerOptions
from automl.server.problems import Problem
from storage import objects
from storage.accounts import get_account
from storage.checkpoints import kept_bytes
from storage.database import Database
from storage.queues import Quota, queue_search
from storage.searches import OPEN_STATES, SearchRow, list_searches
from storage.spending import computed_seconds
from storage.uploads import count_uploads, uploaded_bytes, uploaded_digests

MOST_KNOWN = 100_000


@dataclass(frozen=True)
class Quotas:
    """The quotas of a service."""

    options: ServerOptions
    database: Database

    def limits(self, caller: Caller) -> Limits:
        """Return what an account may use."""
        return self.options.limits.of(caller.account.quotas)

    def used(self, account_id: int) -> dict[str, float]:
        """Return what an account uses, by the names of quotas."""
        mine = self._searches(account_id)
        return {
            "searches": len(_open(mine)),
            "storage_bytes": uploaded_bytes(self.database, account_id) + self._kept(account_id, mine),
            "compute_seconds": round(computed_seconds(self.database, account_id), 1),
        }

    def check_search(self, caller: Caller, but: str) -> None:
        """Make sure that another search may wait or run, or that of a name again.

        Raises:
            Problem: A quota is spent (403).
        """
        limits, account = self.limits(caller), caller.account.id
        mine = self._searches(account)
        if len([row for row in _open(mine) if row.name != but]) >= limits.searches:
            raise _too_many(limits)
        spent = computed_seconds(self.database, account)
        if limits.compute_seconds is not None and spent >= limits.compute_seconds:
            raise Problem(403, f"{limits.compute_seconds:,.0f} s of computing are spent; ask for more")
        if uploaded_bytes(self.database, account) + self._kept(account, mine) > limits.storage_bytes:
            raise self.full(caller)

    def queue(self, caller: Caller, name: str, options: Mapping[str, Any] | None = None) -> None:
        """Queue a search, unless others have come first since that was checked.

        Raises:
            Problem: As many wait or run as may (403).
        """
        limits = self.limits(caller)
        if not queue_search(self.database, name, options, Quota(caller.account.id, limits.searches)):
            raise _too_many(limits)

    def check_file(self, caller: Caller) -> None:
        """Make sure that an account may have another upload.

        Raises:
            Problem: It has as many as it may (409).
        """
        most = self.limits(caller).uploads
        if count_uploads(self.database, caller.account.id) >= most:
            raise Problem(409, f"{most:,} uploads are kept; delete some first")

    def check_room(self, caller: Caller, size: int) -> None:
        """Make sure that so many bytes may be kept beside what is.

        Raises:
            Problem: They are too many (403).
        """
        if size and self.used(caller.account.id)["storage_bytes"] + size > self.limits(caller).storage_bytes:
            raise self.full(caller)

    def check_making(self, row: SearchRow) -> None:
        """Make sure that the account of a search may keep one more model of it here.

        Raises:
            Problem: It keeps as much as it may (403).
        """
        account = None if row.account_id is None else get_account(self.database, row.account_id)
        if account is None:
            return
        most = self.options.limits.of(account.quotas).storage_bytes
        if self.used(account.id)["storage_bytes"] >= most:
            raise _full(most)

    def for_uploads(self, caller: Caller) -> int:
        """Return how many bytes all uploads of an account may have, beside what its searches keep."""
        account = caller.account.id
        return int(self.limits(caller).storage_bytes) - self._kept(account, self._searches(account))

    def full(self, caller: Caller) -> Problem:
        """Say that an account keeps as much as it may."""
        return _full(self.limits(caller).storage_bytes)

    def _searches(self, account_id: int) -> list[SearchRow]:
        return [row for row in list_searches(self.database) if row.account_id == account_id]

    def _kept(self, account_id: int, mine: Sequence[SearchRow]) -> int:
        """Return bytes of what is kept beside uploads: checkpoints, data of deleted ones, copies, models made here."""
        carried = {digest for row in mine for digest in row.carried}
        uploaded = uploaded_digests(self.database, account_id)
        total = kept_bytes(self.database, account_id)
        for digest in carried - uploaded:
            with suppress(FileNotFoundError):
                total += objects.size(self.options.checkpoints, digest)
        total += sum(_copied(self.options.cache, carried | uploaded))
        return total + sum(_sizes(self.options.cache / "served", {str(row.id) for row in mine}))


def _full(most: float) -> Problem:
    return Problem(403, f"uploads and searches may keep {most:,} bytes in all; delete or purge some first")


def _too_many(limits: Limits) -> Problem:
    return Problem(403, f"{limits.searches} searches may wait or run at a time; pause or cancel one first")


def _open(rows: Sequence[SearchRow]) -> list[SearchRow]:
    return [row for row in rows if row.state in OPEN_STATES and (row.held or row.detached)]


def _copied(cache: Path, digests: AbstractSet[str]) -> Iterator[int]:
    """Yield the bytes of what lies in a cache of some uploads: copies, and what was unpacked of them."""
    fetched = [path for path in (cache / "data").glob("*") if path.name[:DIGEST] in digests]
    named = [path for digest in digests for path in (cache / "uploads" / digest).glob("*") if path.name != UNPACKED]
    for path in (*fetched, *named, *(cache / "uploads" / digest / UNPACKED / WHOLE for digest in digests)):
        with suppress(FileNotFoundError):  # deleted meanwhile
            yield _unpacked_bytes(path, path.stat().st_ino) if path.is_dir() else path.stat().st_size


@lru_cache(MOST_KNOWN)
def _unpacked_bytes(folder: Path, _number: int) -> int:
    """Return the bytes of all files in a folder that never changes while it has its number."""
    return sum(path.stat().st_size for path in files_below(folder))


def _sizes(folder: Path, searches: set[str]) -> Iterator[int]:
    """Yield the bytes of each file below the folders whose names begin with the number of a search."""
    for model in folder.glob("*-*"):
        if model.name.partition("-")[0] in searches:
            for path in model.rglob("*"):
                with suppress(FileNotFoundError):  # purged meanwhile
                    yield path.stat().st_size if path.is_file() else 0
