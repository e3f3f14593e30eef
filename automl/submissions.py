"""Searches that wait in the database for a worker, and the data that such a search brings along.

The files of its data, and what it pre-trains on or begins from, lie among the checkpoints under their sha256, so
whoever reaches the database and the checkpoints needs nothing else to run it. Folders, and files that need others, are
packed.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from automl.archives import files_below, packed, shared_folder, unpacked
from automl.data.corpus import build_corpus
from automl.errors import InputError
from automl.planning import space_of
from automl.pretraining import pretraining_document
from automl.refusals import check_objective, check_target
from automl.resumption import check_owner, is_spent, search_row
from automl.searches import Options
from automl.settings import Settings, check_shared, checkpoint_folder, private_folder, private_place
from automl.tasks.document import TaskDocument, document_from_mapping
from automl.winners import Search, describe
from storage import objects
from storage.database import Database, open_database
from storage.queues import carry, queue_search, revise
from storage.searches import SearchRow, get_search
from storage.trials import count_trials

ZIP = ".zip"
FREE = ("license", "share_samples")
"""What of a document holds from when it is submitted, however the search stands."""
PRETRAINING = ("unlabelled", "from")
"""Files of `[pretraining]`, which travel beside those of the splits."""


class Parcel(NamedTuple):
    """What travels of a file or a folder.

    Attributes:
        digest: Sha256 of its bytes.
        suffix: Of the file.
        entry: Where in the bytes, which are a ZIP file, it is; `.` for all of them, empty where they are the file.
    """

    digest: str
    suffix: str
    entry: str = ""

    def to_list(self) -> list[str]:
        """Return it as plain JSON values."""
        return [self.digest, self.suffix, self.entry] if self.entry else [self.digest, self.suffix]


class Packed(NamedTuple):
    """Where a file or a folder comes from that somebody has packed already: the ZIP file, and where in it."""

    archive: Path
    entry: str


@dataclass(frozen=True)
class Submission:
    """How a queued search is to be run: what its row keeps beside the document.

    Attributes:
        budget: `[budget]` of the document that it was queued with last.
        data: What travels of each split, and of each file of `[pretraining]`.
        checkpoints: Folder of checkpoint bytes, where the worker's settings name no other.
        executor: A name in `EXECUTORS`; none for the worker's choice.
        workers: Processes that train at the same time; none for the worker's choice.
        out: Folder of the winner; none to leave it to `automl export`.
    """

    budget: Mapping[str, Any]
    data: Mapping[str, Parcel]
    checkpoints: str
    executor: str | None = None
    workers: int | None = None
    out: str | None = None

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**vars(self), "data": {name: parcel.to_list() for name, parcel in self.data.items()}}

    @staticmethod
    def from_mapping(mapping: Mapping[str, Any]) -> "Submission":
        """Read what `to_mapping` wrote."""
        data = {name: Parcel(*map(str, parcel)) for name, parcel in mapping["data"].items()}
        return Submission(**{**mapping, "data": data})


def submit(
    document: TaskDocument,
    options: Options,
    account: int | None = None,
    sources: Mapping[str, Packed] | None = None,
    queue: Callable[[str, Mapping[str, Any]], object] | None = None,
) -> Search:
    """Queue a search, or say again how it ended where its budget is spent.

    Args:
        document: Its document.
        options: How it is to be run.
        account: Whose it becomes.
        sources: What of `Submission.data` is in a ZIP file already.
        queue: Queues a search of a name to be run so, where that is not for all to do.

    Raises:
        InputError: The document or an option is wrong.
        StorageError: The database cannot be used, or another process runs this search.
    """
    settings = Settings()
    url = options.storage or settings.storage
    checkpoints = private_place(checkpoint_folder(url, settings))
    check_shared(checkpoints, "processes")
    check_target(document)
    space_of(document)  # what is wrong with it is said before the data is read
    corpus = build_corpus(document, private_folder(settings.cache))
    check_objective(document, space_of(document, corpus))
    for notice in corpus.notices:
        options.on_notice(notice)
    with closing(open_database(url)) as database:
        _check_pretraining(database, document, account)
        row = search_row(database, document, corpus, settings.privacy_keys, new=options.new, account=account)
        wished = {key: value for key, value in document.to_mapping().items() if key in FREE}
        revise(database, row.name, {**{k: v for k, v in row.document.items() if k not in FREE}, **wished})
        if row.state != "finished" or not is_spent(row, document.limits):
            wanted = _submission(document, options, checkpoints, sources or {}, objects.digest_of)
            carry(database, row.name, wanted.to_mapping())  # a sweep leaves what is referred to before it is written
            kept = _submission(document, options, checkpoints, sources or {}, partial(objects.write, checkpoints))
            if kept != wanted:
                raise InputError(f"the files of search {row.name!r} changed while they were read; submit it again")
            (queue or partial(queue_search, database))(row.name, kept.to_mapping())
        return _described(database, document.name)


def _check_pretraining(database: Database, document: TaskDocument, account: int | None) -> None:
    """Refuse texts that cannot be read, and names of pre-trainings that are another's, before a worker finds out."""
    for wanted in pretraining_documents(document):
        wanted.form.check(wanted.data.train)
        check_owner(get_search(database, wanted.name), account)


