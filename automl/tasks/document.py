"""The task document: what is to be learned from which data, and within which limits."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from automl.budget import Budget, Finish, parse_duration, parse_memory, parse_operations, parse_parameters, parse_target
from automl.bundle import read_bundle
from automl.data.corpus import Given
from automl.data.fields import MOST as MOST_COLUMNS
from automl.data.forms import Form
from automl.data.sources import Columns, columns_of, several
from automl.data.texts import TEXTS
from automl.errors import InputError
from automl.metrics import metric, misplaced
from automl.metrics.costs import COSTS, objective
from automl.tasks import TASKS

Kind = Literal[
    "sequence_to_sequence",
    "translation",
    "summarization",
    "dialogue",
    "generation",
    "text_classification",
    "image_classification",
    "object_detection",
]
Objective = Literal["denoising", "masked", "causal"]
MOST_CANARIES = 100
CANARIES = 8
"""Of a private search that says nothing of them."""
UNSAID = ("whole", "boxes")
"""Target tokens that are no texts, of which no secret is made."""
FIXED = ("whole", "pixels", "boxes")
"""Tokens that no document chooses: some kinds of task have them."""
Tokens = Literal["auto", "whitespace", "characters", "bytes", "subwords", "whole", "pixels", "boxes"]


def _resolve(value: object, information: ValidationInfo) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("a path is a text that is not empty")
    return Path(information.context["folder"], value) if information.context else Path(value)


def _checked(parse: Callable[[Any], object]) -> AfterValidator:
    """Keep a value as it was written, after `parse` has understood it."""

    def check(value: object) -> object:
        try:
            parse(value)
        except InputError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(check)


def _metric_names(value: str | list[str]) -> None:
    if not value:
        raise InputError("name at least one metric")
    names = [value] if isinstance(value, str) else value
    for name in names:
        objective(name)
    if len(set(names)) < len(names):
        raise InputError("a metric is named twice")
    if names[0] in COSTS:
        raise InputError(f"{names[0]} is a cost, and the first objective decides; name a metric before it")


def _search_name(value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        raise InputError("a name is at most 100 letters, digits, '-', '_' or '.', and begins with a letter or digit")


def _score_target(value: str) -> None:
    name, operator, _ = parse_target(value)
    lower = metric(name).direction == "minimize"
    if lower != operator.startswith("<"):
        raise InputError(f"{name} is better {'lower' if lower else 'higher'}; write {name}{'<=' if lower else '>='}…")


File = Annotated[Path, BeforeValidator(_resolve)]
Index = Annotated[int, Field(ge=0)]
Number = Annotated[int, Field(ge=0, le=MOST_CANARIES)]
ColumnNames = Annotated[
    str | Index | list[str | Index] | None, Field(description="a column name, an index from 0, or a list of them")
]
Duration = Annotated[
    Annotated[str | float, _checked(parse_duration)] | None, Field(description='a duration like "10m", or seconds')
]


class Section(BaseModel):
    """A table of the document: frozen, strictly typed, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class DataSection(Section):
    """`[data]`: files, columns and tokens.

    Several columns of a source are read as one text, each behind a mark of its own, in the order of their names here.
    So many canaries are planted in train, in one pair each, or a list says in how many (see `automl.data.canaries`).
    """

    train: File
    valid: File | None = None
    test: File | None = None
    source: ColumnNames = None
    target: ColumnNames = None
    weight: Annotated[str | Index | None, Field(description="a column name, or an index from 0")] = None
    source_tokens: Tokens = "auto"
    target_tokens: Tokens = "auto"
    pairs: Objective | None = Field(default=None, description="denoising, masked or causal: how texts become pairs")
    canaries: Number | Annotated[list[Number], Field(min_length=1, max_length=MOST_CANARIES)] | None = Field(
        default=None, description=f"a number of secrets up to {MOST_CANARIES}, or a list of the pairs that say each"
    )

    @property
    def files(self) -> dict[str, Path]:
        """Files of `train` and, where given, `valid` and `test`."""
        files = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: path for name, path in files.items() if path is not None}

    @property
    def columns(self) -> Columns:
        """Where rows keep source, targets and weight."""
        return columns_of({"source": self.source, "target": self.target, "weight": self.weight})

    @property
    def planted(self) -> tuple[int, ...]:
        """In how many pairs of train each canary stands."""
        copies = self.canaries or 0
        return (1,) * copies if isinstance(copies, int) else tuple(copies)


class MetricSection(Section):
    """`[metric]`: the objective, or several."""

    name: Annotated[str | list[str], _checked(_metric_names)] = Field(description="a metric's name, or a list of them")


