"""What is known of each trial, rebuilt from the rows of the database, in the terms of scheduler and proposals."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeVar

from automl.control import checkpoints as kept
from automl.control.criteria import Criteria, loss_of
from automl.control.curves import Candidate, Point, State, rung_of
from automl.control.decisions import Branch, Start, Thaw, TrainOut
from automl.control.fronts import front as front_of
from automl.control.ranking import Score, Tried
from automl.errors import FailureReason
from automl.segments import Segment, SegmentResult
from search_spaces.dials import from_dict
from search_spaces.seq2seq import DRAWN, Seq2Seq
from search_spaces.spaces import Space
from storage import objects
from storage.schema import altered
from storage.segments import NewSegment, SegmentRow
from storage.trials import BRANCH, CONTINUED, WIDER, TrialRow, new_trial

T = TypeVar("T")

MOST_BLENDS = 4
"""Checkpoints that the end of a trial may be blended with: each is scored on valid once more."""


@dataclass
class Trial:
    """A trial with its segments by step; `in_flight` while a worker has it.

    Attributes:
        root: The first of the trials that it goes on from; none where it began by itself.
        is_wider: Whether that was begun as a wider version of what was best then.
        shown: How it was shown to whom it was shown last, by what that depends on.
    """

    row: TrialRow
    configuration: Seq2Seq
    segments: list[SegmentRow] = field(default_factory=list)
    in_flight: bool = False
    root: int | None = None
    is_wider: bool = False
    shown: dict[Callable[..., Any], tuple[object, Any]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.is_wider = self.is_wider or self.row.origin == WIDER

    @property
    def is_orphan(self) -> bool:
        """Whether its first segment was lost, so that it has to begin again."""
        return not self.in_flight and not self.segments and self.row.state != "FAILED" and self.parent is None

    @cached_property
    def parent(self) -> int | None:
        """The trial at whose checkpoint it began; none where it began by itself."""
        return self.row.parent

    @property
    def begins_with_a_look(self) -> bool:
        """Whether nothing is decoded after its first segment: it knows nothing by then."""
        return self.parent is None and self.configuration.start == DRAWN

    @property
    def lineage(self) -> int:
        """The same for a trial and what began at its checkpoints, which are one model at different times."""
        return self.row.number if self.root is None else self.root

    @property
    def state(self) -> State:
        """State in the scheduler's terms."""
        if self.in_flight:
            return "running"
        match self.row.state:
            case "COMPLETE":
                return "finished"
            case "FAILED":
                return "failed"
            case "RUNNING" | "PAUSED":
                return "paused"

    @property
    def families(self) -> str:
        """Encoder and decoder for people to read."""
        return f"{type(self.configuration.encoder).__name__} → {type(self.configuration.decoder).__name__}"

    def next_segment(self, decision: Start | Thaw | TrainOut | Branch, *, decodes: bool) -> Segment:
        """Return the segment that goes on from the last checkpoint."""
        return Segment(
            trial=self.row.number,
            configuration=self.row.configuration,
            seed=self.row.seed,
            from_step=self.row.step,
            checkpoint=self.row.checkpoint,
            to_tokens=decision.to_tokens,
            seconds=decision.seconds,
            cooldown=isinstance(decision, TrainOut | Branch),
            fills=isinstance(decision, TrainOut) and decision.fills,
            decodes=decodes,
        )

    def advance(self, segment: SegmentRow, parameters: int, complete: bool) -> None:
        """Note a committed segment."""
        self.segments.append(segment)
        self.row = altered(
            self.row,
            state="COMPLETE" if complete else "PAUSED",
            step=segment.to_step,
            tokens=segment.tokens,
            checkpoint=segment.checkpoint,
            parameters=parameters,
            failures=0,
            segments=self.row.segments + 1,
        )

    def fail(self, reason: FailureReason, message: str) -> None:
        """Note that it cannot go on."""
        self.row = altered(self.row, state="FAILED", reason=reason.value, message=message)


