"""Where trials stand against each other, as proposals see them."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import is_not

from automl.control.fronts import crowding, layers
from search_spaces.seq2seq import Seq2Seq

MOST_ROWS = 300
"""Trials that a sampler learns from."""
MANY = 16
"""Where one score in so many has changed, all are sorted anew."""

Rank = tuple[tuple[float, ...], int]
"""What sorts a score, and its place, which sorts equal ones."""


@dataclass(frozen=True)
class Score:
    """Where a trial stands: its rung, and its latest objective and loss there, both lower is better.

    Attributes:
        others: Further objectives, likewise.
        excess: By which share it is over a limit.
        is_measured: Whether its objectives were; else they are assumed to be at their worst, and the loss says more.
    """

    rung: int
    objective: float
    loss: float
    others: tuple[float, ...] = ()
    excess: float = 0.0
    is_measured: bool = True

    @property
    def rank(self) -> tuple[float, ...]:
        """What sorts scores of one objective: lower is better."""
        return (self.excess, -self.rung, not self.is_measured, self.objective, self.loss)


@dataclass(frozen=True)
class Tried:
    """A trial so far; without a score it is in its first segment, or has failed."""

    configuration: Seq2Seq
    score: Score | None = None
    failed: bool = False


def ordered(scores: Sequence[Score]) -> list[int]:
    """Return the places of scores, the best first.

    A higher rung is better, and within the limits; then the objective counts, then the loss. Where there are several
    objectives, fronts count on each rung, and on a front the room that a score has to itself; the loss takes the place
    of the first objective on a rung where that was not measured of all.
    """
    ranks = [score.rank for score in scores]
    rungs: dict[int, list[int]] = defaultdict(list)
    for place, score in enumerate(scores):
        if score.others:
            rungs[score.rung].append(place)
    for places in rungs.values():
        whole = all(scores[place].is_measured for place in places)
        firsts = [scores[place].objective if whole else scores[place].loss for place in places]
        values = [(first, *scores[place].others) for first, place in zip(firsts, places, strict=True)]
        fronts = layers(values)
        room = {n: iter(crowding([v for v, f in zip(values, fronts, strict=True) if f == n])) for n in set(fronts)}
        for place, number in zip(places, fronts, strict=True):
            ranks[place] = (scores[place].excess, -scores[place].rung, number, -next(room[number]))
    return sorted(range(len(scores)), key=ranks.__getitem__)


class Standings:
    """The order of scores, kept from one question to the next: of thousands only a few have changed meanwhile."""

    def __init__(self) -> None:
        self._scores: list[Score] = []
        self._ranks: list[Rank] = []
        self._sorted: list[Rank] = []
        self._places: list[int] = []

    def ordered(self, scores: Sequence[Score]) -> list[int]:
        """Return what `ordered` returns."""
        if any(score.others for score in scores[:1]):
            return ordered(scores)
        kept = min(len(scores), len(self._scores))
        changed = list(compress(range(kept), map(is_not, scores, self._scores)))
        gone, new = [*changed, *range(kept, len(self._scores))], [*changed, *range(kept, len(scores))]
        if len(gone) + len(new) > len(scores) // MANY:
            self._sort(scores)
        else:
            self._move(gone, {place: scores[place].rank for place in new})
        self._scores = list(scores)
        return list(self._places)

    def _sort(self, scores: Sequence[Score]) -> None:
        self._ranks = [(score.rank, place) for place, score in enumerate(scores)]
        self._sorted = sorted(self._ranks)
        self._places = [place for _, place in self._sorted]

    def _move(self, gone: Sequence[int], new: Mapping[int, tuple[float, ...]]) -> None:
        """Take places out, and put others, or the same, where they stand now."""
        for place in gone:
            at = bisect_left(self._sorted, self._ranks[place])
            del self._sorted[at], self._places[at]
        del self._ranks[len(self._ranks) - sum(place not in new for place in gone) :]
        for place, rank in new.items():
            self._ranks[place : place + 1] = [(rank, place)]
            at = bisect_left(self._sorted, (rank, place))
            self._sorted.insert(at, (rank, place))
            self._places.insert(at, place)


def informative(scores: Sequence[Score], places: Sequence[int] | None = None) -> dict[int, int]:
    """Rank scores on one scale, the best first; returns the rank of each by its place, equal ones share the last.

    Of very many the best half of the places is kept, and an even sample of the rest.

    Args:
        places: What `ordered` says of the scores, where it is known.
    """
    places = ordered(scores) if places is None else places
    ranks = list(range(len(places)))
    if len(places) > MOST_ROWS:
        half = MOST_ROWS // 2
        ranks = ranks[:half] + [half + i * (len(places) - half) // half for i in range(half)]
    found: dict[int, int] = {}
    for rank in ranks:
        found[places[rank]] = rank
        for alike in (*_alike(scores, places, rank, -1), *_alike(scores, places, rank, 1)):
            found[alike] = rank
    return found


def _alike(scores: Sequence[Score], places: Sequence[int], rank: int, step: int) -> Iterator[int]:
    """Yield the places beside a rank, on one side, whose scores are the same."""
    beside = rank + step
    while 0 <= beside < len(places) and scores[places[beside]] == scores[places[rank]]:
        yield places[beside]
        beside += step