class BudgetSection(Section):
    """`[budget]`: limits of the whole search, whichever comes first."""

    time: Duration = None
    trials: Annotated[int, Field(ge=1)] | None = None
    device_time: Duration = None
    target: Annotated[str, _checked(_score_target)] | None = None
    finish: Finish | None = Field(default=None, description='"single", "ensemble" or "distill"')


class ConstraintsSection(Section):
    """`[constraints]`: what every model must keep to."""

    parameters: Annotated[str | int, _checked(parse_parameters)] | None = Field(
        default=None, description='a number like "5M"'
    )
    operations: Annotated[str | int, _checked(parse_operations)] | None = Field(
        default=None, description='a number like "50M"'
    )
    memory: Annotated[str | int, _checked(parse_memory)] | None = Field(
        default=None, description='a number of bytes like "2G"'
    )
    latency: Duration = None


class PretrainingSection(Section):
    """`[pretraining]`: unlabelled text to begin with, or a bundle to begin from.

    Attributes:
        unlabelled: A file of one text a line. A model of the default shape is trained on it first, for `share` of
            the budget and at most `passes` over it, once for each objective; every trial goes on from it.
        from_: Folder of a winner, whose shape and tokenizers are kept.
        objective: How pairs are made of texts; of several, the search tries which start is best.
        public: Whether the text or the bundle owes nothing to what is private, as `[privacy]` asks for.
    """

    unlabelled: File | None = None
    from_: File | None = Field(default=None, alias="from")
    objective: Objective | Annotated[list[Objective], Field(min_length=1)] | None = Field(
        default=None, description="denoising, masked or causal, or a list of them"
    )
    share: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="the part of the budget, between 0 and 1"
    )
    passes: Annotated[int, Field(ge=1, le=1000)] | None = None
    public: bool | None = None

    @property
    def files(self) -> dict[str, Path]:
        """The text to begin with, or the bundle to begin from."""
        files = {"unlabelled": self.unlabelled, "from": self.from_}
        return {name: path for name, path in files.items() if path is not None}

    @property
    def objectives(self) -> list[str]:
        """The objectives, none twice."""
        chosen = self.objective or "denoising"
        return [chosen] if isinstance(chosen, str) else list(dict.fromkeys(chosen))


class PrivacySection(Section):
    """`[privacy]`: what a pair of train may cost at most, over all trials (see `automl.privacy`).

    Attributes:
        batch: Pairs of a step, in the mean.
        steps: Of all trials together.
    """

    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(description="a number above 0, such as 8.0")
    delta: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] | None = Field(
        default=None, description="a number between 0 and 1, such as 1e-5"
    )
    batch: Annotated[int, Field(ge=1)] | None = Field(default=None, description="a whole number of pairs, at least 1")
    steps: Annotated[int, Field(ge=1, le=10**7)] | None = Field(
        default=None, description="a whole number of steps, at least 1"
    )


class SeedSection(Section):
    """`[seed]`: of everything random in the search."""

    value: Annotated[int, Field(ge=0, lt=2**63)] = 0


