"""The service behind API and pages: what both do, said once."""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from shutil import rmtree

from automl.data.corpus import corpus_folder, data_digest
from automl.errors import InputError, NameTaken
from automl.planning import space_of
from automl.privacy import drop_key
from automl.refusals import check_objective, check_target
from automl.searches import Options
from automl.server.access import Caller, own_search
from automl.server.datasets import Datasets, Located, name_for, name_of_file, spoken_of
from automl.server.documents import UPLOAD, Proposal
from automl.server.exports import Exports
from automl.server.feed import Feed
from automl.server.keyring import Keyring
from automl.server.library import Library, state_of
from automl.server.models import Models
from automl.server.options import ServerOptions
from automl.server.predictors import Predictors
from automl.server.problems import Problem, not_found
from automl.server.quotas import Quotas
from automl.server.rows import Rows
from automl.server.sweeping import sweep
from automl.server.turns import Turns
from automl.server.upkeep import Upkeep
from automl.settings import Settings, private_place
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

    @property
    def models(self) -> Models:
        """What predicts."""
        return Models(self.options, self.library, self.quotas, self.predictors, self.exports, self.turns)

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
        return Located(self.models.bundle(row, self.models.model(row, None)[0] if is_ensemble else None))

    def validate(self, caller: Caller, task: TaskDocument) -> tuple[TaskDocument, int]:
        """Check a task document without reading its data; returns it, and how many dials are free."""
        document, found = self.document(caller, task)
        try:
            space = space_of(document)
            check_target(document)
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


def _taken(name: str) -> Problem:
    return Problem(409, f"the name {name!r} is taken; choose another")
