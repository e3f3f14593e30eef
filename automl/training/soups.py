"""Soups: the mean of the parameters that one model had at several times, where it says more of valid than its end.

Models of one run lie where the loss is convex enough that their mean is about as good as their ensemble and costs what
one costs (Izmailov et al., 2018; Wortsman et al., 2022, section 2). A metric such as the share of right rows moves by
single rows, and whoever picks the best of many means by it picks chance. So a time is taken in where the loss falls,
as long as the metric stays no worse than that of the end alone.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

Weights = Mapping[str, Any]

MOST_OPERATIONS = 2e11
"""For scoring valid once, about; where it would take more, seconds would be missing that training can use better."""

Scores = dict[str, float]


def soup(
    end: Weights,
    scores: Scores,
    others: Iterable[Weights],
    scored: Callable[[Weights], Scores],
    is_worse: Callable[[Scores, Scores], bool],
) -> tuple[Weights, Scores]:
    """Return the parameters and scores of a soup, or of the end where that stays alone.

    Args:
        end: What training ended with, arrays by name.
        scores: Of the end on valid, among them `loss`.
        others: What the same model had at other times, by the same names and of the same shapes.
        scored: Scores parameters on valid.
        is_worse: Whether the metric of the first scores is worse than that of the second ones.
    """
    mean, found, count = end, scores, 1
    for other in others:
        tried = {name: _between(np.asarray(mean[name]), other[name], 1 / (count + 1)) for name in mean}
        tried = jax.device_put(tried)  # not mixed there: each shape would be a program to compile
        tasted = scored(tried)
        if tasted["loss"] < found["loss"] and not is_worse(tasted, scores):
            mean, found, count = tried, tasted, count + 1
    return mean, found


def _between(one: Any, other: Any, share: float) -> Any:
    return one + np.float32(share) * (other - one)


def is_cheap(parameters: Weights, rows: int, positions: int) -> bool:
    """Say whether rows of so many positions can be scored several times over."""
    return 2.0 * sum(int(value.size) for value in parameters.values()) * rows * positions <= MOST_OPERATIONS
