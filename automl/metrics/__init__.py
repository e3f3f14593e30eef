"""Scores of predicted texts against the acceptable ones, and of the likelihood of these."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import get_args

from automl.errors import InputError
from automl.metrics.detections import mean_average_precision, mean_average_precision_50, signature
from automl.metrics.edits import (
    character_error_rate,
    exact_match,
    sequence_error_rate,
    token_error_rate,
    word_error_rate,
)
from automl.metrics.labels import macro_f1
from automl.metrics.likelihoods import bits_per_character, bits_per_token, perplexity
from automl.metrics.overlaps import (
    RougeMetric,
    SacrebleuMetric,
    corpus_score,
    rouge_score,
    rouge_signature,
    sacrebleu_signature,
)
from automl.metrics.scores import Direction, Likelihood, LikelihoodMetric, Metric, References, TextMetric, Tokenize

__all__ = [
    "METRICS",
    "PER_TOKEN",
    "Likelihood",
    "LikelihoodMetric",
    "Metric",
    "TextMetric",
    "Tokenize",
    "metric",
    "misplaced",
]

PER_TOKEN = {
    "token_error_rate": "character_error_rate or word_error_rate",
    "perplexity": "bits_per_character",
    "bits_per_token": "bits_per_character",
}
"""Metrics that mean something else for other target tokens → what to use instead."""


OF_BOXES = ("mean_average_precision_50", "mean_average_precision")
"""What boxes are scored by, and nothing else is."""


def _sacrebleu(name: SacrebleuMetric) -> TextMetric:
    bounds = (100.0, 0.0) if name == "ter" else (0.0, 100.0)
    direction: Direction = "minimize" if name == "ter" else "maximize"
    return TextMetric(name, direction, *bounds, partial(corpus_score, name), partial(sacrebleu_signature, name))


def _rouge(name: RougeMetric) -> TextMetric:
    return TextMetric(name, "maximize", 0.0, 100.0, partial(rouge_score, name), partial(rouge_signature, name))


METRICS: Mapping[str, Metric] = {
    entry.name: entry
    for entry in (
        TextMetric("sequence_error_rate", "minimize", 1.0, 0.0, sequence_error_rate, weighted=True),
        TextMetric("token_error_rate", "minimize", 1.0, 0.0, token_error_rate, weighted=True),
        TextMetric("word_error_rate", "minimize", 1.0, 0.0, word_error_rate, weighted=True),
        TextMetric("character_error_rate", "minimize", 1.0, 0.0, character_error_rate, weighted=True),
        TextMetric("exact_match", "maximize", 0.0, 1.0, exact_match, weighted=True),
        TextMetric("accuracy", "maximize", 0.0, 1.0, exact_match, weighted=True),
        TextMetric("macro_f1", "maximize", 0.0, 1.0, macro_f1),
        *map(_sacrebleu, get_args(SacrebleuMetric)),
        *map(_rouge, get_args(RougeMetric)),
        TextMetric("mean_average_precision", "maximize", 0.0, 1.0, mean_average_precision, signature),
        TextMetric("mean_average_precision_50", "maximize", 0.0, 1.0, mean_average_precision_50, signature),
        LikelihoodMetric("perplexity", "minimize", None, 1.0, perplexity),
        LikelihoodMetric("bits_per_token", "minimize", None, 0.0, bits_per_token),
        LikelihoodMetric("bits_per_character", "minimize", None, 0.0, bits_per_character),
    )
}


def metric(name: str) -> Metric:
    """Find a metric by name.

    Raises:
        InputError: There is none of that name.
    """
    if name in METRICS:
        return METRICS[name]
    close = get_close_matches(name, METRICS, n=1, cutoff=0)
    raise InputError(f"metric {name!r} is not known; did you mean {close[0]!r}? There are {', '.join(METRICS)}")


def misplaced(names: Iterable[str], usual: Sequence[str], *, boxes: bool) -> str | None:
    """Say which metric does not score what is said, boxes or not, and what would; costs go with all."""
    for name in names:
        if name in METRICS and (name in OF_BOXES) != boxes:
            right = " or ".join(OF_BOXES if boxes else usual)
            return f"{name} {'does not score boxes' if boxes else 'scores boxes alone'}; use {right}"
    return None


def signatures(names: Iterable[str], references: References) -> dict[str, str]:
    """Return how packages have scored these references, for the metrics that have a signature."""
    found = ((name, METRICS[name]) for name in names)
    return {
        name: entry.signature(references) for name, entry in found if isinstance(entry, TextMetric) and entry.signature
    }
