"""What the service takes and gives, beside the task document."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from automl.tasks.document import BudgetSection, TaskDocument

State = Literal["queued", "running", "paused", "cancelled", "interrupted", "finished", "failed"]
UPLOAD = r"upload-[1-9][0-9]{0,8}"
SEARCH = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
UploadId = Annotated[str, Field(pattern=f"^{UPLOAD}$", examples=["upload-1"])]
MOST_SOURCES, LONGEST_SOURCE = 1_000, 10_000
SourceText = Annotated[str, Field(max_length=LONGEST_SOURCE)]
ScopeName = Literal["read", "run", "admin"]
PersonName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$")]


def _number(value: object) -> object:
    """Refuse what Python would take for a number, and JSON does not."""
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


Plain = BeforeValidator(_number)


class Given(BaseModel):
    """A body: without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UploadDocument(BaseModel):
    """A file that was uploaded; `id` stands in a task document where a path would."""

    id: str
    name: str
    bytes: int
    sha256: str
    created: datetime


class Uploads(BaseModel):
    """Uploads, oldest first; `next` is `after` of the next page."""

    items: list[UploadDocument]
    next: int | None


class Splits(Given):
    """Uploads by split, to be looked at."""

    train: UploadId
    valid: UploadId | None = None
    test: UploadId | None = None


class Proposal(BaseModel):
    """The task document that fits some data, what was seen of them, and why it says what it says."""

    document: dict[str, Any]
    why: str
    warnings: list[str]
    profile: dict[str, Any]


class Task(Given):
    """A task document; where it names files, it names uploads."""

    task: TaskDocument


class Submitted(Task):
    """A task document to search for."""

    workers: Annotated[int, Field(ge=1, le=1024), Plain] | None = None


class Validated(BaseModel):
    """What a valid task document comes to."""

    valid: Literal[True] = True
    document: dict[str, Any]
    dials: int


class Best(BaseModel):
    """The best trial so far."""

    trial: int
    scores: dict[str, float]
    test_scores: dict[str, float]
    configuration: dict[str, Any]
    parameters: int | None


class SearchDocument(BaseModel):
    """How a search stands; the fields of `automl status --json`, and whose it is."""

    version: Literal[1] = 1
    search: str
    state: State
    seconds: float
    trials: dict[str, int]
    best: Best | None
    front: list[dict[str, Any]] | None = None
    why: str
    warning: Annotated[str | None, Field(description="What is to be known before the winner is relied on.")] = None
    refused: int = 0
    spread: list[dict[str, Any]] | None = None
    privacy: dict[str, Any] | None = None
    metric: str
    budget: dict[str, Any]
    account: str | None
    created: datetime
    updated: datetime
    task: dict[str, Any]


class Searches(BaseModel):
    """Searches, newest first; `next` is `before` of the next page."""

    items: list[SearchDocument]
    next: int | None


class TrialRow(BaseModel):
    """One row of the leaderboard."""

    trial: int
    state: str
    encoder: str
    decoder: str
    parameters: int | None
    tokens: int
    seconds: float
    scores: dict[str, float]
    reason: str | None
    winner: bool
    parent: int | None = None


class Leaderboard(BaseModel):
    """Trials, best first; `next` is `after` of the next page."""

    search: str
    metric: str
    items: list[TrialRow]
    next: int | None


class SegmentDocument(BaseModel):
    """What a trial did without a break, and its scores at the end of it."""

    from_step: int
    to_step: int
    tokens: int
    scores: dict[str, float]
    seconds: dict[str, float]


class TrialDocument(TrialRow):
    """One trial: its configuration and its curve."""

    configuration: dict[str, Any]
    message: str | None
    segments: list[SegmentDocument]


class EventDocument(BaseModel):
    """What a search decided or what befell it."""

    id: int
    created: datetime
    kind: str
    message: str


class Budget(Given):
    """A budget in place of the one that a search has."""

    budget: BudgetSection


class Sources(Given):
    """Raw sources to predict from; the winner, or another trial of the search."""

    sources: Annotated[list[SourceText], Field(max_length=MOST_SOURCES)]
    trial: Annotated[int, Field(ge=0, le=10**9), Plain] | None = None


class Outputs(BaseModel):
    """One output for each source."""

    trial: int
    outputs: list[str]


class Seen(BaseModel):
    """One output for each image: a class, or a JSON list of boxes in the image's pixels."""

    trial: int
    outputs: list[str]
    sizes: Annotated[list[tuple[int, int]], Field(description="Width and height of each image.")]


class ExportDocument(BaseModel):
    """How far a form of a model is: asked for by nobody yet, being made, ready to be downloaded, or failed and why."""

    search: str
    trial: int
    format: str
    state: Literal["absent", "making", "ready", "failed"]
    why: str | None = None


class Source(Given):
    """A raw source to look at; the winner, or another trial of the search, looks."""

    source: SourceText
    trial: Annotated[int, Field(ge=0, le=10**9), Plain] | None = None


class Looked(BaseModel):
    """Where a trial looks as it says its output: weights by target token, the end last, and source token."""

    trial: int
    source: list[str]
    target: list[str]
    weights: list[list[float]]


class Example(BaseModel):
    """A source of valid, its acceptable targets, and what a trial makes of it."""

    source: str
    targets: list[str]
    output: str


class Quotas(Given):
    """What an account may use, where that is not what all may."""

    searches: Annotated[int, Field(ge=0, le=10**6), Plain] | None = None
    storage_bytes: Annotated[int, Field(ge=0, le=2**60), Plain] | None = None
    compute_seconds: Annotated[float, Field(ge=0, le=1e12), Plain] | None = None

    def to_mapping(self) -> dict[str, float] | None:
        """Return those that are set; none where none is."""
        return self.model_dump(exclude_none=True) or None


class NewAccount(Given):
    """A person to let in."""

    name: PersonName
    quotas: Quotas = Quotas()


class AccountDocument(BaseModel):
    """An account."""

    name: str
    created: datetime
    disabled: datetime | None
    quotas: dict[str, float]


class Accounts(BaseModel):
    """Accounts, oldest first; `next` is `after` of the next page."""

    items: list[AccountDocument]
    next: int | None


class NewKey(Given):
    """A key to make: for oneself, or by an administrator for another account."""

    scope: ScopeName = "read"
    label: Annotated[str, Field(max_length=100, pattern=r"^[ -~]*$")] = ""
    days: Annotated[float, Field(gt=0, le=3650), Plain] | None = 90
    account: PersonName | None = None


class KeyDocument(BaseModel):
    """A key, without its token; a `session` is one that a browser holds."""

    id: int
    label: str
    scope: ScopeName
    session: bool
    created: datetime
    expires: datetime | None
    revoked: datetime | None


class Keys(BaseModel):
    """Keys, oldest first; `next` is `after` of the next page."""

    items: list[KeyDocument]
    next: int | None


class MadeKey(KeyDocument):
    """A key with its token, which is shown this once."""

    token: str


class Me(BaseModel):
    """Who calls, by which key, and what is used of what may be used."""

    account: str
    key: KeyDocument
    limits: dict[str, float | None]
    used: dict[str, float]


class AuditDocument(BaseModel):
    """An entry of the audit log."""

    id: int
    created: datetime
    account: str | None
    action: str
    subject: str
    status: int
    address: str


class Audit(BaseModel):
    """Entries, newest first; `next` is `before` of the next page."""

    items: list[AuditDocument]
    next: int | None


class Health(BaseModel):
    """Whether the service lives, or can serve."""

    status: Literal["ok"] = "ok"
