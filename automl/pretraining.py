"""Pre-training and fine-tuning: what trials begin from, and the search that a pre-training is.

A pre-training is a search of one trial on pairs that are made of the unlabelled text, in the tokens of the task: what
holds of searches (budgets, checkpoints, going on after a kill) holds of it. The trials of the task then begin with the
parameters of its winner, whose shape they keep, as those of a fine-tuning begin with a bundle's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from automl.bundle import MANIFEST, read_config
from automl.constraints import Constraints
from automl.control.repetition import Repetition
from automl.data.corpus import DataDescription, Given
from automl.data.forms import Form
from automl.data.table import TokenTable
from automl.description import described
from automl.errors import InputError
from automl.privacy import FIXED
from automl.tasks.document import TaskDocument, document_from_mapping, with_budget
from automl.winners import Search
from search_spaces.dials import SpaceError
from search_spaces.encoders import Identity
from search_spaces.seq2seq import ALPHAS, BEGUN, DRAWN, RANKS, Seq2Seq
from search_spaces.spaces import Space, fields_of, refuse_idle, space
from search_spaces.stems import Tokens
from storage.database import Database
from storage.searches import get_search

SHARE, PASSES = 0.25, 10
"""Part of the budget for pre-training, and passes over the text, where a document says nothing."""
LONGEST_NAME = 88


@dataclass(frozen=True)
class Ground:
    """What a search begins from.

    Attributes:
        given: Tokenizers in place of those that train would give.
        space: The space in place of the document's.
        starts: Values of the dial `start` → sha256 of the checkpoint with those parameters.
        passes: Passes over train, at most.
        repetition: What is trained in place of proposals.
        soft_targets: Sha256 of what a teacher expects of train.
    """

    given: Given | None = None
    space: Space | None = None
    starts: Mapping[str, str] = field(default_factory=dict)
    passes: int | None = None
    repetition: Repetition | None = None
    soft_targets: str | None = None

    def data_of(self, document: TaskDocument) -> "TaskDocument | GivenData":
        """Return the data of a document, in the tokens that are given."""
        return document if self.given is None else GivenData(document.data, document.form, self.given)


NOTHING = Ground()


@dataclass(frozen=True)
class GivenData:
    """Data in the tokens that are given."""

    data: DataDescription
    form: Form
    given: Given | None


def bundle_shape(document: TaskDocument) -> Seq2Seq | None:
    """Return the model of the bundle that a document fine-tunes, or nothing where it is not there.

    Raises:
        InputError: It describes no model, or several, or one that reads otherwise than the task does.
    """
    folder = document.pretraining.from_ if document.pretraining else None
    if folder is None or not (folder / MANIFEST).is_file():
        return None
    description = described(read_config(folder))
    if description.others:
        raise InputError(f"[pretraining] from: {folder} is an ensemble; export one of its trials, and name that")
    shape = description.configuration
    if not isinstance(shape.stem, Tokens):
        raise InputError(
            f"[pretraining] from: {folder} reads images, unlike kind {document.kind!r}; name a bundle that reads texts"
        )
    if isinstance(shape.encoder, Identity) == document.form.has_sources:
        reads = "no source" if document.form.has_sources else "a source"
        raise InputError(
            f"[pretraining] from: {folder} reads {reads}, unlike kind {document.kind!r}; name another bundle"
        )
    return shape


def fine_tuning_space(document: TaskDocument, shape: Seq2Seq) -> Space:
    """Return the space of trials that begin with a bundle: its shape is kept, what trains it is free.

    Raises:
        SpaceError: The document narrows the shape, or a dial in vain.
    """
    wanted = {key: value for key, value in document.space.items() if key != "preset"}
    for key in wanted:
        if not fields_of(key) <= set(BEGUN):
            raise SpaceError(f"space.{key}: fine-tuning keeps the shape of the bundle; only what trains it can be set")
    tuned = ["whole", "decoder", "lora"] if document.form.has_sources else ["whole", "lora"]
    free = {"tuned": tuned, "lora_rank": RANKS, "lora_alpha": ALPHAS}
    fixed = {} if document.privacy is None else FIXED
    whole = space({**free, **wanted, **fixed, "start": "bundle"}, sources=document.form.has_sources)
    refuse_idle(whole, wanted)
    return whole.around(shape, BEGUN)


def held(document: TaskDocument) -> list[str]:
    """Return the keys of a document that leave a choice of the shape, where pre-training takes the default."""
    several = (
        key for key, value in document.space.items() if key != "preset" and isinstance(value, list) and len(value) > 1
    )
    return [key for key in several if not fields_of(key) <= set(BEGUN)]


def begun_space(of: Space, shape: Seq2Seq) -> Space:
    """Return the space of trials that begin with a pre-training in its shape."""
    return of.around(shape, BEGUN)


def pretraining_space(of: Space, shape: Seq2Seq) -> Space:
    """Return the space of a pre-training: the shape and the recipe of a configuration, and nothing is free."""
    return of.around(replace(shape, start=DRAWN, tuned="whole"), ())


def start_narrowing(document: TaskDocument) -> dict[str, Any]:
    """Return what of the dials of beginning a document leaves, unless its `[space]` says otherwise."""
    wish = document.pretraining
    return {} if wish is None or wish.unlabelled is None else {"start": wish.objectives}


def pretraining_document(document: TaskDocument, objective: str) -> TaskDocument:
    """Return the document of the search that pre-trains for a document by one objective, for its part of the budget."""
    wish, limits = document.pretraining, document.limits
    assert wish is not None
    text = {"train": str(wish.unlabelled)}
    share = (wish.share or SHARE) / len(wish.objectives)
    times = {"time": limits.time, "device_time": limits.device_time}
    budget: dict[str, Any] = {name: share * limit for name, limit in times.items() if limit is not None}
    reads = document.form.has_sources
    mapping = {
        "name": f"{document.name[:LONGEST_NAME]}.{objective}",
        "kind": "sequence_to_sequence" if reads else document.kind,
        "data": {**text, "pairs": objective} if reads else text,
        "metric": {"name": "bits_per_character"},
        "budget": {**budget, "trials": 1},
        "seed": {"value": document.seed.value},
    }
    return document_from_mapping(mapping, Path(), "[pretraining]")


def pretrained(
    document: TaskDocument,
    of: Space,
    table: TokenTable,
    database: Database,
    search: Callable[[TaskDocument, Ground], Search],
    *,
    again: bool,
) -> tuple[Space, Ground, list[Search]]:
    """Pre-train by each objective, or find that done; return what the trials begin from, and how the searches ended.

    The shape is that of the first default within the limits. A pre-training that has ended is not gone on with, however
    the budget has grown, unless all is done `again`: trials have begun from it.

    Raises:
        InputError: No model could be trained.
    """
    wish, limits = document.pretraining, Constraints(document.most, table, document.latency)
    assert wish is not None
    shape = next(filter(limits.admit, of.defaults()), of.default())
    tokenizers = Given(table.source_tokenizer.to_json(), table.target_tokenizer.to_json())
    ground = Ground(tokenizers, pretraining_space(of, shape), passes=wish.passes or PASSES)
    starts: dict[str, str] = {}
    found: list[Search] = []
    for objective in wish.objectives:
        wanted = pretraining_document(document, objective)
        row = get_search(database, wanted.name)
        if row is not None and row.state == "finished" and not again:
            wanted = with_budget(wanted, {"time": None, "device_time": None, **row.document["budget"]})
        found.append(search(wanted, ground))
        if found[-1].state == "interrupted":
            break
        checkpoint = _won(database, wanted.name)
        if checkpoint is None:
            raise InputError(f"[pretraining] {objective}: {found[-1].why}")
        starts[objective] = checkpoint
    return begun_space(of, shape), Ground(starts=starts), found


def starts_of(document: TaskDocument, database: Database) -> dict[str, str]:
    """Return the checkpoint that each pre-training of a document has ended with."""
    wish = document.pretraining
    objectives = wish.objectives if wish and wish.unlabelled else ()
    names = {objective: pretraining_document(document, objective).name for objective in objectives}
    found = {objective: _won(database, name) for objective, name in names.items()}
    return {objective: checkpoint for objective, checkpoint in found.items() if checkpoint is not None}


def _won(database: Database, name: str) -> str | None:
    """Return the checkpoint of the winner of a search."""
    row = get_search(database, name)
    best = ((row and row.summary) or {}).get("best")
    return None if best is None else str(best["checkpoint"])
