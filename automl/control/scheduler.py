"""What a free worker does next: start a trial, thaw a paused one, train a finalist out.

Nothing trained is thrown away: a trial stops at a rung with its checkpoint and may go on at any later time. Rung k
lies at `rung_tokens * 2**k` target tokens of the trial. Within a time budget the *leader* always goes on, on a worker
of its own or, where there is only one, for half of the time at least, and up to eight ninths of it while nothing else
is expected to gain more. The last quarter of the time trains the finalists out; a copy of the leader is cooled down
beside it now and then (see `branches`), and a wider version of it trained where that pays (see `widening`). All other
time goes to what is expected to gain most a second by the forecasts of the learning curves: a new trial, or a paused
one (see `gains`). Without a limit of time nothing is lost by waiting, so the leader takes its turn with the others.

Functions of what has been measured alone: no clock, no input or output, so that a search can be simulated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from automl.control.branches import branch_off
from automl.control.curves import (
    OBJECTIVE_RUNG,
    Candidate,
    has_stalled,
    next_rung,
    rung_of,
    tokens_per_second,
    value_after,
    value_at,
)
from automl.control.decisions import LONGEST, Decision, Finish, Outlook, Prospect, Start, Thaw, TrainOut, Wait
from automl.control.exploration import Move, best_move
from automl.control.forecast import Forecaster
from automl.control.widening import widen

FINAL_SHARE = 0.25
"""Share of the time kept for training the finalists out: as many as there are workers."""
MOST_FINALISTS = 2
"""So many more add a quarter of that share each."""
LAST_USEFUL_SHARE = 0.08
"""Share of the time below which training another finalist out is not worth beginning."""
LEAST_SHARE = 0.01
"""Share of the time below which no segment is worth beginning."""
FIRST_SHARE = 1 / 30
"""Share of the time for the first segment, whose tokens become rung 0."""
SLOWEST = 4.0
"""A first segment may take so many times the seconds of the fastest trial's."""
LEAST_GAIN = 0.001
"""Nats: where the time is unlimited and every trial begun, a search that expects less of every trial is at its end."""
EXPLORED = 1 / 8
"""With one worker other trials have at least so many of the leader's seconds: forecasts may be wrong about both."""
NEGLECTED = 1 / 5
"""With one worker a leader that has had less of the time that is gone than this goes on, whatever else took it."""
EQUAL = 0.9
"""Seconds of training count as equal to such a share of them."""
MARGIN = 0.03
"""Relative lead that a challenger needs, for each rung that it is behind, to become the leader."""


def decide(
    candidates: Sequence[Candidate],
    outlook: Outlook,
    prospects: Sequence[Prospect] = (),
    forecaster: Forecaster | None = None,
) -> Decision:
    """Say what one free worker does next; a trial that was just given to a worker counts as running.

    A `Start` names one of the prospects; there is none while none is offered.
    """
    branches = [c for c in candidates if c.parent is not None]
    candidates = [c for c in candidates if c.parent is None]
    if outlook.rung_tokens is None or not any(c.points for c in candidates):
        return _measure_first(candidates, outlook)
    outlook = replace(outlook, final_share=final_share(candidates, outlook))
    before_final = _seconds_before_final(outlook)
    if before_final is not None and before_final < LEAST_SHARE * (outlook.seconds_total or 0.0):
        return _finish_by_time(candidates, outlook)

    def explore(with_leader: bool) -> Decision | None:
        return _explore(candidates, outlook, prospects, forecaster or Forecaster(), with_leader=with_leader)

    return (
        _continue_leader(candidates, outlook, explore)
        or (
            branch_off(branches, find_leader(candidates, outlook), outlook, before_final) if outlook.branching else None
        )
        or (_widen(candidates, outlook, prospects, before_final) if outlook.branching else None)
        or _train_out_stalled(candidates, outlook)
        or explore(False)
        or _finish_by_trials(candidates, outlook)
    )


def final_share(candidates: Sequence[Candidate], outlook: Outlook) -> float:
    """Return the share of the time that is kept for finalists: more where the curves leave it open who will win."""
    more = len(_rivals(candidates, outlook)) + 1 - outlook.workers
    return FINAL_SHARE * (1 + min(max(more, 0), MOST_FINALISTS) / 4)


def _rivals(candidates: Sequence[Candidate], outlook: Outlook) -> list[Candidate]:
    """Return who, at equal tokens, was as good as the leader but for a margin, and has come nearly as far."""
    leader = find_leader(candidates, outlook)
    if leader is None or outlook.rung_tokens is None:
        return []
    rung = rung_of(leader.latest.tokens, outlook.rung_tokens)
    found = []
    for other in candidates:
        if other is leader or other.state not in ("running", "paused") or not other.points:
            continue
        own = rung_of(other.latest.tokens, outlook.rung_tokens)
        objective, _ = value_at(leader.points, other.latest.tokens)
        near = other.latest.is_measured and other.latest.objective <= objective + MARGIN * abs(objective)
        if own >= max(OBJECTIVE_RUNG, rung - 1) and near:
            found.append(other)
    return found


