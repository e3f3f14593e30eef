"""Companions: trials that could speak together with the winner, as an ensemble."""

from collections.abc import Iterable

from automl.control.criteria import Criteria
from automl.control.history import Trial, best
from search_spaces.seq2seq import READING, Seq2Seq
from storage.segments import SegmentRow

MOST = 3
"""So many trials are tried beside the winner."""


def companions(
    trials: Iterable[Trial], winner: Trial, criteria: Criteria, most: int = MOST
) -> list[tuple[Trial, SegmentRow]]:
    """Return the best other trials that read and say the same tokens, each at its best, the best first."""
    alike = [t for t in trials if t is not winner and reading(t.configuration) == reading(winner.configuration)]
    found = [pair for trial in alike if (pair := best([trial], criteria)) is not None]
    return sorted(found, key=lambda pair: criteria.standing(pair[1].scores))[:most]


def reading(configuration: Seq2Seq) -> tuple[object, ...]:
    """Return the dials that decide what tokens are."""
    return tuple(getattr(configuration, name) for name in READING)
