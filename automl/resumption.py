"""Whether a search that is in the database goes on: what must be as it was, and what is left of it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from automl.budget import Budget
from automl.control.outcome import Ending
from automl.data.corpus import Corpus
from automl.errors import InputError, NameTaken
from automl.privacy import drop_key
from automl.tasks.document import TaskDocument
from storage import objects
from storage.checkpoints import named
from storage.database import Database
from storage.searches import SearchRow, create_search, get_search
from storage.spending import delete_search
from storage.studies import delete_study
from storage.trials import list_trials

UNCHANGED = ("kind", "metric", "constraints", "space", "pretraining", "privacy", "seed")
ENDED = "ended"
"""Where a summary keeps how the run ended that it is of; the state is written when nothing is left to be done."""


@dataclass(frozen=True)
class Ended:
    """How a run of a search ended: in which state, and why, in one sentence."""

    state: Ending
    why: str

    @staticmethod
    def of(row: SearchRow) -> "Ended | None":
        """Return how the last run ended; nothing where it did not come to its end."""
        known = (row.summary or {}).get(ENDED)
        if known is not None:
            return Ended(**known)
        over = row.state == "finished"  # as an earlier version has left it
        return Ended("finished", row.message or "") if over else None

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


def going_on(row: SearchRow) -> SearchRow:
    """Return a search as one that has not ended: its next run is to say how it does."""
    return replace(row, summary={name: value for name, value in (row.summary or {}).items() if name != ENDED})


def search_row(
    database: Database, document: TaskDocument, corpus: Corpus, keys: Path, *, new: bool, account: int | None = None
) -> SearchRow:
    """Return the row of a search, made where there is none yet; the key of one that is thrown away goes with it.

    Raises:
        NameTaken: A search of that name has another document or other data, or is another account's.
        InputError: It is running and was to be thrown away.
    """
    row = get_search(database, document.name)
    check_owner(row, account)
    if row is not None and new:
        if row.held:
            raise InputError(f"search {row.name!r} is running; stop it before it is begun anew")
        delete_search(database, row.name)
        drop_key(keys, row)
        with suppress(Exception):  # the mirror is for other tools; a search does not depend on it
            delete_study(database.url, row.name)
        row = None
    if row is None:
        return create_search(database, document.name, document.to_mapping(), corpus.digest, account_id=account)
    mapping = document.to_mapping()
    changed = [key for key in UNCHANGED if _without_paths(row.document.get(key)) != _without_paths(mapping.get(key))]
    if row.data_digest != corpus.digest:
        changed.append("data")
    if changed:
        raise NameTaken(
            f"search {row.name!r} is in the database with another [{changed[0]}]; "
            "give this one another name (--name), or begin it anew (--new)"
        )
    return row


def _without_paths(section: Any) -> Any:
    """Return a section with the names alone of its files: they lie elsewhere on a worker, and bytes tell them."""
    if not isinstance(section, Mapping):
        return section
    return {name: name in ("unlabelled", "from") or value for name, value in section.items()}


def check_owner(row: SearchRow | None, account: int | None) -> None:
    """Make sure that a search is an account's, where one asks.

    Raises:
        NameTaken: It is another's.
    """
    if row is not None and account is not None and row.account_id != account:
        raise NameTaken(f"the name {row.name!r} is taken; choose another")


def is_sound(row: SearchRow, checkpoints: objects.Place) -> bool:
    """Say whether the bytes of a search's winner, and what is still to be learnt of it, are as they were written."""
    return all(objects.is_sound(checkpoints, digest) for digest in named(row.summary))


def is_unlearnt(row: SearchRow) -> bool:
    """Say whether a search has ended but for the student of its best trials."""
    best = (row.summary or {}).get("best") or {}
    return best.get("teacher") is not None and "finishes" not in best


def is_spent(row: SearchRow, limits: Budget) -> bool:
    """Whether a search has ended within limits that are not wider now, even if its winner is still to be exported."""
    ended = Ended.of(row)
    is_over = ended is not None and ended.state == "finished"
    return is_over and "budget" in (row.summary or {}) and has_had(row, limits)


def has_had(row: SearchRow, limits: Budget) -> bool:
    """Whether the limits within which a search was left last are no wider now."""
    earlier = (row.summary or {}).get("budget", {})
    pairs = ((earlier.get(name), getattr(limits, name)) for name in ("time", "trials", "device_time"))
    grown = any(old is not None and (now is None or now > old) for old, now in pairs)
    same = earlier.get("target") == plain_target(limits) and earlier.get("finish", "single") == limits.finish
    return not grown and same


def plain_target(limits: Budget) -> list[Any] | None:
    """Return the score that ends a search as it is kept in its row."""
    return None if limits.target is None else list(limits.target)


def check_checkpoints(database: Database, row: SearchRow, folder: objects.Place) -> None:
    """Refuse to go on where no checkpoint is at hand, as in another folder than before: every trial would fail."""
    digests = [trial.checkpoint for trial in list_trials(database, row.id) if trial.checkpoint]
    if digests and not any(objects.exists(folder, digest) for digest in digests):
        raise InputError(
            f"{folder}: holds no checkpoint of search {row.name!r}; start where it was started, "
            "or let AUTOML_CHECKPOINTS name their folder"
        )