def restore(trials: Sequence[TrialRow], segments: Sequence[SegmentRow]) -> dict[int, Trial]:
    """Return the trials by number as their rows say; whatever was in flight is paused at its last checkpoint."""
    restored = {row.number: Trial(row, from_dict(Seq2Seq, row.configuration)) for row in trials}
    for segment in sorted(segments, key=lambda s: (s.trial, s.index)):
        restored[segment.trial].segments.append(segment)
    for trial in restored.values():  # a parent has a smaller number
        parent = None if trial.parent is None else restored.get(trial.parent)
        if parent is not None:
            trial.root, trial.is_wider = parent.lineage, parent.is_wider and not trial.row.is_branch
    return restored


def branch(parent: Trial, number: int) -> Trial:
    """Return a trial that begins where another one stands, by its last checkpoint."""
    row = parent.row
    assert row.checkpoint is not None, "a trial without a checkpoint has no branches"
    place = {"step": row.step, "tokens": row.tokens, "checkpoint": row.checkpoint}
    begun = new_trial(number, row.configuration, row.seed, f"{BRANCH}{row.number}")
    return Trial(altered(begun, **place), parent.configuration, root=parent.lineage)


def continuation(
    of: Trial, number: int, trials: Mapping[int, Trial], is_damaged: Callable[[str], bool] = lambda _: False
) -> Trial | None:
    """Return a trial that goes on where another one stood before it was trained out; nothing where it did not stand.

    Args:
        is_damaged: Says whether a checkpoint is known to be; then what stood before it is gone on with.
    """
    stood = (s for s in reversed([*trunk(of, trials), *of.segments]) if not s.cooldown)
    last = next((s for s in stood if not is_damaged(s.checkpoint)), None)
    if last is None:
        return None
    begun = new_trial(number, of.row.configuration, of.row.seed, f"{CONTINUED}{of.row.number}")
    place = {"step": last.to_step, "tokens": last.tokens, "checkpoint": last.checkpoint}
    return Trial(altered(begun, state="PAUSED", **place), of.configuration, root=of.lineage, is_wider=of.is_wider)


def successors(trials: Iterable[Trial]) -> dict[int, int]:
    """Return the trials in whose place others go on, and which these are."""
    going_on = (trial for trial in trials if trial.row.is_continued and trial.row.state != "FAILED")
    return {trial.parent: trial.row.number for trial in going_on if trial.parent is not None}


def candidates(
    trials: Mapping[int, Trial], criteria: Criteria, encode: Callable[[Seq2Seq], tuple[float, ...]] = lambda _: ()
) -> list[Candidate]:
    """Return the trials as the scheduler sees them.

    Those that have to begin again are not there yet, those over a limit no more, as are branches that lost their place
    and trials in whose place others go on.
    """
    gone = successors(trials.values())
    left = (trial for number, trial in trials.items() if number not in gone)
    seen = (_shown(_candidate, trial, trunk(trial, trials), criteria, encode) for trial in left)
    return [candidate for candidate in seen if candidate is not None]


def blends(trial: Trial, trials: Mapping[int, Trial], criteria: Criteria) -> tuple[str, ...]:
    """Return the checkpoints of a trial and its branches that its end may be blended with, the best first."""
    kin = [own for number in trials if (own := trials[number]).lineage == trial.lineage]
    whole = [segment for own in kin for segment in own.segments if criteria.is_measured(segment.scores)]
    return tuple(s.checkpoint for s in sorted(whole, key=lambda s: criteria.standing(s.scores))[:MOST_BLENDS])


def narrower(trial: Trial, trials: Mapping[int, Trial], space: Space) -> Seq2Seq | None:
    """Return the configuration that a trial was begun as a wider version of; nothing where it was not."""
    if trial.row.origin != WIDER:
        return None
    measured = (other.configuration for other in trials.values() if other.segments)
    return next((found for found in measured if space.wider(found) == trial.configuration), None)


