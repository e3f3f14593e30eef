"""Calibration: whether a model is as often right as it is sure."""

from collections.abc import Sequence
from dataclasses import dataclass

from automl.explanation.predictions import Prediction

BINS = 10


@dataclass(frozen=True)
class Bin:
    """What was said with a confidence in `(low, high]`, 0 belonging to the first.

    Attributes:
        count: How much was.
        confidence: Mean of its confidences.
        accuracy: Share of it that was right.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How confidences and what came of them agree.

    Attributes:
        count: Number of judgements.
        error: Expected calibration error: the mean distance of accuracy and mean confidence over bins of equal width,
            each weighed by its count (Naeini et al., 2015; Guo et al., 2017, equation 3).
        bins: Those that hold something.
    """

    count: int
    error: float
    bins: Sequence[Bin]


def calibration(judged: Sequence[tuple[float, bool]], bins: int = BINS) -> Calibration:
    """Return how well confidences (0 to 1) foretell what is right."""
    members: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for confidence, right in judged:
        place = next((place for place in range(bins) if confidence <= (place + 1) / bins), bins - 1)
        members[place].append((confidence, right))
    found = [_bin(place, bins, group) for place, group in enumerate(members) if group]
    error = sum(each.count * abs(each.accuracy - each.confidence) for each in found) / max(len(judged), 1)
    return Calibration(len(judged), error, found)


def of_outputs(predictions: Sequence[Prediction]) -> Calibration:
    """Return the calibration of whole outputs: the probability of each against whether it is right."""
    return calibration([(each.probability, each.right) for each in predictions if each.right is not None])


def of_tokens(predictions: Sequence[Prediction]) -> Calibration:
    """Return the calibration of single tokens, what stands before each being right (Kumar and Sarawagi, 2019).

    Judged is what is likeliest after the tokens of the first reference so far, against its next token.
    """
    return calibration(
        [
            (highest, likeliest == token)
            for each in predictions
            if each.expected is not None
            for highest, likeliest, token in zip(
                each.expected.highest, each.expected.likeliest, each.expected.tokens, strict=True
            )
        ]
    )


def _bin(place: int, bins: int, group: Sequence[tuple[float, bool]]) -> Bin:
    confidence = sum(confidence for confidence, _ in group) / len(group)
    accuracy = sum(right for _, right in group) / len(group)
    return Bin(place / bins, (place + 1) / bins, len(group), confidence, accuracy)
