"""The ranges of dials in Optuna's terms."""

from functools import cache
from typing import TYPE_CHECKING, assert_never

from search_spaces.dials import Choice, Uniform, Value
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    Dials = tuple[dict[str, Value], dict[str, BaseDistribution]]
    """Parameters of a configuration and the ranges behind them."""


class Ranges:
    """The ranges behind the dials of a space, worked out once for all configurations that have the same dials."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._of_path: dict[str, BaseDistribution] = {}
        self._of_paths: dict[tuple[str, ...], dict[str, BaseDistribution]] = {}

    def dials(self, configuration: Seq2Seq) -> "Dials":
        """Return the parameters of a configuration, by path, and their ranges by the same names."""
        parameters = self._space.parameters(configuration)
        paths = tuple(parameters)
        if paths not in self._of_paths:
            if not self._of_path.keys() >= parameters.keys():
                self._of_path |= distributions(self._space, configuration)
            self._of_paths[paths] = {path: self._of_path[path] for path in paths}
        return parameters, self._of_paths[paths]


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
