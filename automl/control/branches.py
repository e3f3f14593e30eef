"""Branches: copies of the leader that are cooled down while it goes on, so that a finished model is at hand early.

A model whose learning rate has not fallen stands worse than what its steps are worth (Hägele et al., 2024, section 3),
and the leader of a search falls at the end alone. So beside it a copy is trained out, once at each rung: whoever stops
the search, or watches it, has the score of a model that was trained for just that long.
"""

from collections.abc import Sequence
from math import inf

from automl.control.curves import OBJECTIVE_RUNG, Candidate, has_stalled, rung_of, tokens_per_second
from automl.control.decisions import Branch, Outlook, TrainOut

COOLING = 0.25
"""Tokens of a branch beyond the leader's, as a share of them."""


def branch_off(
    branches: Sequence[Candidate], leader: Candidate | None, outlook: Outlook, seconds_left: float | None
) -> Branch | TrainOut | None:
    """Return the branch that a free worker trains out, if it is worth it.

    Args:
        branches: All that there are, whatever they are of.
        leader: The trial to beat, running or not.
        seconds_left: Until the finalists are trained out; none where the time is unlimited.
    """
    if outlook.workers < 2 or seconds_left is None:
        return None
    lost = next((branch for branch in branches if branch.state == "paused"), None)
    if lost is not None:
        tokens, seconds = _cooling(lost)
        reason = f"cools {lost.number} down, a copy of {lost.parent}: it was stopped before its time"
        return TrainOut(lost.number, lost.latest.tokens + tokens, min(seconds, seconds_left), reason)
    if leader is None or has_stalled(leader) or any(branch.state == "running" for branch in branches):
        return None
    rung = rung_of(leader.latest.tokens, outlook.rung_tokens or 1)
    before = [rung_of(b.latest.tokens, outlook.rung_tokens or 1) for b in branches if b.parent == leader.number]
    tokens, seconds = _cooling(leader)
    if rung < OBJECTIVE_RUNG or rung <= max(before, default=-inf) or 2 * seconds > seconds_left:
        return None
    reason = (
        f"cools a copy of {leader.number} down at {leader.latest.tokens:,} tokens: a finished model is at hand early"
    )
    return Branch(leader.number, leader.latest.tokens + tokens, seconds, reason)


def _cooling(candidate: Candidate) -> tuple[int, float]:
    """Return the tokens of a cooldown, and the seconds that it takes."""
    tokens = max(int(COOLING * candidate.latest.tokens), 1)
    return tokens, 1.5 * tokens / tokens_per_second(candidate)
