"""Finishing: how the winner decodes, tried on valid in the time that is left."""

import math
from collections.abc import Callable, Mapping

from automl.control.criteria import Criteria
from automl.metrics import Metric, TextMetric
from search_spaces.decoding import Beam, Decoding, Greedy
from storage.segments import SegmentRow

BEAMS = (Beam(4, 1.0), Beam(4, 0.6), Beam(8, 1.0))
"""What is tried, in this order."""
LIKELIEST = (Beam(4, 0.0),)
"""What is tried where exact matches count: by a model's own beliefs the likeliest output is right most often."""
BY_EXACT_MATCH = ("sequence_error_rate", "exact_match", "accuracy")
RANKED = ("mean_average_precision", "mean_average_precision_50")
"""What needs the probability of each token, which a beam does not give."""
COMPILING = 10.0
"""Seconds that a beam may take to compile."""

Measure = Callable[[Decoding], Mapping[str, float] | None]


def finish(
    segment: SegmentRow,
    criteria: Criteria,
    measure: Measure,
    left: Callable[[], float | None],
    test_share: float = 1.0,
) -> tuple[Decoding, dict[str, float]]:
    """Return how a winner decodes, and its scores on valid so decoded: greedy where no beam gains anything.

    Args:
        segment: Where the winner stands.
        criteria: What it is judged by. A beam is not tried where the objective asks for no decoding, is perfect, where
            there are several, or where something that is measured, as latency, has a limit.
        measure: Decodes valid and returns the scores, if it can.
        left: Seconds that are left, none without a limit. A beam takes as long as its size times the greedy decoding
            of valid, which is timed where no score had to be decoded, and test has to be decoded afterwards.
        test_share: Sources of test for each of valid. A beam is not taken that has been so slow that test would not be
            decoded by it in time.
    """
    best: Decoding = Greedy()
    scores, metric = dict(segment.scores), criteria.metric
    beams = beams_of(metric)
    if not beams or criteria.others or criteria.limits or not might_be_better(metric, scores):
        return best, scores
    greedy = segment.seconds.get("evaluating", 0.0) if is_searched(metric) else _timed(measure, left)
    for beam in beams:
        before = left()
        if before is not None and before < COMPILING + (1 + test_share) * beam.beam * greedy:
            break
        found, after = measure(beam), left()
        if not found or (before is not None and after is not None and after < test_share * (before - after)):
            break
        if metric.name in found and metric.better(found[metric.name], scores[metric.name]):
            best, scores = beam, {**scores, **found}
    return best, scores


def _timed(measure: Measure, left: Callable[[], float | None]) -> float:
    """Return the seconds that valid takes to be decoded greedily, once that is compiled; infinite if time is short."""
    took = 0.0
    for _ in range(2):
        before = left()
        if before is None:
            return 0.0
        if before < COMPILING + took or not measure(Greedy()):
            return math.inf
        took = before - (left() or 0.0)
    return took


def beams_of(metric: Metric) -> tuple[Beam, ...]:
    """Return the beams that are tried for an objective."""
    if is_searched(metric):
        return BEAMS
    return LIKELIEST if metric.name in BY_EXACT_MATCH else ()


def is_searched(metric: Metric) -> bool:
    """Say whether an objective has to be decoded for, and several beams are worth trying."""
    return isinstance(metric, TextMetric) and metric.name not in (*BY_EXACT_MATCH, *RANKED)


def might_be_better(metric: Metric, scores: Mapping[str, float]) -> bool:
    """Say whether a score leaves anything to gain."""
    return metric.perfect is None or scores.get(metric.name) != metric.perfect
