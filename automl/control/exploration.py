"""What a worker does that has no duty: the start or the thaw that is expected to gain most a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from automl.control.curves import Candidate, rung_of, smooth_scores, tokens_per_second
from automl.control.decisions import Outlook, Prospect
from automl.control.forecast import Forecast, Forecaster, Places
from automl.control.gains import Gain, Way, expected_gains

RECENT = 3
"""So many of a trial's last measurements are used: earlier ones say little that these do not."""
MOST_MEASUREMENTS = 180
"""More would not change a decision, only slow it down."""


@dataclass(frozen=True)
class Move:
    """The way chosen: a paused candidate, or a prospect by its place, with the gain that is expected of it."""

    candidate: Candidate | None
    prospect: int
    gain: Gain


def best_move(
    candidates: Sequence[Candidate],
    continuable: Sequence[Candidate],
    prospects: Sequence[Prospect],
    outlook: Outlook,
    forecaster: Forecaster,
    seconds: float | None,
) -> Move | None:
    """Return the best of going on with one of `continuable` and beginning one of `prospects`, within `seconds`."""
    unit = outlook.rung_tokens
    assert unit is not None
    forecast, best = _forecast(candidates, unit, forecaster)
    speed = median([tokens_per_second(c) for c in candidates if c.points] or [1.0])
    moves: list[tuple[Candidate | None, int, Way]] = []
    for candidate in continuable:
        moves.append((candidate, -1, _continuation(candidate, outlook, unit, seconds)))
    for place, prospect in enumerate(prospects):
        moves.append((None, place, _beginning(place, prospect, outlook, unit, seconds, speed)))
    moves = [move for move in moves if move[2].limit > move[2].tokens]
    if not moves:
        return None
    gains = expected_gains([way for _, _, way in moves], forecast, best)
    found = [Move(candidate, place, gain) for (candidate, place, _), gain in zip(moves, gains, strict=True)]
    return max(found, key=lambda move: move.gain.per_second)


def _forecast(candidates: Sequence[Candidate], unit: int, forecaster: Forecaster) -> tuple[Forecast, float]:
    """Fit the trials' curves; also return the best smooth score so far."""
    curves = smooth_scores(candidates)
    best = min(score for curve in curves.values() for _, score in curve)
    dials = {c.number: c.dials for c in candidates}
    rows = [(number, tokens / unit, score) for number in _informative(curves) for tokens, score in curves[number]]
    places = Places(
        np.array([row[0] for row in rows]),
        np.array([dials[row[0]] for row in rows], dtype=float).reshape(len(rows), -1),
        np.array([row[1] for row in rows]),
    )
    return forecaster.forecast(places, np.array([row[2] for row in rows])), best


def _informative(curves: dict[int, list[tuple[int, float]]]) -> list[int]:
    """Of very many trials the best half of what there is room for, and an even sample of the rest."""
    for number, curve in curves.items():
        curves[number] = curve[-RECENT:]
    ordered = sorted(curves, key=lambda number: curves[number][-1][1])
    room = MOST_MEASUREMENTS // RECENT
    if sum(map(len, curves.values())) <= MOST_MEASUREMENTS or len(ordered) <= room:
        return sorted(ordered)
    half, rest = ordered[: room // 2], ordered[room // 2 :]
    return sorted([*half, *(rest[i * len(rest) // (room // 2)] for i in range(room // 2))])


def _continuation(candidate: Candidate, outlook: Outlook, unit: int, seconds: float | None) -> Way:
    tokens, speed = candidate.latest.tokens / unit, tokens_per_second(candidate) / unit
    limit = _limit(tokens, speed, outlook, unit, seconds)
    stop = min(2.0 ** (rung_of(candidate.latest.tokens, unit) + 1), limit)
    return Way(candidate.number, candidate.dials, tokens, stop, limit, speed)


def _beginning(place: int, prospect: Prospect, outlook: Outlook, unit: int, seconds: float | None, usual: float) -> Way:
    speed = (prospect.tokens_per_second or usual) / unit
    left = None if seconds is None else seconds - prospect.delay
    limit = _limit(0.0, speed, outlook, unit, left)
    return Way(-1 - place, prospect.dials, 0.0, min(1.0, limit), limit, speed, prospect.delay)


def _limit(tokens: float, speed: float, outlook: Outlook, unit: int, seconds: float | None) -> float:
    if seconds is not None:
        return tokens + speed * seconds
    return outlook.max_tokens / unit if outlook.max_tokens is not None else 2.0**12