class TaskDocument(Section):
    """A whole task document, its paths resolved; see `read_document`."""

    name: Annotated[str, _checked(_search_name)]
    kind: Kind = "sequence_to_sequence"
    data: DataSection
    metric: MetricSection | None = None
    budget: BudgetSection = BudgetSection()
    constraints: ConstraintsSection = ConstraintsSection()
    space: dict[str, Any] = Field(default_factory=dict)
    pretraining: PretrainingSection | None = None
    privacy: PrivacySection | None = None
    seed: SeedSection = SeedSection()
    license: Annotated[str, Field(min_length=1, max_length=100, description='an identifier such as "mit"')] | None = (
        None
    )
    share_samples: bool | None = None

    @property
    def form(self) -> Form:
        """How the files become pairs."""
        return TASKS[self.kind].form if self.data.pairs is None else TEXTS[self.data.pairs]

    @property
    def given(self) -> Given | None:
        """What the bundle brings along that is fine-tuned.

        Raises:
            InputError: It is not a whole bundle.
        """
        if self.pretraining is None or self.pretraining.from_ is None:
            return None
        bundle = read_bundle(self.pretraining.from_)
        return Given(bundle.source_tokenizer, bundle.target_tokenizer, bundle.weights)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the objectives; the first decides."""
        if self.metric is None:
            return (TASKS[self.kind].metrics[0],)
        return (self.metric.name,) if isinstance(self.metric.name, str) else tuple(self.metric.name)

    @property
    def limits(self) -> Budget:
        """The budget in seconds and numbers."""
        budget = self.budget
        return Budget(
            time=None if budget.time is None else parse_duration(budget.time),
            trials=budget.trials,
            device_time=None if budget.device_time is None else parse_duration(budget.device_time),
            target=None if budget.target is None else parse_target(budget.target),
            finish=budget.finish or "single",
        )

    @property
    def is_endless(self) -> bool:
        """Whether it sets no limit, so that a search would go on for ever."""
        return self.limits.is_endless

    @property
    def most(self) -> dict[str, int]:
        """The most of each cost that a model may have, of those that are limited."""
        limits = {
            "parameters": (self.constraints.parameters, parse_parameters),
            "operations": (self.constraints.operations, parse_operations),
            "memory": (self.constraints.memory, parse_memory),
        }
        return {name: parse(limit) for name, (limit, parse) in limits.items() if limit is not None}

    @property
    def latency(self) -> float | None:
        """Seconds that a greedy decode of one source may take."""
        return None if self.constraints.latency is None else parse_duration(self.constraints.latency)

    @property
    def narrowed_space(self) -> dict[str, Any]:
        """`preset` and the dials that are narrowed or pinned, by the kind of task and by the document."""
        return {**TASKS[self.kind].narrowed_space, **self.space}

    def to_mapping(self) -> dict[str, Any]:
        """The document as plain JSON values with absolute paths."""
        mapping: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        for name, path in self.data.files.items():
            mapping["data"][name] = str(path.absolute())
        for name in ("unlabelled", "from"):
            if name in mapping.get("pretraining", {}):
                mapping["pretraining"][name] = str(Path(mapping["pretraining"][name]).absolute())
        return mapping


def read_document(path: Path) -> TaskDocument:
    """Read a task document in TOML; its paths are relative to it, its name is the file's stem unless given.

    Raises:
        InputError: It cannot be read, or a key is unknown, missing, wrong or not available yet.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: the task document cannot be read ({error.strerror}); check its path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save the task document as UTF-8") from None
    try:
        mapping = tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: this is not TOML: {error}") from None
    name = re.sub(r"[^A-Za-z0-9._-]", "-", path.stem).lstrip("._-") or "task"
    return document_from_mapping({"name": name, **mapping}, path.parent, str(path))


def document_from_mapping(mapping: Mapping[str, Any], folder: Path, where: str = "task document") -> TaskDocument:
    """Check a task document given as a mapping, with paths relative to `folder`; `where` is what errors call it.

    Raises:
        InputError: A key is unknown, missing, wrong or not available yet.
    """
    try:
        document = TaskDocument.model_validate(dict(mapping), context={"folder": folder})
    except ValidationError as error:
        # What is missing may be what is misspelt.
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        raise InputError(f"{where}: {explained(first)}") from None
    if problem := _contradiction(document.data):
        raise InputError(f"{where}: [data] {problem}")
    if problem := _impossible(document):
        raise InputError(f"{where}: {problem}")
    for feature in _unavailable(document):
        raise InputError(f"{where}: {feature} is not available yet; leave it out or change it")
    return _with_canaries(_with_tokens(document, where))


def _with_canaries(document: TaskDocument) -> TaskDocument:
    """Return a document with canaries where it is private: they are what of its memory can be measured for nothing."""
    if document.privacy is None or document.data.canaries is not None or document.data.target_tokens in UNSAID:
        return document
    return document.model_copy(update={"data": document.data.model_copy(update={"canaries": CANARIES})})


def _with_tokens(document: TaskDocument, where: str) -> TaskDocument:
    """Return a document whose tokens are those that its kind of task asks for."""
    fixed = TASKS[document.kind].tokens
    for side, tokens in fixed.items():
        if getattr(document.data, side) not in ("auto", tokens):
            raise InputError(f'{where}: [data] {side} is "{tokens}" for kind = "{document.kind}"; leave it out')
    for side in {"source_tokens", "target_tokens"} - fixed.keys():
        if getattr(document.data, side) in FIXED:
            found = f'[data] {side} = "{getattr(document.data, side)}" is not for kind = "{document.kind}"'
            raise InputError(f"{where}: {found}; use auto, whitespace, characters, bytes or subwords")
    return document.model_copy(update={"data": document.data.model_copy(update=dict(fixed))}) if fixed else document


