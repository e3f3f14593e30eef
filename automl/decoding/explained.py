"""Explained: what a model makes of a target, by the names of its tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.data.tokenizers import EOS
from automl.decoding.answers import Thoughts


@dataclass(frozen=True)
class Explained:
    """What a model makes of a target, token by token, the end last; probabilities are of all that might be said.

    Attributes:
        output: The target as text.
        weights: Where the model looked: a row for each target token, a column for each source token.
        confidence: Probability of each target token after those before it.
        copied: Share of that which is from copying the token from the source.
        likeliest: What was likeliest in its place, and `highest` how likely.
    """

    output: str
    source: Sequence[str]
    target: Sequence[str]
    weights: NDArray[np.float32]
    confidence: NDArray[np.float32]
    copied: NDArray[np.float32]
    likeliest: Sequence[str]
    highest: NDArray[np.float32]


def explained(output: str, source: list[str], target: list[int], of: Thoughts, names: Mapping[int, str]) -> Explained:
    """Return what a model makes of a target, from the thoughts of its row.

    Args:
        output: The target as text.
        source: Names of the source tokens.
        target: Ids of its tokens, without the end.
        of: Arrays that may be longer than the target.
        names: Of all target tokens.
    """
    length = len(target) + 1
    confidence, weights = np.exp(np.asarray(of.scores)[:length]), np.asarray(of.weights)
    return Explained(
        output,
        source,
        [names[token] for token in (*target, EOS)],
        weights[:length, : len(source)],
        confidence,
        np.asarray(of.copied)[:length],
        [names[int(token)] for token in of.likeliest[:length]],
        np.exp(np.asarray(of.highest)[:length]),
    )
