"""Where trials stand against each other, as proposals see them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from automl.control.fronts import crowding, layers
from search_spaces.seq2seq import Seq2Seq

MOST_ROWS = 300
"""Trials that a sampler learns from."""


@dataclass(frozen=True)
class Score:
    """Where a trial stands: its rung, and its latest objective and loss there, both lower is better.

    Attributes:
        others: Further objectives, likewise.
        excess: By which share it is over a limit.
    """

    rung: int
    objective: float
    loss: float
    others: tuple[float, ...] = ()
    excess: float = 0.0


@dataclass(frozen=True)
class Tried:
    """A trial so far; without a score it is in its first segment, or has failed."""

    configuration: Seq2Seq
    score: Score | None = None
    failed: bool = False


def ordered(scores: Sequence[Score]) -> list[int]:
    """Return the places of scores, the best first.

    A higher rung is better, and within the limits; then the objective counts, then the loss. Where there are several
    objectives, fronts count on each rung, and on a front the room that a score has to itself.
    """
    ranks: list[tuple[float, ...]] = [(s.excess, -s.rung, s.objective, s.loss) for s in scores]
    rungs: dict[int, list[int]] = defaultdict(list)
    for place, score in enumerate(scores):
        if score.others:
            rungs[score.rung].append(place)
    for places in rungs.values():
        values = [(scores[place].objective, *scores[place].others) for place in places]
        fronts = layers(values)
        room = {n: iter(crowding([v for v, f in zip(values, fronts, strict=True) if f == n])) for n in set(fronts)}
        for place, number in zip(places, fronts, strict=True):
            ranks[place] = (scores[place].excess, -scores[place].rung, number, -next(room[number]))
    return sorted(range(len(scores)), key=ranks.__getitem__)


def informative(scores: Sequence[Score]) -> dict[Score, int]:
    """Rank scores on one scale, the best first.

    Of very many the best half of the places is kept, and an even sample of the rest.
    """
    places = ordered(scores)
    ranks = list(range(len(places)))
    if len(places) > MOST_ROWS:
        half = MOST_ROWS // 2
        ranks = ranks[:half] + [half + i * (len(places) - half) // half for i in range(half)]
    return {scores[places[rank]]: rank for rank in ranks}