def explained(error: ErrorDetails) -> str:
    """Say in one sentence which key of a task document is wrong and what would be right."""
    section = _SECTIONS.get(str(error["loc"][0]))
    path = [str(part) for part in error["loc"]][: 2 if section else 1]
    fields = (section if section and len(path) == 2 else TaskDocument).model_fields
    key = f"[{path[0]}] {path[1]}" if len(path) == 2 else path[0]
    match error["type"]:
        case "extra_forbidden":
            known = [field.alias or name for name, field in fields.items()]
            close = get_close_matches(path[-1], known, n=1)
            return (
                f"the key {key} is not known; {f'did you mean {close[0]!r}?' if close else 'use ' + ', '.join(known)}"
            )
        case "missing":
            return f"{key} is missing; add it" + (" with at least train" if key == "data" else "")
        case "model_type" | "dict_type":
            return f"{key} must be a table, [{key}]"
        case "value_error":
            return f"{key}: {error['ctx']['error']}"
    if path[-1] in fields and (description := fields[path[-1]].description):
        return f"{key} must be {description}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}"


_SECTIONS: Mapping[str, type[Section]] = {
    "data": DataSection,
    "metric": MetricSection,
    "budget": BudgetSection,
    "constraints": ConstraintsSection,
    "pretraining": PretrainingSection,
    "privacy": PrivacySection,
    "seed": SeedSection,
}


def _contradiction(data: DataSection) -> str | None:
    columns = (*several(data.source), *several(data.target), *several(data.weight))
    if data.source == [] or data.target == []:
        return "source and target must name at least one column"
    if len({type(column) for column in columns}) > 1:
        return "source, target and weight must all be names of a header, or all be indices without one"
    if len(set(columns)) < len(columns):
        return "source, target and weight name the same column twice"
    if len(several(data.source)) > MOST_COLUMNS:
        return f"source names {len(several(data.source))} columns; {MOST_COLUMNS} at most are joined"
    return None


def _impossible(document: TaskDocument) -> str | None:
    """Say what is wrong with metrics, pairs that are made of texts, and pre-training, for a kind of task."""
    wish, kind = document.pretraining, document.kind
    if document.data.pairs is not None and kind != "sequence_to_sequence":
        return f'[data] pairs is for kind = "sequence_to_sequence", and the kind is "{kind}"; leave it out'
    tokens = TASKS[kind].tokens.get("target_tokens", document.data.target_tokens)
    if problem := misplaced(document.metrics, TASKS[kind].metrics, boxes=kind == "object_detection"):
        return f"[metric] name: {problem}"
    if document.data.planted and tokens in UNSAID:
        return f'[data] canaries are texts that are said, and target_tokens = "{tokens}" are none; leave them out'
    if document.privacy is not None and (problem := _indiscreet(document)):
        return problem
    return None if wish is None else _impossible_pretraining(wish, kind)


def _indiscreet(document: TaskDocument) -> str | None:
    """Say what does not go together with privacy."""
    if document.data.weight is not None:
        return (
            "[data] weight and [privacy] exclude each other: a weight is measured by those of all rows; leave one out"
        )
    if "batch_tokens" in document.space:
        return "[space] batch_tokens and [privacy] exclude each other; say by [privacy] batch how many pairs a step has"
    if document.pretraining is not None and not document.pretraining.public:
        return (
            "[pretraining] with [privacy]: what it begins from could hold the private pairs; "
            "write public = true where it does not, or leave [pretraining] out"
        )
    return None


def _impossible_pretraining(wish: PretrainingSection, kind: str) -> str | None:
    if kind in ("image_classification", "object_detection"):
        return f'[pretraining] is for texts, and kind = "{kind}" reads images; leave it out'
    if wish.unlabelled is not None and TASKS[kind].tokens.get("target_tokens") == "whole":
        return f'[pretraining] unlabelled is for models that say texts, and kind = "{kind}" says classes; leave it out'
    if (wish.unlabelled is None) == (wish.from_ is None):
        return "[pretraining] needs either unlabelled, a file of texts, or from, a bundle"
    if wish.from_ is not None and {wish.objective is None, wish.share is None, wish.passes is None} != {True}:
        return "[pretraining] objective, share and passes are for unlabelled; leave them out beside from"
    if kind == "generation" and wish.unlabelled is not None and wish.objectives != ["causal"]:
        return '[pretraining] objective is "causal" for kind = "generation", which reads no source; write it'
    return None


def _unavailable(document: TaskDocument) -> Iterator[str]:
    candidates = {
        f'kind = "{document.kind}"': document.kind not in TASKS,
    }
    yield from (feature for feature, used in candidates.items() if used)


def with_budget(document: TaskDocument, budget: Mapping[str, Any]) -> TaskDocument:
    """Return a document with some limits of its budget replaced.

    Raises:
        InputError: A limit is unknown or wrong.
    """
    mapping = document.to_mapping()
    mapping["budget"] = {**mapping.get("budget", {}), **budget}
    return document_from_mapping(mapping, Path(), "budget")
