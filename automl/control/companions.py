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
    """Return the best other trials that read and say the same tokens, each at its best, the best first.

    Branches count with their parent: models of one trial say much the same.
    """
    others: dict[int, list[Trial]] = {}
    for trial in trials:
        if trial.lineage != winner.lineage and reading(trial.configuration) == reading(winner.configuration):
            others.setdefault(trial.lineage, []).append(trial)
    found = [pair for lineage in others.values() if (pair := best(lineage, criteria)) is not None]
    return sorted(found, key=lambda pair: criteria.standing(pair[1].scores))[:most]


def reading(configuration: Seq2Seq) -> tuple[object, ...]:
    """Return the dials that decide what tokens are."""
    return tuple(getattr(configuration, name) for name in READING)
