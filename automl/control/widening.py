"""Widening: a wider version of the leader, on a worker of its own, where the time suffices to train it.

A small model is good early and soon has learnt all it can; a wider one of the same family learns more from every token
(Kaplan et al., 2020, section 3.2), but takes longer over each. What it is worth shows late, so that no forecast from
first looks would begin it in time. So it goes on until it has seen train often enough to be judged, then has to hold
its own among the others. It is given up before where, at equal tokens, it is no better than the leader.
"""

from collections.abc import Sequence

from automl.control.curves import (
    OBJECTIVE_RUNG,
    Candidate,
    has_stalled,
    next_rung,
    rung_of,
    tokens_per_second,
    value_at,
)
from automl.control.decisions import LONGEST, Outlook, Prospect, Start, Thaw

ENOUGH = 0.25
"""Share of the tokens of a whole training after which a wider trial can be judged."""
SHARE = 2 / 3
"""Share of the seconds before the finalists are trained out in which it has to have seen so many."""


def widen(
    candidates: Sequence[Candidate],
    leader: Candidate | None,
    outlook: Outlook,
    prospects: Sequence[Prospect],
    seconds_left: float | None,
    seconds_first: float,
) -> Start | Thaw | None:
    """Return the wider trial that a free worker begins or goes on with, if it is worth it.

    Args:
        candidates: Trials that are no branches.
        leader: The trial to beat, running or not.
        prospects: One of them may be a wider version of the leader.
        seconds_left: Until the finalists are trained out; none where the time is unlimited.
        seconds_first: The most that its first segment may take.
    """
    if outlook.workers < 2 or seconds_left is None or leader is None or outlook.max_tokens is None:
        return None
    wider = [c for c in candidates if c.is_wider and c is not leader]
    if any(c.state == "running" for c in wider):
        return None
    enough, unit = int(ENOUGH * outlook.max_tokens), outlook.rung_tokens or 1
    for paused in (c for c in wider if c.state == "paused" and c.points):
        if _may_go_on(paused, leader, enough, unit, seconds_left):
            reason = f"continued {paused.number}: wider than the leader, at {paused.latest.tokens:,} tokens"
            return Thaw(paused.number, next_rung(paused, unit), min(seconds_left, LONGEST), reason)
    for place, prospect in enumerate(prospects):
        speed = prospect.tokens_per_second
        if prospect.wider_than == leader.number and speed and enough / speed + prospect.delay <= SHARE * seconds_left:
            reason = f"started a wider version of {leader.number}, the leader: there is time to train it"
            return Start(unit, min(seconds_first, seconds_left), reason, place)
    return None


def _may_go_on(wider: Candidate, leader: Candidate, enough: int, unit: int, seconds_left: float) -> bool:
    """Whether it cannot be judged yet, and will be in time."""
    missing = enough - wider.latest.tokens
    in_time = 0 < missing <= seconds_left * tokens_per_second(wider)
    return in_time and not has_stalled(wider) and not _is_behind(wider, leader, unit)


def _is_behind(wider: Candidate, leader: Candidate, unit: int) -> bool:
    """Whether it is no better than the leader was at as many tokens, where that says something."""
    objective, loss = value_at(leader.points, wider.latest.tokens)
    late = rung_of(wider.latest.tokens, unit) >= OBJECTIVE_RUNG and wider.latest.is_measured
    return late and wider.latest.objective >= objective and wider.latest.loss >= loss
