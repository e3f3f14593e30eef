"""A search as one file, to be kept or taken elsewhere: rows as JSON and checkpoints as bytes, and nothing that runs.

The file is a ZIP archive without compression: `search.json`, and each checkpoint under `objects/` and its sha256.
"""

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from storage import objects
from storage.attempts import ATTEMPTS, AttemptRow, list_attempts
from storage.checkpoints import named, record
from storage.database import Database, StorageError, Transaction
from storage.events import EVENTS, EventRow, list_events
from storage.migrations import HEAD
from storage.schema import insertion, utc_now
from storage.searches import NAME, Search, SearchExists, SearchRow, as_it_is, get_search
from storage.segments import SEGMENTS, SegmentRow, list_segments
from storage.trials import TRIALS, TrialRow, list_trials

R = TypeVar("R")

DOCUMENT = "search.json"
OBJECTS = "objects/"
MOST_DOCUMENT_BYTES = 2**30
MOST_OBJECT_BYTES = 2**36
LATER: Mapping[str, Mapping[str, str]] = {"segments": {"execution": "0004"}}
"""Fields of rows that files of an older schema lack, with the schema that brought them; there they are null."""

OLDEST = "0002"
SEARCH = ("name", "document", "data_digest", "state", "created", "seconds", "rung_tokens", "summary", "message")
MOST_EVENTS = 10**6


def export_search(database: Database, search: SearchRow, folder: objects.Place, file: Path) -> int:
    """Write a search and its sound checkpoints into a new file, which appears whole; returns how many checkpoints.

    Raises:
        StorageError: The file is there, or cannot be written.
    """
    if file.exists():
        raise StorageError(f"{file} is there already; name a file that is not")
    with database.still() as still:
        search = as_it_is(still, search)
        rows = {
            "trials": [_plain(row) for row in list_trials(still, search.id)],
            "attempts": [_plain(row) for row in list_attempts(still, search.id)],
            "segments": [_plain(row) for row in list_segments(still, search.id)],
            "events": [_plain(row) for row in list_events(still, search.id, limit=MOST_EVENTS)],
        }
    document = {"format": 1, "schema": HEAD, "search": {name: _value(getattr(search, name)) for name in SEARCH}, **rows}
    digests = {row["checkpoint"] for row in (*rows["trials"], *rows["segments"]) if row["checkpoint"]}
    digests |= named(search.summary).keys()
    temporary = file.with_name(f".{file.name}.partial-{os.getpid()}")
    try:
        with zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED) as archive:
            archive.writestr(DOCUMENT, json.dumps(document, allow_nan=False, ensure_ascii=False))
            for digest in sorted(digests):
                archive.writestr(OBJECTS + digest, objects.read(folder, digest))
        objects.flush(temporary)
        temporary.replace(file)
        objects.flush(file.absolute().parent)
    except objects.CorruptObject as error:
        raise StorageError(f"{error}; automl verify {search.name} lists all that is damaged") from error
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}; name another") from error
    finally:
        temporary.unlink(missing_ok=True)
    return len(digests)


def import_search(database: Database, folder: objects.Place, file: Path, name: str | None = None) -> SearchRow:
    """Add a search from a file, under its own name or another one; its bytes are there before its rows.

    Raises:
        SearchExists: The name is taken.
        StorageError: The file is not what `export_search` writes, or damaged.
    """
    with _opened(file, name) as (archive, document, wanted):
        if get_search(database, wanted) is not None:
            raise SearchExists(f"database {database.place} has a search {wanted!r}; give another name by --name")
        held = _unpack(archive, folder, file)

    def work(transaction: Transaction) -> None:
        _insert(transaction, document, wanted, held)

    try:
        database.transact(work, repeatable=False)
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"{file}: its rows are not those of a search of schema {str(document['schema'])[:20]} "
            f"({type(error).__name__}); export it again, with the version of automl that wrote it"
        ) from error
    found = get_search(database, wanted)
    assert found is not None
    return found


def check_archive(file: Path, name: str | None = None) -> None:
    """Check what can be known of a file before there is a database to add its search to.

    Raises:
        StorageError: The file is not what `export_search` writes, or has no name that a search may have.
    """
    with _opened(file, name):
        pass


