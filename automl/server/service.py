"""The service behind API and pages: what both do, said once."""

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

from automl.bundle import MANIFEST, write_bundle
from automl.control import history
from automl.data.corpus import corpus_folder, data_digest
from automl.errors import InputError, NameTaken
from automl.export.exporting import export
from automl.planning import space_of
from automl.privacy import drop_key
from automl.records import Record, bundle_of_trial, examples_of, sample_of
from automl.refusals import check_objective
from automl.searches import Options
from automl.server.access import Caller, own_search
from automl.server.datasets import Datasets, Located, name_for, name_of_file, spoken, spoken_of
from automl.server.documents import UPLOAD, Example, ExportDocument, Proposal
from automl.server.exports import Exports
from automl.server.feed import Feed
from automl.server.idempotency import request_digest
from automl.server.keyring import Keyring
from automl.server.library import Library, reads_images, state_of
from automl.server.options import ServerOptions
from automl.server.predictors import Predictors, Sight
from automl.server.problems import Problem, not_found
from automl.server.quotas import Quotas
from automl.server.rows import Rows
from automl.server.sweeping import sweep
from automl.server.turns import Turns
from automl.server.upkeep import Upkeep
from automl.settings import Settings, private_folder, private_place
from automl.submissions import Submission, pretraining_documents, submit
from automl.tasks.document import BudgetSection, TaskDocument, document_from_mapping
from automl.tasks.draft import proposal
from storage import objects
from storage.accounts import get_account
from storage.checkpoints import referenced
from storage.database import Database
from storage.leases import LeaseHeld
from storage.queues import withdraw_search
from storage.searches import OPEN_STATES, SearchRow, get_search, list_searches, set_options
from storage.spending import delete_search
from storage.studies import delete_study
from storage.uploads import (
    UploadRow,
    add_upload,
    delete_upload,
    delete_uploaded,
    get_upload,
    uploaded_bytes,
    use_upload,
)
from storage.wishes import Wish, ask, forget_wish, wish_of

SAMPLES = 8
LONGEST_BEGINNING, MOST_ALIKE = 90, 20
"""Characters of a name that another one like it begins with, and how many of these are looked at."""
ADMINISTRATOR = "admin"
"""The account of the token that the first start prints; nobody signs in to it otherwise."""