def find_leader(candidates: Sequence[Candidate], outlook: Outlook) -> Candidate | None:
    """Return the unfinished trial to beat: the first one until another is measured to be better."""
    alive = [c for c in candidates if c.state in ("running", "paused") and c.points]
    if not alive or outlook.rung_tokens is None:
        return None
    first = next((c for c in alive if c.number == 0), None)
    leader = first or min(alive, key=lambda c: (-rung_of(c.latest.tokens, outlook.rung_tokens or 1), c.standing))
    for challenger in alive:
        if challenger is not leader and _beats(challenger, leader, outlook):
            leader = challenger
    return leader


def is_before_the_end(outlook: Outlook) -> bool:
    """Whether there is time before the finalists are trained out."""
    before_final = _seconds_before_final(outlook)
    return before_final is not None and before_final >= LEAST_SHARE * (outlook.seconds_total or 0.0)


def first_look(total: float) -> float:
    """Return the seconds of the first segment of a search of so many."""
    return min(max(total * FIRST_SHARE, 2.0), 120.0)


def _measure_first(candidates: Sequence[Candidate], outlook: Outlook) -> Decision:
    total, left = outlook.seconds_total, outlook.seconds_left
    if left is not None and left <= 0:
        return _wait_or_finish(candidates, "the time is over before a first score")
    if outlook.trials_left == 0:
        running = any(c.state == "running" for c in candidates)
        return (
            Wait("the first scores are awaited")
            if running
            else Finish("no trial is left that could have a first score")
        )
    seconds = None if total is None else first_look(total)
    reason = "started the default" if not candidates else "started another one while the default is measured"
    return Start(outlook.rung_tokens, seconds, reason)


def _beats(challenger: Candidate, leader: Candidate, outlook: Outlook) -> bool:
    """Whether the challenger is ahead at equal tokens and at equal seconds, as far as both have come.

    One that was better in no more seconds than the leader has ever been had nothing to catch up. Either stays ahead
    when it goes on for longer than the leader has, unless it gets worse than that.
    """
    assert outlook.rung_tokens is not None
    then = challenger if has_stalled(leader) else _as_of(challenger, leader.latest.training / EQUAL)
    if then is None or rung_of(then.latest.tokens, outlook.rung_tokens) < OBJECTIVE_RUNG:
        return False
    if _has_overtaken(then, leader):
        return then is challenger or _has_overtaken(challenger, leader)
    return _is_ahead(then, leader, outlook) and (then is challenger or challenger.standing < leader.standing)


def _as_of(candidate: Candidate, training: float) -> Candidate | None:
    """Return a trial as it was before it had trained for longer than that; nothing if it had no score yet."""
    points = tuple(point for point in candidate.points if point.training <= training)
    if len(points) == len(candidate.points):
        return candidate
    return replace(candidate, points=points) if points else None


def _has_overtaken(challenger: Candidate, leader: Candidate) -> bool:
    """Whether the latest objective is better than all of the leader's."""
    both = leader.latest.is_measured and challenger.latest.is_measured
    return both and challenger.latest.objective < min(p.objective for p in leader.points if p.is_measured)


def _is_ahead(challenger: Candidate, leader: Candidate, outlook: Outlook) -> bool:
    assert outlook.rung_tokens is not None
    rung = rung_of(challenger.latest.tokens, outlook.rung_tokens)
    behind = max(rung_of(leader.latest.tokens, outlook.rung_tokens) - rung, 0)
    if behind > 2 or (behind and not _can_catch_up(challenger, leader, outlook)):
        return False
    after = value_after(leader.points, challenger.latest.training)
    objective, loss = value_at(leader.points, challenger.latest.tokens)
    if math.inf in (challenger.standing[0], after[0], objective):  # one of them was not decoded there
        return challenger.latest.loss < min(after[1], loss)
    if challenger.standing >= after:
        return False
    return challenger.standing < (objective - behind * MARGIN * abs(objective), loss)


def _can_catch_up(challenger: Candidate, leader: Candidate, outlook: Outlook) -> bool:
    before_final = _seconds_before_final(outlook)
    if before_final is None:
        return True
    left = before_final if before_final > 0 else outlook.seconds_left or 0.0
    return (leader.latest.tokens - challenger.latest.tokens) / tokens_per_second(challenger) <= left


