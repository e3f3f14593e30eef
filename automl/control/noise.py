"""Whether two scores on valid differ by more than its rows would let them by chance."""

from collections.abc import Iterable, Mapping
from math import inf, sqrt

from automl.control import history
from automl.control.criteria import Criteria
from automl.control.history import Trial

SHARES = ("sequence_error_rate", "exact_match", "accuracy")
"""Scores that are shares of rows, so that their deviation is that of a binomial."""
APART = 1.96
"""Standard deviations of their difference by which two scores must differ."""


def deviation(name: str, scores: Mapping[str, float], rows: int) -> float | None:
    """Return the standard deviation of a score on so many rows; nothing where it was not measured."""
    if name in SHARES:
        share = scores[name]
        return sqrt(max(share * (1 - share), 0.0) / max(rows, 1))
    return scores.get("deviation")


def noise_between(trials: Iterable[Trial], criteria: Criteria, rows: int) -> str:
    """Say in one sentence that the best trial and the next are within noise of each other; empty where they are not.

    Both have seen the same rows, so that models that err on the same ones differ more surely than is counted here.
    """
    everything, name = list(trials), criteria.metric.name
    first = history.best(everything, criteria)
    second = history.best([t for t in everything if first is None or t.lineage != first[0].lineage], criteria)
    if first is None or second is None or not all(criteria.is_measured(pair[1].scores) for pair in (first, second)):
        return ""
    found = [deviation(name, pair[1].scores, rows) for pair in (first, second)]
    known = [each for each in found if each is not None]
    if not known:
        return ""
    spread = sqrt(sum((known[0] if each is None else each) ** 2 for each in found))
    better, worse = (pair[1].scores.get(name, inf) for pair in (first, second))
    if abs(better - worse) > APART * spread:
        return ""
    numbers = [pair[0].row.number for pair in (first, second)]
    return (
        f"trial {numbers[0]} ({name} {better:.4g}) and trial {numbers[1]} ({worse:.4g}) are within noise of each other "
        f"on {rows:,} rows of valid"
    )