@dataclass(frozen=True)
class Service:
    """A database, its folders, and what is shared by all requests."""

    options: ServerOptions
    database: Database
    library: Library
    keyring: Keyring
    feed: Feed
    predictors: Predictors
    rows: Rows
    upkeep: Upkeep
    exports: Exports = field(default_factory=Exports)
    turns: Turns = field(default_factory=Turns)

    @property
    def datasets(self) -> Datasets:
        """What uploads hold."""
        return Datasets(self.options)

    @property
    def quotas(self) -> Quotas:
        """What accounts use."""
        return Quotas(self.options, self.database)

    # Uploads

    def upload(self, caller: Caller, name: str, data: bytes) -> UploadRow:
        """Keep a file.

        Raises:
            Problem: It is empty, or more than the account may keep.
        """
        if not data:
            raise Problem(422, "the file is empty; upload one with rows")
        self.quotas.check_file(caller)
        account, most = caller.account.id, self.quotas.for_uploads(caller)
        if uploaded_bytes(self.database, account) + len(data) > most:
            raise self.quotas.full(caller)
        digest = objects.write(private_place(self.options.checkpoints), data)
        row = add_upload(self.database, account, name_of_file(name), digest, len(data), most)
        if row is None:  # others came first
            sweep(self.options, self.database, {digest})
            raise self.quotas.full(caller)
        objects.write(self.options.checkpoints, data)  # whatever was purged in between did not know of the row
        return row

    def own_upload(self, caller: Caller, upload_id: str) -> UploadRow:
        """Return an upload of the caller.

        Raises:
            Problem: There is none (404).
        """
        row = get_upload(self.database, int(upload_id.removeprefix("upload-")))
        if row is None or row.account_id != caller.account.id:
            raise not_found(upload_id)
        return row

    def use_upload(self, caller: Caller, upload_id: str) -> UploadRow:
        """Return an upload of the caller of which something is made now: it is kept for a while from then on.

        Raises:
            Problem: There is none (404), or there is no room to unpack it (403).
        """
        row = self.own_upload(caller, upload_id)
        if not use_upload(self.database, row.id):
            raise not_found(upload_id)
        self.quotas.check_room(caller, self.datasets.adds(row))
        return row

    def forget_upload(self, row: UploadRow) -> None:
        """Delete an upload; its bytes go as soon as no search needs them."""
        delete_upload(self.database, row.id)
        sweep(self.options, self.database, {row.digest})

    # Tasks

    def propose(self, caller: Caller, splits: Mapping[str, str]) -> Proposal:
        """Look at uploads and propose the document that fits them, as `automl init` does."""
        rows = {split: self.use_upload(caller, upload) for split, upload in splits.items()}
        if len(rows) == 1:
            found = self.datasets.splits(rows["train"])
        else:
            found = {split: self.datasets.split(row, split) for split, row in rows.items()}
        named = {split: splits.get(split, splits["train"]) for split in found}
        try:
            proposed = proposal(name_for(rows["train"].name), {split: each.path for split, each in found.items()})
            document, profile, warnings = proposed.to_mapping(), proposed.seen.to_mapping(), list(proposed.warnings)
        except InputError as error:
            raise spoken_of(error, found) from None
        document["data"] = {**document["data"], **named}
        wanted = document["name"]
        document["name"] = self._free_name(caller, wanted)
        if document["name"] != wanted:
            warnings.append(f"the name {wanted!r} is taken, so this is called {document['name']!r}")
        return Proposal(document=document, why=proposed.why, warnings=warnings, profile=profile)

    def _free_name(self, caller: Caller, wanted: str) -> str:
        """Return a name, or the next one like it, that no search of another account has."""
        followers = (f"{wanted[:LONGEST_BEGINNING]}-{number}" for number in range(2, MOST_ALIKE))
        for name in (wanted, *followers):
            row = get_search(self.database, name)
            if row is None or row.account_id == caller.account.id:
                return name
        return f"{wanted[:LONGEST_BEGINNING]}-{secrets.token_hex(4)}"

    def document(self, caller: Caller, task: TaskDocument) -> tuple[TaskDocument, dict[str, Located]]:
        """Return a task document with files where it names uploads, and where these are.

        Raises:
            Problem: It names something else.
            InputError: It is wrong.
        """
        mapping = task.model_dump(mode="json", by_alias=True, exclude_none=True)
        found: dict[str, Located] = {}
        for split in task.data.files:
            row = self._upload_named(caller, f"[data] {split}", str(mapping["data"][split]))
            found[split] = self.datasets.split(row, split)
            mapping["data"][split] = str(found[split].path)
        for name in task.pretraining.files if task.pretraining is not None else ():
            found[name] = self._begun(caller, name, str(mapping["pretraining"][name]))
            mapping["pretraining"][name] = str(found[name].path)
        try:
            return document_from_mapping(mapping, Path()), found
        except InputError as error:
            raise spoken_of(error, found) from None

    def _upload_named(self, caller: Caller, key: str, upload: str) -> UploadRow:
        if not re.fullmatch(UPLOAD, upload):
            raise Problem(422, f"{key} must be the id of an upload, such as upload-1")
        return self.use_upload(caller, upload)

    def _begun(self, caller: Caller, name: str, said: str) -> Located:
        """Return what a pre-training begins with: an uploaded text or bundle, or the winner of a finished search."""
        if name != "from":
            return Located(self.datasets.file_of(self._upload_named(caller, f"[pretraining] {name}", said)))
        if re.fullmatch(UPLOAD, said):
            return self.datasets.bundle(self.use_upload(caller, said))
        row = own_search(self, caller, said)
        if self.state(row) != "finished":
            raise Problem(409, f"search {row.name!r} is {self.state(row)}; begin from one that is finished")
        is_ensemble = bool(((row.summary or {}).get("best") or {}).get("members"))
        return Located(self.bundle(row, self.model(row, None)[0] if is_ensemble else None))

    def validate(self, caller: Caller, task: TaskDocument) -> tuple[TaskDocument, int]:
        """Check a task document without reading its data; returns it, and how many dials are free."""
        document, found = self.document(caller, task)
        try:
            space = space_of(document)
            check_objective(document, space)
        except InputError as error:
            raise spoken_of(error, found) from None
        return document, len(space.ranges)

    def submit(self, caller: Caller, task: TaskDocument, workers: int | None = None) -> SearchRow:
        """Queue a search.

        Raises:
            Problem: There is another one of that name (409), whoever has it, or a quota is spent (403).
            InputError: The document or its data are wrong.
        """
        document, found = self.document(caller, task)
        if document.is_endless:
            raise Problem(422, "[budget] sets no limit; give time or trials")
        known = get_search(self.database, document.name)
        if known is not None and known.account_id != caller.account.id:
            raise _taken(document.name)
        self.quotas.check_search(caller, but=document.name)
        options = Options(storage=self.options.storage, workers=workers, checkpoints=self.options.checkpoints)
        packed = {name: each.packed for name, each in found.items() if each.packed is not None}
        try:
            with self._forgetting(document):
                submit(document, options, caller.account.id, packed, partial(self.quotas.queue, caller))
        except NameTaken:
            raise _taken(document.name) from None
        except InputError as error:
            raise spoken_of(error, found) from None
        row = get_search(self.database, document.name)
        if row is None or row.account_id != caller.account.id:
            raise _taken(document.name)
        self.rows.forget()
        return row

    @contextmanager
    def _forgetting(self, document: TaskDocument) -> Iterator[None]:
        """Keep nothing of data that are read for a search, and were not here before, where it comes to none."""
        folder = None
        with suppress(InputError):
            folder = corpus_folder(self.options.cache, data_digest(document.data, document.form, document.given))
        known = folder is None or folder.exists()
        try:
            yield
        except Exception:
            if folder is not None and not known:
                self._forget_corpus(folder)
            raise

    def _forget_corpus(self, folder: Path) -> None:
        """Delete a corpus that no search refers to."""
        if all(other.data_digest != folder.name for other in list_searches(self.database)):
            rmtree(folder, ignore_errors=True)

    # Searches

    def state(self, row: SearchRow) -> str:
        """Return the state of a search in the words of the service."""
        return state_of(row.standing, wish_of(self.database, row.id))

    def stop(self, row: SearchRow, wish: Wish) -> None:
        """Pause or cancel a search that waits or runs.

        Raises:
            Problem: It does neither, or the process that runs it listens to nobody (409).
        """
        state = self.state(row)
        if wish == "cancel" and state in ("paused", "interrupted"):
            ask(self.database, row.id, wish)
            self.rows.forget()
            return
        if state not in OPEN_STATES:
            raise Problem(409, f"search {row.name!r} is {state}; only one that waits or runs can be stopped")
        if row.held and not row.detached:
            raise Problem(409, f"search {row.name!r} is run by a command of its own; stop it there")
        ask(self.database, row.id, wish)
        withdraw_search(self.database, row.name)
        self.rows.forget()

    def resume(self, caller: Caller, row: SearchRow) -> None:
        """Queue a search that was paused or interrupted, or has failed, again.

        Raises:
            Problem: It is none of these (409).
        """
        state = self.state(row)
        if state in OPEN_STATES:
            forget_wish(self.database, row.id)  # a pause that its worker has not heard of yet
            return
        if state not in ("paused", "interrupted", "failed") or row.options is None:
            raise Problem(409, f"search {row.name!r} is {state}; only one that was paused or has failed can go on")
        owner = self._owner(caller, row)
        self.quotas.check_search(owner, but=row.name)
        self.quotas.queue(owner, row.name)
        self.rows.forget()

    def set_budget(self, caller: Caller, row: SearchRow, budget: BudgetSection) -> None:
        """Give a search another budget, with which it goes on; how it finishes stays unless the budget says otherwise.

        Raises:
            Problem: It was cancelled, or was not made by the service (409); the budget sets no limit (422).
        """
        state = self.state(row)
        if state == "cancelled" or row.options is None:
            raise Problem(409, f"search {row.name!r} is {state}; submit it under another name")
        before = Submission.from_mapping(row.options)
        kept = {name: value for name, value in before.budget.items() if name == "finish"}
        wanted = kept | budget.model_dump(mode="json", exclude_none=True)
        if document_from_mapping({**row.document, "budget": wanted}, Path()).is_endless:
            raise Problem(422, "[budget] sets no limit; give time or trials")
        options = replace(before, budget=wanted).to_mapping()
        owner = self._owner(caller, row)
        self.quotas.check_search(owner, but=row.name)
        try:
            self.quotas.queue(owner, row.name, options)
        except LeaseHeld:
            ask(self.database, row.id, "restart")
            set_options(self.database, row.id, options)
            with suppress(LeaseHeld):  # whoever holds it hears that, unless it has come to its end meanwhile
                self.quotas.queue(owner, row.name)
        self.rows.forget()

    def _owner(self, caller: Caller, row: SearchRow) -> Caller:
        """Return the caller as whoever owns a search: that account's quotas hold, whoever acts for it."""
        owner = None if row.account_id is None else get_account(self.database, row.account_id)
        return caller if owner is None else replace(caller, account=owner)

    def delete(self, row: SearchRow, *, purge: bool) -> None:
        """Delete a search; with `purge` also its checkpoints, its data, their uploads, and what was made of these here.

        Raises:
            Problem: It runs (409).
        """
        if row.held:
            raise Problem(409, f"search {row.name!r} is running; cancel it first")
        begun = self._pretrainings(row) if purge else ()
        digests = referenced(self.database, row.id) if purge else set()
        uploads = self._alone(row) if purge else set()
        delete_search(self.database, row.name)  # refused while somebody holds it: nothing else is gone by then
        if uploads and row.account_id is not None:
            delete_uploaded(self.database, row.account_id, uploads)
        drop_key(Settings().privacy_keys, row)
        for each in begun:
            self.delete(each, purge=True)
        self.rows.forget()
        with suppress(Exception):  # the mirror is for other tools
            delete_study(self.database.url, row.name)
        if purge:
            sweep(self.options, self.database, digests)
            for served in (self.options.cache / "served").glob(f"{row.id}-*"):
                rmtree(served, ignore_errors=True)
            self._forget_corpus(corpus_folder(self.options.cache, row.data_digest))

    def _alone(self, row: SearchRow) -> set[str]:
        """Return digests of the data that one of the searches of an account has, and no other."""
        others = [other for other in list_searches(self.database) if other.account_id == row.account_id]
        return row.carried - {digest for other in others if other.id != row.id for digest in other.carried}

    def _pretrainings(self, row: SearchRow) -> list[SearchRow]:
        """Return the searches that have pre-trained for one, and run no more."""
        documents = pretraining_documents(document_from_mapping(row.document, Path()))
        found = [get_search(self.database, document.name) for document in documents]
        return [each for each in found if each is not None and not each.held and each.account_id == row.account_id]

    # Models

    def model(self, row: SearchRow, trial: int | None) -> tuple[int, str]:
        """Return the number of a trial, the best one where none is named, and what tells its model from all others.

        The winner is what the search has left as such: others may speak with the best trial, or one may have been
        distilled from them. A trial that is named is that trial alone.

        Raises:
            Problem: It has no result (409), or is not there (404).
        """
        return self._model(self.library.record(row), trial)

    def _model(self, record: Record, trial: int | None) -> tuple[int, str]:
        row = record.row
        if trial is not None and trial not in record.trials:
            raise not_found(f"trial {trial} of search {row.name!r}")
        best = history.best(record.trials.values() if trial is None else [record.trials[trial]], record.criteria)
        if best is None:
            raise Problem(409, f"search {row.name!r} has no result yet; wait for one")
        found = record.found(*best, alone=trial is not None)
        return best[0].row.number, request_digest(json.dumps(asdict(found), sort_keys=True))[:32]

    def bundle(self, row: SearchRow, trial: int | None) -> Path:
        """Return the folder of a trial's bundle, or of the winner's, written where it is not there yet.

        Raises:
            Problem: The account of the search keeps as much as it may (403); the winner of one that has ended is given.
        """
        return self._bundle(self.library.record(row), trial)

    def _bundle(self, record: Record, trial: int | None) -> Path:
        folder = self._served(record, trial)
        with self.turns.of(folder.name):
            if not (folder / MANIFEST).is_file():
                if trial is not None or record.row.held:
                    self.quotas.check_making(record.row)
                write_bundle(bundle_of_trial(record, trial, self.options.cache, self.options.checkpoints), folder)
        return folder

    def _exported(self, record: Record, trial: int | None, form: str) -> Path:
        folder = self._served(record, trial, f"-{form}")
        with self.turns.of(folder.name):
            if not (folder / MANIFEST).is_file():
                cache, checkpoints = self.options.cache, self.options.checkpoints
                bundle = bundle_of_trial(record, trial, cache, checkpoints)
                export(bundle, folder, [form], sample_of(record, bundle, cache, checkpoints))
        return folder

    def _served(self, record: Record, trial: int | None, form: str = "") -> Path:
        number, digest = self._model(record, trial)
        return private_folder(self.options.cache / "served") / f"{record.row.id}-{number}-{digest}{form}"

    def export(self, row: SearchRow, trial: int | None, form: str) -> ExportDocument:
        """Let a further form of a trial's model be made beside its bundle, where it is not there yet.

        Raises:
            Problem: The account of the search keeps as much as it may (403).
        """
        record = self.library.record(row)
        folder = self._served(record, trial, f"-{form}")
        if not (folder / MANIFEST).is_file():
            self.quotas.check_making(record.row)
            self.exports.begin(folder.name, lambda: self._exported(record, trial, form), row.account_id)
        return self._exporting(record, trial, form)

    def exporting(self, row: SearchRow, trial: int | None, form: str) -> ExportDocument:
        """Say how far a form is."""
        return self._exporting(self.library.record(row), trial, form)

    def _exporting(self, record: Record, trial: int | None, form: str) -> ExportDocument:
        folder = self._served(record, trial, f"-{form}")
        said: dict[str, Any] = {"search": record.row.name, "trial": self._model(record, trial)[0], "format": form}
        if self.exports.is_making(folder.name):
            return ExportDocument(**said, state="making")
        if (folder / MANIFEST).is_file():
            return ExportDocument(**said, state="ready")
        why = self.exports.failure(folder.name)
        return ExportDocument(**said, state="absent" if why is None else "failed", why=why)

    def folder(self, row: SearchRow, trial: int | None, form: str = "bundle") -> tuple[str, Path]:
        """Return what a trial's bundle, or one with a further form beside it, is called, and the folder where it lies.

        Raises:
            Problem: The form was not made yet (409).
        """
        record = self.library.record(row)
        if form != "bundle" and self._exporting(record, trial, form).state != "ready":
            raise Problem(409, f"{form} is not made yet; POST /v1/searches/{row.name}/exports?format={form} makes it")
        folder = self._bundle(record, trial) if form == "bundle" else self._served(record, trial, f"-{form}")
        number = self._model(record, trial)[0]
        return f"{row.name}-{number}" + ("" if form == "bundle" else f"-{form}"), folder

    def predict(self, row: SearchRow, trial: int | None, sources: Sequence[str]) -> tuple[int, list[str]]:
        """Return which trial predicted, and one output for each source.

        Raises:
            Problem: It reads images (409).
        """
        if reads_images(row):
            raise Problem(409, f"search {row.name!r} is of images; send them to /v1/searches/{row.name}/predict/images")
        record, clean = self.library.record(row), self._clean(sources)
        number, digest = self._model(record, trial)
        key = f"{row.id}-{digest}"
        return number, self.predictors.predict(key, lambda: self._bundle(record, trial), clean) if clean else []

    def see(self, row: SearchRow, trial: int | None, images: Sequence[bytes]) -> tuple[int, list[Sight]]:
        """Return which trial predicted, and what it saw on each image, which are PNG or JPEG.

        Raises:
            Problem: It reads no images (409), or they are too many.
        """
        if not reads_images(row):
            raise Problem(409, f"search {row.name!r} is of texts; send them to /v1/searches/{row.name}/predict")
        if not images or len(images) > self.options.limits.images:
            raise Problem(422, f"send 1 to {self.options.limits.images} images at a time")
        record = self.library.record(row)
        number, digest = self._model(record, trial)
        with TemporaryDirectory(dir=private_folder(self.options.cache / "asked")) as folder:
            files = [Path(folder, f"image {place}") for place in range(1, len(images) + 1)]
            for file, image in zip(files, images, strict=True):
                file.write_bytes(image)
            try:
                seen = self.predictors.see(f"{row.id}-{digest}", lambda: self._bundle(record, trial), files)
            except InputError as error:
                raise spoken(error, {file: file.name for file in files}) from None
        return number, seen

    def look(self, row: SearchRow, trial: int | None, source: str) -> tuple[int, dict[str, Any]]:
        """Return which trial looked, and where it looks in a source as it says its output.

        Raises:
            Problem: It reads images (409).
        """
        if reads_images(row):
            raise Problem(409, f"search {row.name!r} is of images; where its models look is not shown")
        record, [clean] = self.library.record(row), self._clean([source])
        number, digest = self._model(record, trial)
        return number, self.predictors.look(f"{row.id}-{digest}", lambda: self._bundle(record, trial), clean)

    def samples(self, row: SearchRow, trial: int) -> list[Example]:
        """Return what a trial makes of some sources of valid, where the task document shares them.

        Raises:
            Problem: It does not (403), or they are images (409).
        """
        if row.document.get("share_samples") is not True:
            raise Problem(403, "the task document shares no samples; share_samples = true would")
        if reads_images(row):
            raise Problem(409, f"search {row.name!r} is of images; its samples are not shown")
        examples = examples_of(row, self.options.cache, self.options.checkpoints, SAMPLES)
        outputs = self.predict(row, trial, [source for source, _ in examples])[1]
        return [
            Example(source=source, targets=list(targets), output=output)
            for (source, targets), output in zip(examples, outputs, strict=True)
        ]

    def _clean(self, sources: Sequence[str]) -> list[str]:
        """Return sources as they can be sent to a predictor.

        Raises:
            Problem: They are too many, or too long.
        """
        limits = self.options.limits
        if len(sources) > limits.sources or max(map(len, sources), default=0) > limits.source_characters:
            raise Problem(
                422, f"send {limits.sources:,} sources of {limits.source_characters:,} characters at most at a time"
            )
        return [source.encode("utf-8", "replace").decode() for source in sources]


def _taken(name: str) -> Problem:
    return Problem(409, f"the name {name!r} is taken; choose another")
