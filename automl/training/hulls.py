"""Hulls: the one model in whose program trials of the same kinds train together, whatever their sizes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.models.facts import encoded, facts
from automl.models.parameters import Declared, cut, declared, laid, padded, true_shapes
from automl.models.seq2seq import Seq2Seq
from automl.training.adaptation import factors, is_adapted
from automl.training.optimizers import Moments
from automl.training.signature import signature
from automl.training.steps import TrainState
from search_spaces import seq2seq as spaces
from search_spaces.hulls import ends, is_usual


@dataclass(frozen=True)
class Hull:
    """A model that can be each of some configurations, which differ in widths and numbers of layers.

    Attributes:
        members: The narrowest and the widest of them, or the one that there is; their recipe is the default.
        source_vocabulary: Number of source tokens.
        target_vocabulary: Number of target tokens.
    """

    members: tuple[spaces.Seq2Seq, ...]
    source_vocabulary: int
    target_vocabulary: int

    @staticmethod
    def of(configuration: spaces.Seq2Seq, source_vocabulary: int, target_vocabulary: int) -> "Hull":
        """Return the hull that a configuration trains in; one of unusual sizes has its own."""
        alone = signature(configuration, source_vocabulary, target_vocabulary, 0).configuration
        hull = Hull(ends(alone), source_vocabulary, target_vocabulary)
        return hull if hull._holds(alone) else Hull((alone,), source_vocabulary, target_vocabulary)

    @cached_property
    def model(self) -> Seq2Seq:
        """The model, its parameters still shapes."""
        return Seq2Seq(self.members, self.source_vocabulary, self.target_vocabulary)

    def true(self, configuration: spaces.Seq2Seq) -> Seq2Seq:
        """Return the model of one configuration alone."""
        return Seq2Seq(configuration, self.source_vocabulary, self.target_vocabulary)

    def given(self, configuration: spaces.Seq2Seq) -> Mapping[str, NDArray[np.int32]]:
        """Return the facts that make the hull compute what a configuration's own model would."""
        return {
            path: np.asarray(n, np.int32) for path, n in encoded(self.model, facts(self.true(configuration))).items()
        }

    def sizes(self, configuration: spaces.Seq2Seq) -> Mapping[str, tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Return rows and columns that a configuration's own parameters have; of what it does not have, 0."""
        own = true_shapes(self.true(configuration))
        pairs = {path: own.get(path, (0, 0)) for path in true_shapes(self.model)}
        return {
            path: (np.asarray(rows, np.int32), np.asarray(columns, np.int32)) for path, (rows, columns) in pairs.items()
        }

    def laid(self, state: TrainState, configuration: spaces.Seq2Seq) -> TrainState:
        """Return the state of a configuration's own model laid into the hull's arrays; the rest is 0."""
        return _mapped(state, self.true(configuration), self.model, laid)

    def padded(self, values: Mapping[str, Any], configuration: spaces.Seq2Seq) -> Mapping[str, Any]:
        """Return a configuration's own parameters laid into the hull's arrays; the rest is 0."""
        return padded({path: np.asarray(own) for path, own in values.items()}, self.true(configuration), self.model)

    def cut(self, state: TrainState, configuration: spaces.Seq2Seq) -> TrainState:
        """Return the state that was laid into the hull's arrays."""
        return _mapped(state, self.true(configuration), self.model, cut)

    def empty(self, *, adapted: bool = False) -> TrainState:
        """Return a state in which nothing lies; one of factors if it is to be `adapted`."""
        whole: Any = _zeros(declared(self.model))
        own: Any = _zeros(factors(self.model)) if adapted else whole
        nothing: Any = (own, Moments(own, own), whole, np.zeros((), np.int32))
        return TrainState(*nothing)

    def _holds(self, configuration: spaces.Seq2Seq) -> bool:
        try:
            given = encoded(self.model, facts(self.true(configuration)))
        except ValueError:  # a kind, such as a bridge between sizes, that neither end of the range has
            return False
        return len(given) > 0 and is_usual(configuration)


def _mapped(state: TrainState, true: Seq2Seq, larger: Seq2Seq, change: Any) -> TrainState:
    """Change all arrays of a state by what is declared of a model and of a larger one."""
    whole: list[Declared] = [declared(true), declared(larger)]
    own = [factors(true), factors(larger)] if is_adapted(state.parameters) else whole

    def changed(values: Mapping[str, Any], ends: list[Declared]) -> Any:
        return change({path: np.asarray(value) for path, value in values.items()}, *ends)

    moments = Moments(*(changed(each, own) for each in state.optimizer))
    return TrainState(changed(state.parameters, own), moments, changed(state.average, whole), state.step)


def _zeros(of: Declared) -> dict[str, NDArray[np.float32]]:
    return {path: np.zeros(own.get_value().shape, np.float32) for path, own in of.items()}
