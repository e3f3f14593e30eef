"""Metrics of the likelihood of the right texts."""

import math

from automl.metrics.scores import Likelihood


def perplexity(found: Likelihood) -> float:
    """Return how many tokens, equally likely, would be as hard to guess as each token was: e to the nats a token."""
    return math.exp(min(found.nats / max(found.tokens, 1), 700.0))


def bits_per_token(found: Likelihood) -> float:
    """Return the bits that a token takes, ends included."""
    return found.nats / max(found.tokens, 1) / math.log(2)


def bits_per_character(found: Likelihood) -> float:
    """Return the bits that a Unicode character takes, whatever tokens are; the end of a text counts as a character."""
    return found.nats / max(found.characters, 1) / math.log(2)
