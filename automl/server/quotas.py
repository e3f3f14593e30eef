"""What accounts use, and whether they may use more."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.server.access import Caller
from automl.server.options import Limits, ServerOptions
from automl.server.problems import Problem
from storage import objects
from storage.checkpoints import kept_bytes
from storage.database import Database
from storage.queues import Quota, queue_search
from storage.searches import OPEN_STATES, SearchRow, list_searches
from storage.spending import computed_seconds
from storage.uploads import uploaded_bytes, uploaded_digests


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

    def for_uploads(self, caller: Caller) -> int:
        """Return how many bytes all uploads of an account may have, beside what its searches keep."""
        account = caller.account.id
        return int(self.limits(caller).storage_bytes) - self._kept(account, self._searches(account))

    def full(self, caller: Caller) -> Problem:
        """Say that an account keeps as much as it may."""
        most = self.limits(caller).storage_bytes
        return Problem(403, f"uploads and searches may keep {most:,} bytes in all; delete or purge some first")

    def _searches(self, account_id: int) -> list[SearchRow]:
        return [row for row in list_searches(self.database) if row.account_id == account_id]

    def _kept(self, account_id: int, mine: Sequence[SearchRow]) -> int:
        """Return bytes of what searches keep: checkpoints, data that are no uploads any more, and models made here."""
        carried = {file[0] for row in mine for file in ((row.options or {}).get("data") or {}).values()}
        total = kept_bytes(self.database, account_id)
        for digest in carried - uploaded_digests(self.database, account_id):
            with suppress(FileNotFoundError):
                total += objects.size(self.options.checkpoints, digest)
        return total + sum(_sizes(self.options.cache / "served", {str(row.id) for row in mine}))


def _too_many(limits: Limits) -> Problem:
    return Problem(403, f"{limits.searches} searches may wait or run at a time; pause or cancel one first")


def _open(rows: Sequence[SearchRow]) -> list[SearchRow]:
    return [row for row in rows if row.state in OPEN_STATES and (row.held or row.detached)]


def _sizes(folder: Path, searches: set[str]) -> Iterator[int]:
    """Yield the bytes of each file below the folders whose names begin with the number of a search."""
    for model in folder.glob("*-*"):
        if model.name.partition("-")[0] in searches:
            for path in model.rglob("*"):
                with suppress(FileNotFoundError):  # purged meanwhile
                    yield path.stat().st_size if path.is_file() else 0
