"""What the scheduler is asked with, and what it can answer."""

from dataclasses import dataclass

LONGEST = 7_200.0
"""Seconds of a segment that is not the last of its trial, at most: so much is lost with the process that trains it."""


@dataclass(frozen=True)
class Outlook:
    """What is left of the budget; none where it sets no limit.

    Attributes:
        rung_tokens: Target tokens of rung 0; none until the first segment has measured it.
        final_share: Share of the time that is kept for training the finalists out.
        max_tokens: Target tokens of a trial past which it does not go on where the time is unlimited.
        branching: Whether copies of the leader may be cooled down before the end, and a wider version of it begun.
    """

    workers: int
    seconds_left: float | None = None
    seconds_total: float | None = None
    trials_left: int | None = None
    rung_tokens: int | None = None
    max_tokens: int | None = None
    final_share: float = 0.25
    branching: bool = False


@dataclass(frozen=True)
class Prospect:
    """A configuration that could be begun.

    Attributes:
        dials: Where it lies among the others (see `encoding`).
        delay: Seconds before its first step, such as those of a compilation.
        tokens_per_second: How fast it is expected to be; none for as fast as the others are in the middle.
        wider_than: The trial that it is a wider version of; none where it is no such.
    """

    dials: tuple[float, ...] = ()
    delay: float = 0.0
    tokens_per_second: float | None = None
    wider_than: int | None = None


@dataclass(frozen=True)
class Start:
    """Begin a new trial: the prospect at that place."""

    to_tokens: int | None
    seconds: float | None
    reason: str
    prospect: int = 0


@dataclass(frozen=True)
class Thaw:
    """Continue a paused trial."""

    trial: int
    to_tokens: int
    seconds: float | None
    reason: str


@dataclass(frozen=True)
class TrainOut:
    """Continue a paused trial for the last time: the learning rate falls to zero, then the trial is finished.

    If it `fills` its seconds, the rate is at zero when they are over, and `to_tokens` is a guess of how far it comes.
    """

    trial: int
    to_tokens: int
    seconds: float | None
    reason: str
    fills: bool = False


@dataclass(frozen=True)
class Branch:
    """Begin a trial where another one stands and train it out; the other goes on as if nothing had been."""

    trial: int
    to_tokens: int
    seconds: float | None
    reason: str


@dataclass(frozen=True)
class Wait:
    """Nothing useful can begin before a running segment ends."""

    reason: str


@dataclass(frozen=True)
class Finish:
    """Nothing useful is left to do."""

    reason: str


Decision = Start | Thaw | TrainOut | Branch | Wait | Finish