def _seconds_before_final(outlook: Outlook) -> float | None:
    if outlook.seconds_left is None or outlook.seconds_total is None:
        return None
    return outlook.seconds_left - outlook.final_share * outlook.seconds_total


def _continue_leader(
    candidates: Sequence[Candidate], outlook: Outlook, explore: Callable[[bool], Decision | None]
) -> Decision | None:
    """Keep the leader going where time is short; without a limit it waits its turn and loses nothing."""
    leader = find_leader(candidates, outlook)
    if outlook.seconds_total is None or leader is None or leader.state != "paused":
        return None
    if not _may_continue(leader, outlook) or (outlook.trials_left == 0 and _is_trained_out(candidates, leader)):
        return None
    other = _leave_leader(leader, candidates, outlook, explore) if outlook.workers == 1 else None
    return other or _thaw(leader, outlook, f"continued {leader.number}: the leader at {leader.latest.tokens:,} tokens")


def _leave_leader(
    leader: Candidate, candidates: Sequence[Candidate], outlook: Outlook, explore: Callable[[bool], Decision | None]
) -> Decision | None:
    """Return what the only worker does rather than to go on with the leader.

    What trials have cost that failed, or are over a limit, is no part of any curve, but of the time that is gone.
    """
    own, others = leader.latest.seconds, sum(c.latest.seconds for c in candidates if c.points and c is not leader)
    gone = (outlook.seconds_total or 0.0) - (outlook.seconds_left or 0.0)
    return explore(others >= EXPLORED * own) if own > max(others, NEGLECTED * gone) else None


def _train_out_stalled(candidates: Sequence[Candidate], outlook: Outlook) -> Decision | None:
    leader = find_leader(candidates, outlook)
    left, total = outlook.seconds_left, outlook.seconds_total
    if leader is None or leader.state != "paused" or not has_stalled(leader) or left is None or total is None:
        return None
    if left < 2 * FINAL_SHARE * total or any(c.state == "finished" for c in candidates):
        return None
    return _train_out(leader, FINAL_SHARE * total / 2, "the leader has stalled and there is time for a second one")


def _explore(
    candidates: Sequence[Candidate],
    outlook: Outlook,
    prospects: Sequence[Prospect],
    forecaster: Forecaster,
    *,
    with_leader: bool,
) -> Decision | None:
    """Return what is expected to gain most a second; nothing where that is the leader, which has its own way."""
    timed = outlook.seconds_total is not None
    leader = find_leader(candidates, outlook) if timed else None
    paused = [c for c in candidates if c.state == "paused" and c.points and (with_leader or c is not leader)]
    paused = [c for c in paused if _may_continue(c, outlook)]
    before_final = _seconds_before_final(outlook)
    cost = _first_rung_seconds(candidates, outlook)
    if outlook.trials_left == 0 or (before_final is not None and before_final < cost):
        prospects = ()
    move = best_move(candidates, paused, prospects, outlook, forecaster, before_final)
    if move is None or (not timed and not prospects and move.gain.expected < LEAST_GAIN):
        return None
    if leader is not None and move.candidate is leader:
        return None
    if move.candidate is not None:
        return _thaw(move.candidate, outlook, _why_thawed(move, move.candidate, candidates, outlook))
    limit = None if before_final is None else min(before_final, _most_seconds(cost))
    chance = f"a chance of {move.gain.chance:.0%} to become the best"
    return Start(outlook.rung_tokens, limit, f"started a new trial: {chance}", move.prospect)


def _widen(
    candidates: Sequence[Candidate], outlook: Outlook, prospects: Sequence[Prospect], before_final: float | None
) -> Decision | None:
    most = _most_seconds(_first_rung_seconds(candidates, outlook))
    return widen(candidates, find_leader(candidates, outlook), outlook, prospects, before_final, most)


def _most_seconds(first: float) -> float:
    """Return how long a first segment may take, where the fastest of all took so long."""
    return max(SLOWEST * first, 2.0)


def _why_thawed(move: Move, thawed: Candidate, candidates: Sequence[Candidate], outlook: Outlook) -> str:
    tokens = thawed.latest.tokens
    ranking = _ranking(candidates, rung_of(tokens, outlook.rung_tokens or 1), tokens)
    place = f"{_ordinal(ranking.index(thawed) + 1)} of {len(ranking)} at {tokens:,} tokens{_tendency(thawed)}"
    horizon = int(move.gain.tokens * (outlook.rung_tokens or 1))
    return f"thawed {thawed.number}: {place}, a chance of {move.gain.chance:.0%} to be the best by {horizon:,}"


