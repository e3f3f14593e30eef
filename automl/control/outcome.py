"""What a search says of itself: while it runs, and at its end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from automl.budget import Target, reached
from automl.control import history
from automl.control.criteria import Criteria
from automl.control.history import Trial
from automl.segments import Exposure, Membership
from search_spaces.hulls import shared
from storage.segments import SegmentRow

Ending = Literal["finished", "interrupted", "failed"]
HOPELESS_TRIALS = 5


@dataclass(frozen=True)
class Progress:
    """What a person wants to know while it runs.

    Attributes:
        seconds_left: Of the time budget, the share for test and export included.
        trials: Number of trials by state.
        metric: The first objective of what is searched now, which may be a pre-training.
        best: Best of it on valid so far.
        workers: What each worker does, one line each.
        decision: The scheduler's last decision.
    """

    seconds_left: float | None
    trials: Mapping[str, int]
    metric: str
    best: float | None
    workers: tuple[str, ...]
    decision: str


@dataclass(frozen=True)
class Winner:
    """The best trial at its best step; `scores` are on valid, `parameters` is the size of the model.

    `decoding` says how it decodes (see `search_spaces.decoding`); greedily where it says nothing. `membership` says how
    much it remembers of its training rows, where that was measured, and `exposure` how much of each canary. Of an
    ensemble, `members` are the further models (`trial`, `configuration`, `checkpoint`), and `single` says how the best
    trial does alone (`scores`, `test_scores`, `parameters`). Where a further model is to be distilled, `teacher` says
    of what: the same, the numbers of its `trials`, and the sha256 of its `soft_targets`.
    """

    trial: int
    step: int
    tokens: int
    scores: Mapping[str, float]
    test_scores: Mapping[str, float]
    checkpoint: str
    configuration: Mapping[str, Any]
    parameters: int | None
    decoding: Mapping[str, Any] | None = None
    membership: Membership | None = None
    exposure: tuple[Exposure, ...] = ()
    members: tuple[Mapping[str, Any], ...] = ()
    single: Mapping[str, Any] | None = None
    teacher: Mapping[str, Any] | None = None

    @staticmethod
    def of(trial: Trial, segment: SegmentRow, test_scores: Mapping[str, float]) -> "Winner":
        """Return a trial at one of its segments as the winner."""
        return Winner(
            trial=trial.row.number,
            step=segment.to_step,
            tokens=segment.tokens,
            scores=segment.scores,
            test_scores=test_scores,
            checkpoint=segment.checkpoint,
            configuration=trial.row.configuration,
            parameters=trial.row.parameters,
        )


@dataclass(frozen=True)
class Outcome:
    """How a search ended.

    Attributes:
        seconds: Consumed over all runs.
        trials: Number of trials by state.
        why: One sentence on what won and why, or on why nothing did.
        refused: Configurations that were drawn and are over a limit, so that they were drawn again.
        warning: What is to be known before the winner is relied on, in one sentence.
        front: All that is best in its way, where there are several objectives.
        importance: Share of each dial that mattered (see `automl.control.importance`).
    """

    state: Ending
    seconds: float
    trials: Mapping[str, int]
    best: Winner | None
    why: str
    front: tuple[Winner, ...] = ()
    refused: int = 0
    warning: str = ""
    importance: Mapping[str, float] = field(default_factory=dict)


def early_end(trials: Iterable[Trial], target: Target | None, best: tuple[Trial, SegmentRow] | None) -> str | None:
    """Say why a search ends before its budget is spent: what stands best reaches the target, or nothing works."""
    if best is not None:
        scores = best[1].scores
        is_reached = target is not None and target[0] in scores and reached(target, scores[target[0]])
        return f"the target {''.join(map(str, target or ()))} is reached" if is_reached else None
    everything = list(trials)
    failed = [trial for trial in everything if trial.row.state == "FAILED"]
    if len(failed) < HOPELESS_TRIALS or any(trial.segments for trial in everything):
        return None
    programs = {shared(trial.configuration) for trial in failed}
    others = any(trial.row.state != "FAILED" and shared(trial.configuration) not in programs for trial in everything)
    if others and len(programs) < HOPELESS_TRIALS:
        return None
    return f"the first {len(failed)} trials failed: {failed[-1].row.reason}, {failed[-1].row.message}"


def pareto_front(trials: Iterable[Trial], criteria: Criteria, winner: Winner | None) -> tuple[Winner, ...]:
    """Return what is best in its way, and the winner first where it is none of them; nothing for one objective."""
    if not criteria.others:
        return ()
    front = tuple(Winner.of(*each, {}) for each in history.front(trials, criteria))
    return (winner, *front) if winner and winner.checkpoint not in {each.checkpoint for each in front} else front


def explain(trials: Iterable[Trial], criteria: Criteria, winner: Winner | None = None) -> str:
    """Say in one sentence what won, and against what; or what came nearest where nothing is within the limits."""
    everything, metric = list(trials), criteria.metric
    found = history.best(everything, criteria)
    if found is None:
        return _nearest(everything, criteria)
    trial, segment = found
    own = {} if winner is None or winner.single is not None else winner.scores  # as it decodes, if it did before or not
    score = _said({**segment.scores, **own}, metric.name)
    rivals = [t for t in everything if t.lineage != trial.lineage]
    default = [t for t in rivals if t.lineage == 0]
    rival = history.best(default or rivals, criteria)
    won = f"{_name(trial)} ({trial.families}) won with {score} on valid after {segment.tokens:,} target tokens"
    return won + _against(rival, criteria, len({t.lineage for t in rivals})) + _together(winner, metric.name)


def _said(scores: Mapping[str, float], name: str) -> str:
    """Return a score as it is said: the loss, where it was ended before anything was decoded."""
    name = name if name in scores else "loss"
    return f"{name} {scores[name]:.4g}"


def _name(trial: Trial) -> str:
    name = "the default" if trial.lineage == 0 else f"trial {trial.lineage}"
    if trial.parent is None:
        return name
    return f"{name}, {'cooled down early' if trial.row.is_branch else 'gone on with'} as trial {trial.row.number}"


def _together(winner: Winner | None, name: str) -> str:
    if winner is None or not winner.members:
        return ""
    numbers = ", ".join(str(member["trial"]) for member in winner.members)
    return f"; together with trial {numbers} it has {winner.scores[name]:.4g}"


def _nearest(trials: Iterable[Trial], criteria: Criteria) -> str:
    nearest = history.nearest(trials, criteria)
    if nearest is None:
        return "no trial was measured"
    trial, segment = nearest
    over = max(criteria.limits, key=lambda name: segment.scores.get(name, 0.0) / criteria.limits[name])
    found, most = (1000 * value for value in (segment.scores[over], criteria.limits[over]))
    number = f"trial {trial.row.number} ({trial.families})"
    return (
        "no model is within the constraints; "
        f"the nearest, {number}, has a {over} of {found:.3g} ms, and {most:.3g} ms are allowed"
    )


def _against(rival: tuple[Trial, SegmentRow] | None, criteria: Criteria, rivals: int) -> str:
    if rival is None:
        return ""
    trial, segment = rival
    others = f"the best of {rivals} others" if rivals > 1 else "the only other"
    name = "the default" if trial.lineage == 0 else others
    score = segment.scores.get(criteria.metric.name)
    return f", against {_said(segment.scores, 'loss') if score is None else format(score, '.4g')} of {name}"
