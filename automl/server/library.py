"""What the database says of searches, kept until it changes, so that many who watch one search read it once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl.planning import criteria_of, space_of
from automl.records import Record, read_record
from automl.report import Findings, findings
from automl.server.documents import SearchDocument, State, UploadDocument
from automl.server.problems import plain
from automl.server.shelves import Shelf
from automl.tasks import TASKS
from automl.tasks.document import document_from_mapping
from automl.winners import describe
from storage.accounts import list_accounts
from storage.database import Database
from storage.events import list_events
from storage.searches import SearchRow
from storage.trials import count_trials
from storage.uploads import UploadRow
from storage.wishes import Wish, list_wishes, wish_of

RECORD_SECONDS, FINDINGS_SECONDS = 1.0, 2.0
MOST_EVENTS = 10_000
SAID = {"COMPLETE": "finished"}
"""States of trials that are called otherwise where people read."""
FILES = ("train", "valid", "test", "unlabelled", "from")
"""What of a task document names files."""


class Library:
    """Reads searches; safe to use from several threads.

    What it says of a search that runs may be a second or two old, or as old as 20 times what making it anew takes:
    whoever watches, reading takes no more than a twentieth of a processor.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._records: Shelf[Record] = Shelf(RECORD_SECONDS)
        self._findings: Shelf[Findings] = Shelf(FINDINGS_SECONDS)

    def record(self, row: SearchRow) -> Record:
        """Return a search with its trials."""
        record = self._records.get(row, lambda: read_record(self._database, row.name))
        return replace(record, row=_spoken(row))

    def findings(self, row: SearchRow) -> Findings:
        """Return what a search has learnt."""
        return self._findings.get(row, lambda: self._learnt(row))

    def _learnt(self, row: SearchRow) -> Findings:
        space = space_of(document_from_mapping(row.document, Path()))
        events = list_events(self._database, row.id, limit=MOST_EVENTS)
        return findings(self.record(row), space, events)

    def document(self, row: SearchRow) -> SearchDocument:
        """Return how a search stands."""
        mapping = self.record(row).to_mapping()
        return _document(row, mapping, wish_of(self._database, row.id), self._owners())

    def documents(self, rows: Sequence[SearchRow]) -> list[SearchDocument]:
        """Return how searches stand, without the scores of trials that have not won yet."""
        owners, wishes = self._owners(), list_wishes(self._database)
        return [_document(row, self._brief(row), wishes.get(row.id), owners) for row in rows]

    def _brief(self, row: SearchRow) -> dict[str, Any]:
        found = count_trials(self._database, row.id)
        counts = {SAID.get(state, state.lower()): count for state, count in found.items() if count}
        return describe(_spoken(row), counts).to_mapping() | {"best": _plain_best((row.summary or {}).get("best"))}

    def _owners(self) -> dict[int | None, str]:
        return {account.id: account.name for account in list_accounts(self._database)}


def _document(
    row: SearchRow, mapping: Mapping[str, Any], wish: Wish | None, owners: Mapping[int | None, str]
) -> SearchDocument:
    shown = {name: value for name, value in mapping.items() if name not in ("version", "bundle", "state")}
    return SearchDocument(
        **shown,
        state=state_of(mapping["state"], wish),
        metric=criteria_of(row.document).metric.name,
        budget=dict((row.options or {}).get("budget") or row.document.get("budget") or {}),
        account=owners.get(row.account_id),
        created=row.created,
        updated=row.updated,
        task=without_paths(row),
    )


def state_of(state: str, wish: Wish | None) -> State:
    """Return the state of a search in the words of the service."""
    match state, wish:
        case "interrupted", "pause":
            return "paused"
        case "interrupted", "cancel":
            return "cancelled"
    known: dict[str, State] = {"queued": "queued", "running": "running", "finished": "finished", "failed": "failed"}
    return known.get(state, "interrupted")


def reads_images(row: SearchRow) -> bool:
    """Say whether the sources of a search are images."""
    return TASKS[row.document["kind"]].form.reads_images


def without_paths(row: SearchRow) -> dict[str, Any]:
    """Return the document of a search with digests where its files were: paths of the server are nobody's business."""
    document = dict(row.document)
    carried = (row.options or {}).get("data") or {}
    for section in ("data", "pretraining"):
        if document.get(section):
            document[section] = {
                name: value if name not in FILES else f"sha256:{carried[name][0]}" if name in carried else ""
                for name, value in document[section].items()
            }
    return document


def _spoken(row: SearchRow) -> SearchRow:
    return row if row.message is None else replace(row, message=plain(row.message))


def upload_document(row: UploadRow) -> UploadDocument:
    """Return an upload as the service shows it."""
    return UploadDocument(id=f"upload-{row.id}", name=row.name, bytes=row.bytes, sha256=row.digest, created=row.created)


def _plain_best(best: Mapping[str, Any] | None) -> dict[str, Any] | None:
    names = ("trial", "scores", "test_scores", "configuration", "parameters")
    return None if best is None else {name: best[name] for name in names}