@contextmanager
def _opened(file: Path, name: str | None) -> Iterator[tuple[zipfile.ZipFile, dict[str, Any], str]]:
    """Open a file that holds a search with all of its checkpoints; yield it, its rows, and the search's name."""
    try:
        with zipfile.ZipFile(file) as archive:
            document = _document(archive, file)
            wanted = str(document["search"]["name"]) if name is None else name
            if not NAME.fullmatch(wanted):
                raise StorageError(
                    f"{wanted[:100]!r} is no name of a search: it is at most 100 letters, digits, '-', '_' or '.', and "
                    "begins with a letter or digit; give one by --name"
                )
            pointed = {row["checkpoint"] for key in ("trials", "segments") for row in document[key]} - {None}
            if not {OBJECTS + digest for digest in pointed} <= set(archive.namelist()):
                raise StorageError(f"{file} lacks checkpoints that its trials point to; export the search again")
            yield archive, document, wanted
    except StorageError:
        raise
    except (zipfile.BadZipFile, OSError, KeyError, TypeError, ValueError, NotImplementedError) as error:
        raise StorageError(
            f"{file} is not a search as automl export-study writes it ({type(error).__name__})"
        ) from error


def _document(archive: zipfile.ZipFile, file: Path) -> dict[str, Any]:
    info = archive.getinfo(DOCUMENT)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > MOST_DOCUMENT_BYTES:
        raise ValueError("it is compressed or too large")
    document = json.loads(archive.read(info))
    if document["format"] != 1 or document["schema"] > HEAD:
        raise StorageError(
            f"{file} is of format {document['format']}, schema {document['schema']}, and this program knows {HEAD}: "
            "use the version of automl that wrote it"
        )
    if not isinstance(document, dict):
        raise TypeError("no object")
    if document["schema"] < OLDEST:
        raise StorageError(
            f"{file} is of schema {document['schema']}, and this program reads {OLDEST} to {HEAD}: "
            "export it again from its database, which this program brings up to date"
        )
    for key, names in LATER.items():
        missing = [name for name, schema in names.items() if document["schema"] < schema]
        document[key] = [{**dict.fromkeys(missing), **row} for row in document[key]]
    return document


def _unpack(archive: zipfile.ZipFile, folder: objects.Place, file: Path) -> dict[str, int]:
    """Keep the checkpoints; return the bytes of each. Nothing but objects under their own sha256 is taken."""
    held: dict[str, int] = {}
    for info in archive.infolist():
        if info.filename == DOCUMENT:
            continue
        digest = info.filename.removeprefix(OBJECTS)
        if not objects.DIGEST.fullmatch(digest) or info.filename == digest:
            raise StorageError(f"{file} holds {info.filename[:80]!r}, which is no part of a search")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > MOST_OBJECT_BYTES:
            raise ValueError("it is compressed or too large")
        data = archive.read(info)
        if objects.digest_of(data) != digest:
            raise StorageError(f"{file}: checkpoint {digest[:12]} does not have the bytes it was written with")
        try:
            held[objects.write(folder, data)] = len(data)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(
                f"{folder} cannot be written: {error.strerror}; mend that, or let AUTOML_CHECKPOINTS name another"
            ) from error
    return held


def _insert(transaction: Transaction, document: Mapping[str, Any], name: str, held: Mapping[str, int]) -> None:
    row = dict(document["search"])
    state = row["state"] if row["state"] in ("finished", "failed") else "interrupted"
    values = {key: row[key] for key in SEARCH} | {"name": name, "state": state, "created": _moment(row["created"])}
    search = Search(**values, updated=utc_now(), epoch=0, turn=0, takeovers=0, detached=False)
    transaction.session.add(search)
    transaction.session.flush()
    for digest, size in held.items():
        record(transaction, digest, size)
    trials = [_row(TrialRow, trial) for trial in document["trials"]]
    names = [item.name for item in fields(TrialRow)]
    transaction.run_many(
        insertion(TRIALS, "search_id", *names), [{**trial, "search_id": search.id} for trial in trials]
    )
    query = TRIALS.select().with_only_columns(TRIALS.c.number, TRIALS.c.id).where(TRIALS.c.search_id == search.id)
    ids = {row[0]: row[1] for row in transaction.connection.execute(query)}
    for table, kind, key in ((ATTEMPTS, AttemptRow, "attempts"), (SEGMENTS, SegmentRow, "segments")):
        found = [_row(kind, item) for item in document[key]]
        others = [item.name for item in fields(kind) if item.name != "trial"]
        rows = [{**item, "trial_id": ids[item["trial"]], "epoch": None} for item in found]
        transaction.run_many(insertion(table, "trial_id", *others), rows)
    notes = [{**_row(EventRow, event), "search_id": search.id} for event in document["events"]]
    transaction.run_many(insertion(EVENTS, "search_id", "created", "kind", "message"), notes)


def _row(kind: type[Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row, of exactly the fields that it has."""
    types = {found.name: str(found.type) for found in fields(kind)}
    if item.keys() != types.keys():
        raise ValueError("its fields are others")
    return {
        name: _moment(value) if "datetime" in types[name] and value is not None else value
        for name, value in item.items()
    }


def _moment(value: str) -> datetime:
    return datetime.fromisoformat(value)


def _plain(row: Any) -> dict[str, Any]:
    return {name: _value(value) for name, value in vars(row).items()}


def _value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