def _first_rung_seconds(candidates: Sequence[Candidate], outlook: Outlook) -> float:
    """Return the seconds of the fastest first segment, or what it would have taken where all were ended before."""
    rung, firsts = outlook.rung_tokens or 1, [c.points[0] for c in candidates if c.points]
    whole = [point.seconds for point in firsts if point.tokens >= rung]
    return min(whole or [point.seconds * rung / max(point.tokens, 1) for point in firsts], default=0.0)


def _ranking(candidates: Sequence[Candidate], rung: int, tokens: int) -> list[Candidate]:
    there = [c for c in candidates if c.points and c.state != "failed" and c.latest.tokens >= tokens]
    return sorted(there, key=lambda c: _rank(value_at(c.points, tokens), rung))


def _rank(value: tuple[float, float], rung: int) -> tuple[float, float]:
    objective, loss = value
    return (objective, loss) if rung >= OBJECTIVE_RUNG else (loss, objective)


def _finish_by_time(candidates: Sequence[Candidate], outlook: Outlook) -> Decision:
    left, total = outlook.seconds_left or 0.0, outlook.seconds_total or 0.0
    trained_out = any(c.state == "finished" for c in candidates)
    if left < (LAST_USEFUL_SHARE if trained_out else LEAST_SHARE) * total:
        return _wait_or_finish(candidates, "the time is spent")
    leader = find_leader(candidates, outlook)
    if leader is not None and leader.state == "paused":
        return _train_out(leader, left, f"the leader, over the last {left:.0f} s", fills=True)
    paused = [c for c in candidates if c.state == "paused" and c.points]
    if not paused or (outlook.workers == 1 and any(c.state == "running" for c in candidates)):
        return _wait_or_finish(candidates, "nothing is left to train out")
    runner_up = min(paused, key=lambda c: c.standing)
    waiting = [c for c in _rivals(candidates, outlook) if c.state == "paused"][: MOST_FINALISTS + 1]
    seconds = left / max(-(-len(waiting) // max(outlook.workers - 1, 1)), 1)
    return _train_out(runner_up, seconds, f"a runner-up, over {seconds:.0f} of the last {left:.0f} s", fills=True)


def _finish_by_trials(candidates: Sequence[Candidate], outlook: Outlook) -> Decision:
    if any(c.state == "running" for c in candidates):
        return Wait("nothing else can begin before a running segment ends")
    leader = find_leader(candidates, outlook)
    if leader is None or _is_trained_out(candidates, leader):
        return Finish("the trials are spent and the best is trained out")
    planned = leader.latest.tokens / tokens_per_second(leader) / 4
    seconds = planned if outlook.seconds_left is None else min(planned, outlook.seconds_left)
    return _train_out(leader, seconds, "the leader has stalled or seen enough, and nothing else is to be tried")


def _is_trained_out(candidates: Sequence[Candidate], leader: Candidate) -> bool:
    """Whether a trial that was trained out is at least as good as everything that could go on.

    What goes on in the place of such a one stands before a cooldown, and is not compared with what stands behind it.
    """
    return not leader.is_continued and any(
        c.state == "finished" and c.points and c.standing <= leader.standing for c in candidates
    )


def _thaw(candidate: Candidate, outlook: Outlook, reason: str) -> Thaw:
    assert outlook.rung_tokens is not None
    tokens = next_rung(candidate, outlook.rung_tokens)
    if _is_capped(outlook):
        tokens = min(tokens, outlook.max_tokens or tokens)
    before_final = _seconds_before_final(outlook)
    return Thaw(candidate.number, tokens, None if before_final is None else min(before_final, LONGEST), reason)


def _train_out(candidate: Candidate, seconds: float, why: str, *, fills: bool = False) -> TrainOut:
    tokens = candidate.latest.tokens + max(int(seconds * tokens_per_second(candidate) * 0.9), 1)
    return TrainOut(candidate.number, tokens, seconds, f"trains {candidate.number} out: {why}", fills)


def _may_continue(candidate: Candidate, outlook: Outlook) -> bool:
    seen_enough = _is_capped(outlook) and candidate.latest.tokens >= (outlook.max_tokens or 0)
    return not has_stalled(candidate) and not seen_enough


def _is_capped(outlook: Outlook) -> bool:
    return outlook.seconds_total is None and outlook.max_tokens is not None


def _wait_or_finish(candidates: Sequence[Candidate], reason: str) -> Decision:
    return Wait(reason) if any(c.state == "running" for c in candidates) else Finish(reason)


def _tendency(candidate: Candidate) -> str:
    points = candidate.points
    return ", still falling" if len(points) < 2 or points[-1].loss < points[-2].loss else ""


def _ordinal(place: int) -> str:
    suffix = "th" if 10 <= place % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{suffix}"
