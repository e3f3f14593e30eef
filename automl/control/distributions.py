"""The ranges of dials in Optuna's terms."""

from functools import cache
from typing import TYPE_CHECKING, assert_never

from search_spaces.dials import Choice, Uniform
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distributions(space: Space, configuration: Seq2Seq) -> "dict[str, BaseDistribution]":
    """Return the ranges behind a configuration's parameters in Optuna's terms."""
    return {path: to_distribution(dial) for path, dial in space.distributions(configuration).items()}


def to_distribution(dial: Choice | Uniform) -> "BaseDistribution":
    """Return a dial's range in Optuna's terms; the same object for the same dial."""
    return _distribution(dial, repr(dial))


@cache
def _distribution(dial: Choice | Uniform, _values: str) -> "BaseDistribution":
    # The text tells dials apart that are equal and are not the same: (0, 1) and (False, True).
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    match dial:
        case Choice(values):
            return CategoricalDistribution(values)
        case Uniform(low, high, log):
            return FloatDistribution(low, high, log=log)
        case other:
            assert_never(other)
