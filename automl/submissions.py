"""Searches that wait in the database for a worker, and the data that such a search brings along.

The files of its data lie among the checkpoints under their sha256, so whoever reaches the database and the checkpoints
needs nothing else to run it.
"""

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from automl.data.corpus import build_corpus
from automl.errors import InputError
from automl.refusals import check_objective
from automl.resumption import is_spent, search_row
from automl.searches import Options, space_of
from automl.settings import Settings, check_shared, checkpoint_folder, private_folder, private_place
from automl.tasks.document import TaskDocument, document_from_mapping
from automl.winners import Search, describe
from storage import objects
from storage.database import Database, open_database
from storage.searches import SearchRow, get_search, queue_search
from storage.trials import count_trials


@dataclass(frozen=True)
class Submission:
    """How a queued search is to be run: what its row keeps beside the document.

    Attributes:
        budget: `[budget]` of the document that it was queued with last.
        data: Sha256 and suffix of the file of each split.
        checkpoints: Folder of checkpoint bytes, where the worker's settings name no other.
        executor: A name in `EXECUTORS`; none for the worker's choice.
        workers: Processes that train at the same time; none for the worker's choice.
        out: Folder of the winner; none to leave it to `automl export`.
    """

    budget: Mapping[str, Any]
    data: Mapping[str, tuple[str, str]]
    checkpoints: str
    executor: str | None = None
    workers: int | None = None
    out: str | None = None

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**vars(self), "data": {name: list(pair) for name, pair in self.data.items()}}

    @staticmethod
    def from_mapping(mapping: Mapping[str, Any]) -> "Submission":
        """Read what `to_mapping` wrote."""
        data = {name: (str(digest), str(suffix)) for name, (digest, suffix) in mapping["data"].items()}
        return Submission(**{**mapping, "data": data})


def submit(document: TaskDocument, options: Options, account: int | None = None) -> Search:
    """Queue a search, or say again how it ended where its budget is spent; `account` is whose it becomes.

    Raises:
        InputError: The document or an option is wrong.
        StorageError: The database cannot be used, or another process runs this search.
    """
    settings = Settings()
    url = options.storage or settings.storage
    checkpoints = private_place(checkpoint_folder(url, settings))
    check_shared(checkpoints, "processes")
    if document.pretraining is not None:
        raise InputError("[pretraining] is not carried to workers yet; search without --detach")
    space_of(document)  # what is wrong with it is said before the data is read
    corpus = build_corpus(document, private_folder(settings.cache))
    check_objective(document, space_of(document, corpus))
    for notice in corpus.notices:
        options.on_notice(notice)
    with closing(open_database(url)) as database:
        row = search_row(database, document, corpus, new=options.new, account=account)
        if not is_spent(row, document.limits):
            queue_search(database, row.name, _submission(document, options, checkpoints).to_mapping())
        return _described(database, document.name)


def _submission(document: TaskDocument, options: Options, checkpoints: objects.Place) -> Submission:
    return Submission(
        budget=document.to_mapping().get("budget", {}),
        data={name: _carried(path, checkpoints) for name, path in document.data.files.items()},
        checkpoints=objects.address(checkpoints),
        executor=options.executor,
        workers=options.workers,
        out=None if options.out is None else str(Path(options.out).absolute()),
    )


def _carried(path: Path, checkpoints: objects.Place) -> tuple[str, str]:
    try:
        return objects.write(checkpoints, path.read_bytes()), path.suffix
    except OSError as error:
        raise InputError(f"{path}: cannot be kept in {checkpoints} for a worker ({error.strerror})") from error


def _described(database: Database, name: str) -> Search:
    row = get_search(database, name)
    assert row is not None
    return describe(row, {state.lower(): count for state, count in count_trials(database, row.id).items() if count})


def document_of(row: SearchRow, submission: Submission, checkpoints: objects.Place, cache: Path) -> TaskDocument:
    """Return the document of a queued search, its data fetched to this machine.

    Raises:
        InputError: The data are not among the checkpoints, or are not what they were.
    """
    data = {name: str(_fetched(row.name, name, *pair, checkpoints, cache)) for name, pair in submission.data.items()}
    mapping = {**row.document, "budget": submission.budget, "data": {**row.document["data"], **data}}
    return document_from_mapping(mapping, Path(), f"search {row.name!r}")


def document_at_hand(row: SearchRow, checkpoints: objects.Place, cache: Path) -> TaskDocument:
    """Return the document of a search, whose data a queued one has brought along.

    Raises:
        InputError: The data are not there.
    """
    if row.options is None:
        return document_from_mapping(row.document, Path())
    return document_of(row, Submission.from_mapping(row.options), checkpoints, cache)


def _fetched(search: str, split: str, digest: str, suffix: str, checkpoints: objects.Place, cache: Path) -> Path:
    path = private_folder(cache / "data") / f"{digest}{suffix}"
    try:
        if path.exists() and sha256(path.read_bytes()).hexdigest() == digest:
            return path
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_bytes(objects.read(checkpoints, digest))
        partial.replace(path)
    except (objects.CorruptObject, OSError, ValueError) as error:
        raise InputError(
            f"search {search!r}: its {split} data are not in {checkpoints} ({error}); "
            "let AUTOML_CHECKPOINTS name the folder that it was queued with"
        ) from None
    return path