def trunk(trial: Trial, trials: Mapping[int, Trial]) -> tuple[SegmentRow, ...]:
    """Return what a trial had behind it where it began: the segments of its parent, and of the parents of that."""
    parent = None if trial.parent is None else trials.get(trial.parent)
    if parent is None:
        return ()
    step = trial.segments[0].from_step if trial.segments else trial.row.step
    return tuple(s for s in (*trunk(parent, trials), *parent.segments) if s.to_step <= step)


def uprooted(trials: Iterable[Trial], dropped: Collection[str]) -> list[Trial]:
    """Return the branches that nobody works on and that have nothing but a checkpoint that was dropped."""
    bare = [t for t in trials if t.parent is not None and not t.in_flight and not t.segments and t.state == "paused"]
    return [trial for trial in bare if trial.row.checkpoint is None or trial.row.checkpoint in dropped]


def _candidate(
    trial: Trial, trunk: Sequence[SegmentRow], criteria: Criteria, encode: Callable[[Seq2Seq], tuple[float, ...]]
) -> Candidate | None:
    is_rootless = not trunk and (trial.row.is_branch or not trial.segments)
    has_lost_its_place = trial.parent is not None and (trial.row.checkpoint is None or is_rootless)
    if trial.is_orphan or has_lost_its_place or not (trial.in_flight or is_within(trial, criteria)):
        return None
    points = _points([*trunk, *trial.segments], criteria)
    row, dials = trial.row, encode(trial.configuration)
    parent = trial.parent if row.is_branch else None
    return Candidate(row.number, trial.state, points, trial.families, dials, parent, trial.is_wider, row.is_continued)


def _shown(show: Callable[..., T], trial: Trial, *by: object) -> T:
    """Return how a trial is shown; of thousands only a few have changed since the last decision."""
    newest = trial.segments[-1].index if trial.segments else None  # an index is not given twice
    key = (trial.in_flight, trial.row.state, len(trial.segments), newest, *by)
    known = trial.shown.get(show)
    if known is None or known[0] != key:
        known = trial.shown[show] = (key, show(trial, *by))
    found: T = known[1]
    return found


def is_within(trial: Trial, criteria: Criteria) -> bool:
    """Whether nothing that was measured of a trial last is over its limit."""
    return not trial.segments or criteria.allows(trial.segments[-1].scores)


def tried(trials: Iterable[Trial], criteria: Criteria, rung_tokens: int | None) -> list[Tried]:
    """Return the trials as the proposals see them: each as it goes on, and no branch, which tells them nothing new."""
    known = {trial.row.number: trial for trial in trials}
    gone = successors(known.values())
    own = [trial for number, trial in known.items() if number not in gone and not trial.row.is_branch]
    return [_shown(_tried, trial, trunk(trial, known)[-1:], criteria, rung_tokens) for trial in own]


def _tried(trial: Trial, before: Sequence[SegmentRow], criteria: Criteria, rung_tokens: int | None) -> Tried:
    score = None
    for last in [*before, *trial.segments][-1:]:
        first, *others = criteria.assumed(last.scores)
        rung = rung_of(last.tokens, rung_tokens or last.tokens)
        whole = criteria.is_measured(last.scores)
        score = Score(rung, first, loss_of(last.scores), tuple(others), criteria.excess(last.scores), whole)
    return Tried(trial.configuration, score, failed=trial.row.state == "FAILED")


def best(trials: Iterable[Trial], criteria: Criteria) -> tuple[Trial, SegmentRow] | None:
    """Return the trial and segment within the limits that stand best on valid."""
    return min(_allowed(trials, criteria), key=lambda pair: criteria.standing(pair[1].scores), default=None)


