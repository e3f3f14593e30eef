"""Learning curves: what was measured of each trial, and what can be read off it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean, pstdev
from typing import Literal

State = Literal["running", "paused", "finished", "failed"]

PATIENCE = 3
"""Measurements without an improvement after which a trial is not continued."""
OBJECTIVE_RUNG = 2
"""Lower rungs compare the loss: there the objective is still near its worst for everybody."""
ENOUGH = 4
"""Measurements of the objective from which its scale against the loss is known."""
LEAST_LOSS = 1e-4
"""Nats below which no loss is told from another."""
ASLEEP = 0.2
"""Share of the objective's range next to its worst in which it says little: there the loss speaks."""


@dataclass(frozen=True)
class Point:
    """One measurement of a trial.

    Attributes:
        tokens: Target tokens of the base table since the trial's start.
        seconds: Seconds of training, compiling and tokenizing since the trial's start: what it has cost.
        training: The part of them spent on training alone: how fast it is.
        loss: Nats a target token of the base table on valid.
        objective: The metric on valid, turned so that lower is better; at its worst where nothing was decoded.
        others: Further objectives, turned likewise.
        is_measured: Whether the objectives were.
    """

    tokens: int
    seconds: float
    training: float
    loss: float
    objective: float
    others: tuple[float, ...] = ()
    is_measured: bool = True


@dataclass(frozen=True)
class Candidate:
    """A trial as the scheduler sees it.

    Attributes:
        points: By growing tokens; of a finished trial the last one is after the rate has cooled down.
        kind: Its family, for people to read.
        dials: Where its configuration lies among the others (see `encoding`).
        parent: The trial that it is a branch of, whose points it begins with; none of one that began by itself.
        is_wider: Whether it began as a wider version of what was best then.
        is_continued: Whether it goes on in place of one that was trained out, before which it stands worse than that.
    """

    number: int
    state: State
    points: tuple[Point, ...] = ()
    kind: str = ""
    dials: tuple[float, ...] = ()
    parent: int | None = None
    is_wider: bool = False
    is_continued: bool = False

    @property
    def latest(self) -> Point:
        """The last point; the trial must have one."""
        return self.points[-1]

    @property
    def standing(self) -> tuple[float, float]:
        """Latest objective, infinite where it was not measured, ties broken by the loss: lower is better."""
        return (_objective(self.latest), self.latest.loss)


def rung_of(tokens: int, rung_tokens: int) -> int:
    """Return the highest rung reached; -1 below the lowest."""
    return math.floor(math.log2(tokens / rung_tokens) + 1e-9) if tokens >= rung_tokens else -1


def next_rung(candidate: Candidate, rung_tokens: int) -> int:
    """Return the tokens at which a trial stops next."""
    return rung_tokens << (rung_of(candidate.latest.tokens, rung_tokens) + 1)


def is_late(tokens: int | None, rung_tokens: int | None) -> bool:
    """Whether trials that have seen so many tokens are compared by the objective; before, the loss says more."""
    return tokens is not None and rung_tokens is not None and rung_of(tokens, rung_tokens) >= OBJECTIVE_RUNG


def value_at(points: Sequence[Point], tokens: int) -> tuple[float, float]:
    """Return (objective, loss) when the trial had seen so many tokens, interpolated between its measurements.

    An objective that was not measured there is that of the next measurement, or infinite.
    """
    return _interpolated(points, [point.tokens for point in points], tokens)


def value_after(points: Sequence[Point], training: float) -> tuple[float, float]:
    """Return (objective, loss) after so many seconds of training, interpolated between the measurements."""
    return _interpolated(points, [point.training for point in points], training)


def _interpolated(points: Sequence[Point], axis: Sequence[float], at: float) -> tuple[float, float]:
    after = next((i for i, position in enumerate(axis) if position >= at), len(points) - 1)
    right = points[after]
    if after == 0 or axis[after] <= at:
        return (_objective(right), right.loss)
    left = points[after - 1]
    share = math.log(at / axis[after - 1]) / math.log(axis[after] / axis[after - 1])
    loss = left.loss + share * (right.loss - left.loss)
    if not (left.is_measured and right.is_measured):
        return (_objective(right), loss)
    return (left.objective + share * (right.objective - left.objective), loss)


def _objective(point: Point) -> float:
    return point.objective if point.is_measured else math.inf


def has_stalled(candidate: Candidate) -> bool:
    """Whether neither objective nor loss has improved over the last measurements."""
    before, recent = candidate.points[:-PATIENCE], candidate.points[-PATIENCE:]
    if not before:
        return False
    return all(
        min(getattr(p, name) for p in recent) >= min(getattr(p, name) for p in before) for name in ("objective", "loss")
    )


def tokens_per_second(candidate: Candidate) -> float:
    """Return the trial's speed over its last segment."""
    latest = candidate.latest
    tokens, training = (
        (0, 0.0) if len(candidate.points) == 1 else (candidate.points[-2].tokens, candidate.points[-2].training)
    )
    return (latest.tokens - tokens) / max(latest.training - training, 1e-3)


def relative(loss: float) -> float:
    """Return a loss below a nat by its logarithm: there what a curve still falls, and is off, is a share of it.

    Both ways agree at 1 in value and in slope.
    """
    return loss if loss >= 1 else 1 + math.log(max(loss, LEAST_LOSS))


def smooth_scores(candidates: Sequence[Candidate]) -> dict[int, list[tuple[int, float]]]:
    """Return the curve of each measured trial: (tokens, best score so far in nats), lower is better.

    Where the objective has left its worst it counts, brought to the loss's middle and spread; elsewhere, as early in
    training, the loss does, in both as `relative` has it. What a trial scored after its rate has cooled down is no part
    of its curve.
    """
    curves = {c.number: (c.points[:-1] if c.state == "finished" else c.points) for c in candidates}
    everything = [p for points in curves.values() for p in points if p.is_measured]
    worst, best = (end((p.objective for p in everything), default=0.0) for end in (max, min))
    threshold = worst - ASLEEP * (worst - best)
    awake = [p for p in everything if p.objective < threshold]
    spread = pstdev([p.objective for p in awake]) if len(awake) >= ENOUGH else 0.0
    scale = pstdev([relative(p.loss) for p in awake]) / spread if spread > 0 else 0.0
    shift = fmean(relative(p.loss) - scale * p.objective for p in awake) if scale > 0 else 0.0

    def score(point: Point) -> float:
        speaks = scale > 0 and point.is_measured and point.objective < threshold
        return shift + scale * point.objective if speaks else relative(point.loss)

    return {
        number: list(zip([p.tokens for p in points], accumulate(map(score, points), min), strict=True))
        for number, points in curves.items()
        if points
    }
