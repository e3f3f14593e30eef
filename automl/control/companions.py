"""Companions: trials that could speak together with the winner, as an ensemble."""

from collections.abc import Iterable

from automl.control.criteria import Criteria
from automl.control.history import Trial, bests
from search_spaces.seq2seq import READING, Seq2Seq
from storage.segments import SegmentRow

MOST = 3
"""So many trials are tried beside the winner."""


def companions(
    trials: Iterable[Trial], winner: Trial, criteria: Criteria, most: int = MOST
) -> list[tuple[Trial, SegmentRow]]:
    """Return the best other trials that read and say the same tokens, each at its best, the best first.

    Branches count with their parent: models of one trial say much the same.
    """
    others = [t for t in trials if t.lineage != winner.lineage]
    return bests((t for t in others if reading(t.configuration) == reading(winner.configuration)), criteria)[:most]


def reading(configuration: Seq2Seq) -> tuple[object, ...]:
    """Return the dials that decide what tokens are."""
    return tuple(getattr(configuration, name) for name in READING)
