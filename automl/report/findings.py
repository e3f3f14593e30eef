"""What was learnt: how the best score fell, which dials mattered, what each family reached, what failed."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from automl.control import history
from automl.control.criteria import Criteria
from automl.control.history import Trial
from automl.control.importance import importances_if_known
from automl.records import Record
from automl.terminal.leaderboard import Row, leaderboard
from search_spaces.spaces import Space
from storage.events import EventRow
from storage.segments import SegmentRow

_LOG = logging.getLogger(__name__)

DECISIONS = ("start", "continue", "thaw", "branch", "train out", "finish")


@dataclass(frozen=True)
class Measurement:
    """What was measured on valid, as it came in.

    Attributes:
        seconds: Since the search began, pauses between its runs included.
        score: Of the objective; none where nothing was decoded that has to be.
        best: The best score up to then that is within the limits.
    """

    seconds: float
    trial: int
    tokens: int
    score: float | None
    loss: float
    best: float | None


@dataclass(frozen=True)
class Family:
    """What an encoder with a decoder reached.

    Attributes:
        seconds: What its trials have cost in all.
        score: The best of the objective on valid; none where no trial of it was measured.
    """

    name: str
    trials: int
    failed: int
    seconds: float
    score: float | None


@dataclass(frozen=True)
class Failure:
    """A trial that could not go on, and why."""

    trial: int
    family: str
    reason: str
    message: str


@dataclass(frozen=True)
class Step:
    """A decision of the scheduler, `seconds` after the search began."""

    seconds: float
    kind: str
    message: str


@dataclass(frozen=True)
class Findings:
    """All that a search has learnt.

    Attributes:
        search: As `automl status` says it.
        importance: Path of each free dial → its share of what explains the ranking; empty with too few trials.
        padding: Work at padded sizes for each unit of true work, over all steps; none where nothing was noted.
    """

    search: Mapping[str, Any]
    criteria: Criteria
    leaderboard: Sequence[Row]
    measurements: Sequence[Measurement]
    importance: Mapping[str, float]
    families: Sequence[Family]
    failures: Sequence[Failure]
    decisions: Sequence[Step]
    padding: float | None = None

    def to_mapping(self) -> dict[str, Any]:
        """Return the findings as plain JSON values."""
        parts = ("measurements", "families", "failures", "decisions")
        return {
            **self.search,
            "metric": self.criteria.metric.name,
            "leaderboard": [row.to_mapping() for row in self.leaderboard],
            "importance": dict(self.importance),
            "padding": self.padding,
            **{part: [asdict(entry) for entry in getattr(self, part)] for part in parts},
        }


def findings(record: Record, space: Space, events: Iterable[EventRow] = ()) -> Findings:
    """Return what a search has learnt so far."""
    trials = list(record.trials.values())
    began = record.row.created
    return Findings(
        search=record.to_mapping(),
        criteria=record.criteria,
        leaderboard=leaderboard(trials, record.criteria),
        measurements=_measurements(trials, record),
        importance=_importance(record, space),
        families=_families(trials, record.criteria),
        failures=[
            Failure(t.row.number, t.families, t.row.reason or "", t.row.message or "")
            for t in trials
            if t.row.state == "FAILED"
        ],
        decisions=[
            Step((event.created - began).total_seconds(), event.kind, event.message)
            for event in events
            if event.kind in DECISIONS
        ],
        padding=_padding([segment for trial in trials for segment in trial.segments]),
    )


def _importance(record: Record, space: Space) -> Mapping[str, float]:
    """Return what a search that ended has told of its dials, else what is known so far."""
    told = (record.row.summary or {}).get("importance")
    if told and record.row.state == "finished":
        return cast("Mapping[str, float]", told)
    tried = history.tried(list(record.trials.values()), record.criteria, record.row.rung_tokens)
    return importances_if_known(space, tried, _LOG.warning)


def _padding(segments: Iterable[SegmentRow]) -> float | None:
    """Return the mean over the steps of segments that tell of it."""
    known = [(segment.execution or {}, segment.to_step - segment.from_step) for segment in segments]
    told = [(execution["padding"], steps) for execution, steps in known if "padding" in execution]
    steps = sum(count for _, count in told)
    return round(sum(own * count for own, count in told) / steps, 4) if steps else None


def _measurements(trials: Sequence[Trial], record: Record) -> list[Measurement]:
    metric = record.criteria.metric
    name, better = metric.name, min if metric.direction == "minimize" else max
    segments = [s for t in trials for s in t.segments if "loss" in s.scores]
    found: list[Measurement] = []
    for s in sorted(segments, key=lambda s: s.created):
        score = s.scores.get(name)
        allowed = score if record.criteria.allows(s.scores) else None
        known = [each for each in (found[-1].best if found else None, allowed) if each is not None]
        best = better(known) if known else None
        seconds = (s.created - record.row.created).total_seconds()
        found.append(Measurement(seconds, s.trial, s.tokens, score, s.scores["loss"], best))
    return found


def _families(trials: Sequence[Trial], criteria: Criteria) -> list[Family]:
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.families].append(trial)
    found = [_family(name, members, criteria) for name, members in groups.items()]
    sign = 1 if criteria.metric.direction == "minimize" else -1
    return sorted(found, key=lambda family: (family.score is None, sign * (family.score or 0.0)))


def _family(name: str, members: Sequence[Trial], criteria: Criteria) -> Family:
    best = history.best(members, criteria)
    return Family(
        name=name,
        trials=len({trial.lineage for trial in members}),
        failed=sum(trial.row.state == "FAILED" for trial in members),
        seconds=round(sum(sum(s.seconds.values()) for trial in members for s in trial.segments), 3),
        score=best[1].scores.get(criteria.metric.name) if best else None,
    )