def pretraining_documents(document: TaskDocument) -> list[TaskDocument]:
    """Return the documents of the searches that pre-train for one."""
    wish = document.pretraining
    if wish is None or wish.unlabelled is None:
        return []
    return [pretraining_document(document, objective) for objective in wish.objectives]


def _submission(
    document: TaskDocument,
    options: Options,
    checkpoints: objects.Place,
    sources: Mapping[str, Packed],
    keep: Callable[[bytes], str],
) -> Submission:
    """Return what the row of a search shall hold; `keep` takes the bytes that travel and gives their sha256."""
    files = {**document.data.files, **(document.pretraining.files if document.pretraining else {})}

    def carried(name: str, path: Path) -> Parcel:
        try:
            return _carried(document, path, sources.get(name), keep)
        except OSError as error:
            raise InputError(f"{path}: cannot be kept in {checkpoints} for a worker ({error.strerror})") from error

    return Submission(
        budget=document.to_mapping().get("budget", {}),
        data={name: carried(name, path) for name, path in files.items()},
        checkpoints=objects.address(checkpoints),
        executor=options.executor,
        workers=options.workers,
        out=None if options.out is None else str(Path(options.out).absolute()),
    )


def _carried(document: TaskDocument, path: Path, source: Packed | None, keep: Callable[[bytes], str]) -> Parcel:
    if source is not None:
        return Parcel(keep(source.archive.read_bytes()), ZIP, source.entry)
    if path.is_dir():
        return _packed(path, path.absolute().parent, files_below(path), keep)
    others = [] if path not in document.data.files.values() else list(document.form.parts(path))
    if others:
        files = [path.absolute(), *(other.absolute() for other in others)]
        return _packed(path, shared_folder(files), files, keep)
    return Parcel(keep(path.read_bytes()), path.suffix)


def _packed(path: Path, folder: Path, files: Sequence[Path], keep: Callable[[bytes], str]) -> Parcel:
    data = packed(folder, [file.absolute() for file in files])
    return Parcel(keep(data), ZIP, path.absolute().relative_to(folder).as_posix())


def _described(database: Database, name: str) -> Search:
    row = get_search(database, name)
    assert row is not None
    return describe(row, {state.lower(): count for state, count in count_trials(database, row.id).items() if count})


def document_of(row: SearchRow, submission: Submission, checkpoints: objects.Place, cache: Path) -> TaskDocument:
    """Return the document of a queued search, its data fetched to this machine.

    Raises:
        InputError: The data are not among the checkpoints, or are not what they were.
    """
    found = {name: str(_fetched(row.name, name, each, checkpoints, cache)) for name, each in submission.data.items()}
    begun = {name: found.pop(name) for name in PRETRAINING if name in found}
    mapping = {**row.document, "budget": submission.budget, "data": {**row.document["data"], **found}}
    if begun:
        mapping["pretraining"] = {**row.document["pretraining"], **begun}
    return document_from_mapping(mapping, Path(), f"search {row.name!r}")


def document_at_hand(row: SearchRow, checkpoints: objects.Place, cache: Path) -> TaskDocument:
    """Return the document of a search, whose data a queued one has brought along.

    Raises:
        InputError: The data are not there.
    """
    if row.options is None:
        return document_from_mapping(row.document, Path())
    return document_of(row, Submission.from_mapping(row.options), checkpoints, cache)


def _fetched(search: str, split: str, parcel: Parcel, checkpoints: objects.Place, cache: Path) -> Path:
    path = private_folder(cache / "data") / f"{parcel.digest}{parcel.suffix}"
    try:
        if not (path.exists() and sha256(path.read_bytes()).hexdigest() == parcel.digest):
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            partial.write_bytes(objects.read(checkpoints, parcel.digest))
            partial.replace(path)
        return unpacked(path, path.with_suffix("")) / parcel.entry if parcel.entry else path
    except (objects.CorruptObject, OSError, ValueError) as error:
        raise InputError(
            f"search {search!r}: its {split} data are not in {checkpoints} ({error}); "
            "let AUTOML_CHECKPOINTS name the folder that it was queued with"
        ) from None