def bests(trials: Iterable[Trial], criteria: Criteria) -> list[tuple[Trial, SegmentRow]]:
    """Return each trial, or its branch where that is better, with the segment it stands best at; the best first."""
    lineages: dict[int, list[Trial]] = {}
    for trial in trials:
        lineages.setdefault(trial.lineage, []).append(trial)
    found = [pair for lineage in lineages.values() if (pair := best(lineage, criteria)) is not None]
    return sorted(found, key=lambda pair: criteria.standing(pair[1].scores))


def front(trials: Iterable[Trial], criteria: Criteria) -> list[tuple[Trial, SegmentRow]]:
    """Return the trials and segments of the Pareto front, within the limits, the best by the first objective first."""
    measured = [pair for pair in _allowed(trials, criteria) if criteria.is_measured(pair[1].scores)]
    allowed = sorted(measured, key=lambda pair: criteria.standing(pair[1].scores))
    if not allowed:
        return []
    found = [allowed[place] for place in front_of([criteria.losses(segment.scores) for _, segment in allowed])]
    return list({criteria.losses(pair[1].scores): pair for pair in reversed(found)}.values())[::-1]


def nearest(trials: Iterable[Trial], criteria: Criteria) -> tuple[Trial, SegmentRow] | None:
    """Return the trial and segment that are over a limit by the least, where none is within."""
    scored = [(trial, segment) for trial in trials for segment in trial.segments]
    return min(scored, key=lambda pair: criteria.excess(pair[1].scores), default=None)


def _allowed(trials: Iterable[Trial], criteria: Criteria) -> list[tuple[Trial, SegmentRow]]:
    return [(t, segment) for t in trials for segment in t.segments if criteria.allows(segment.scores)]


def counts(trials: Iterable[Trial]) -> dict[str, int]:
    """Return the number of trials by state."""
    return dict(Counter(trial.state for trial in trials))


def _points(segments: Sequence[SegmentRow], criteria: Criteria) -> tuple[Point, ...]:
    training = list(accumulate(s.seconds.get("training", 0.0) for s in segments))
    compiling = list(accumulate(s.seconds.get("compiling", 0.0) + s.seconds.get("tokenizing", 0.0) for s in segments))
    losses = [criteria.assumed(segment.scores) for segment in segments]
    measured = [criteria.is_measured(segment.scores) for segment in segments]
    return tuple(
        Point(s.tokens, trained + compiled, trained, loss_of(s.scores), objectives[0], objectives[1:], whole)
        for s, trained, compiled, objectives, whole in zip(segments, training, compiling, losses, measured, strict=True)
    )


def checkpoints_of(trials: Iterable[Trial]) -> Iterator[str]:
    """Yield every checkpoint that segments have left, the last of each trial first."""
    return (segment.checkpoint for trial in trials for segment in reversed(trial.segments))


def damaged(segments: Sequence[SegmentRow], checkpoints: objects.Place) -> list[SegmentRow]:
    """Return the last segment, whose checkpoint is known to be bad, and those before it up to one that is not.

    One of which nothing can be known now is not given up: who reads it next says so.
    """
    found: list[SegmentRow] = []
    for segment in reversed(segments):
        if found and not kept.is_damaged(checkpoints, segment.checkpoint):
            break
        found.append(segment)
    return found


def new_segment(segment: Segment, result: SegmentResult, checkpoints: objects.Place) -> NewSegment:
    """Return what came back as a row; scores that are not finite are left out.

    Raises:
        TrialFailure: Its checkpoint is not there (`STORAGE`).
    """
    return NewSegment(
        trial=segment.trial,
        from_step=result.from_step,
        to_step=result.step,
        tokens=result.tokens,
        scores={name: score for name, score in result.scores.items() if math.isfinite(score)},
        checkpoint=result.checkpoint,
        bytes=kept.size(checkpoints, result.checkpoint),
        parameters=result.parameters,
        seconds=result.seconds,
        cooldown=segment.cooldown,
        execution={**result.execution, "compiled": result.programs.compiled, "loaded": result.programs.loaded},
    )
