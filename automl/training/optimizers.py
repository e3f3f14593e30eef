"""Optimizers: one update for all kinds, whose kind and dials are data.

All keep the same state, a first and a second moment of each parameter, so that a checkpoint has one form.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from automl.models.parameters import Form, Parameters
from automl.training.directions import adafactor, adamw, lion, muon
from automl.training.schedules import Pace
from automl.training.stacks import Matrices, Sizes, Stack, stacks_of
from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon, Optimizer
from search_spaces.seq2seq import Seq2Seq

OPTIMIZERS: tuple[type[Optimizer], ...] = (AdamW, Lion, Adafactor, Muon)
Arrays = dict[str, Array]


class Moments(NamedTuple):
    """The state of every optimizer."""

    first: Mapping[str, Float[Array, "..."]]
    second: Mapping[str, Float[Array, "..."]]


class Recipe(NamedTuple):
    """The dials of a trial that are data to its program, but for those of its pace; `kind` counts `OPTIMIZERS`."""

    kind: Int[Array, ""]
    weight_decay: Float[Array, ""]
    clipping: Float[Array, ""]
    label_smoothing: Float[Array, ""]

    @staticmethod
    def of(configuration: Seq2Seq) -> "Recipe":
        """Return the dials of a configuration."""
        optimizer = configuration.optimizer
        dials = (optimizer.weight_decay, configuration.clipping, configuration.label_smoothing)
        values: tuple[Any, ...] = (np.int32(OPTIMIZERS.index(type(optimizer))), *map(np.float32, dials))
        return Recipe(*values)


def initial_moments(parameters: Parameters) -> Moments:
    """Return the state at step 0."""
    return Moments(*({name: jnp.zeros_like(value) for name, value in parameters.items()} for _ in range(2)))


def updated(
    parameters: Parameters,
    gradients: Parameters,
    moments: Moments,
    pace: Pace,
    recipe: Recipe,
    forms: Mapping[str, Form],
    *,
    sizes: Sizes | None = None,
    kind: type[Optimizer] | None = None,
) -> tuple[Arrays, Moments]:
    """Return parameters and state after a step; gradients are clipped to a global norm (Pascanu et al., 2013).

    Args:
        parameters: Arrays by path.
        gradients: Those of the mean loss of a token.
        moments: The state.
        pace: The numbers of this step.
        recipe: Dials; those of a model are not read.
        forms: What each parameter is.
        sizes: True sizes where arrays are padded.
        kind: The recipe's kind where a program shall know no other one, and then has no switch.
    """
    clip = recipe.clipping / jnp.maximum(optax.tree.norm(dict(gradients)), recipe.clipping)
    numbers = {name: pace.matrices if forms[name].kind == "matrix" else pace.rest for name in parameters}
    first, second, ways = {}, {}, {}
    for name, own in numbers.items():
        gradient = clip * gradients[name]
        ways[name] = own.old * moments.first[name] + own.new * gradient
        first[name] = own.keep_first * moments.first[name] + (1 - own.keep_first) * gradient
        second[name] = own.keep_second * moments.second[name] + (1 - own.keep_second) * jnp.square(gradient)
    seen = Seen(parameters, ways, second, {name: own.correction for name, own in numbers.items()})
    directions = _directions(seen, recipe.kind if kind is None else kind, stacks_of(parameters, forms, sizes))
    moved = {}
    for name, value in parameters.items():
        decay = recipe.weight_decay if forms[name].kind == "matrix" else 0.0
        moved[name] = value - numbers[name].rate * (directions[name] + decay * value)
    return moved, Moments(first, second)


class Seen(NamedTuple):
    """What a direction depends on, by path.

    Attributes:
        parameters: Before the step.
        ways: Gradients, with as much of the first moment as the optimizer mixes in.
        second: Second moments with this gradient.
        corrections: What those are multiplied by to be without bias.
    """

    parameters: Parameters
    ways: Parameters
    second: Parameters
    corrections: Mapping[str, Float[Array, ""]]


def _directions(seen: Seen, kind: type[Optimizer] | Int[Array, ""], stacks: Sequence[Stack]) -> Arrays:
    """Return a direction by path; AdamW and Lion have it element by element, the others from whole matrices."""

    def is_(other: type[Optimizer]) -> bool | Array:
        return kind is other if isinstance(kind, type) else kind == OPTIMIZERS.index(other)

    of_matrices = _by_stack(seen, kind, stacks)
    directions = {}
    for stack, matrices in zip(stacks, of_matrices, strict=True):
        whole = is_(Adafactor) | is_(Muon) if stack.kind == "matrix" else is_(Adafactor)
        for name, array in stack.arrays(matrices).items():
            way = seen.ways[name]
            single = _pick(is_(Lion), lion(way), adamw(way, seen.second[name], seen.corrections[name]))
            directions[name] = _pick(whole, array, single)
    return directions


def _by_stack(seen: Seen, kind: type[Optimizer] | Int[Array, ""], stacks: Sequence[Stack]) -> list[Matrices]:
    def of(kind: type[Optimizer], seen: Seen) -> list[Matrices]:
        match kind.__name__:
            case "Adafactor":
                return adafactor(stacks, seen.parameters, seen.ways, seen.second)
            case "Muon":
                return muon(stacks, seen.ways)
            case _:
                return [jnp.zeros((len(stack.growth), *stack.sides), stack.growth.dtype) for stack in stacks]

    if isinstance(kind, type):
        return of(kind, seen)
    switched: list[Matrices] = jax.lax.switch(kind, [partial(of, each) for each in OPTIMIZERS], seen)
    return switched


def _pick(condition: bool | Bool[Array, ""], one: Array, other: Array) -> Array:
    if isinstance(condition, bool):
        return one if condition else other
    return jnp.where(condition, one, other)
