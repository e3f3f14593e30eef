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
from automl.training.layout import ENCODER, Layout
from automl.training.matrices import Number, Sizes, Stack, stacked
from automl.training.schedules import Pace
from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon, Optimizer
from search_spaces.seq2seq import Seq2Seq

OPTIMIZERS: tuple[type[Optimizer], ...] = (AdamW, Lion, Adafactor, Muon)
ELEMENTWISE = (AdamW, Lion)
Arrays = dict[str, Array]


class Moments(NamedTuple):
    """The state of every optimizer."""

    first: Mapping[str, Float[Array, "..."]]
    second: Mapping[str, Float[Array, "..."]]


FREE: Any = np.bool_(False)
NO_RANK: Any = np.int32(0)
NO_SCALE: Any = np.float32(0)


class Recipe(NamedTuple):
    """The dials of a trial that are data to its program, but for those of its pace; `kind` counts `OPTIMIZERS`.

    `held` says that the encoder stays as it is; `rank` and `scale` are those of what is added to matrices.
    """

    kind: Int[Array, ""]
    weight_decay: Float[Array, ""]
    clipping: Float[Array, ""]
    label_smoothing: Float[Array, ""]
    held: Bool[Array, ""] = FREE
    rank: Int[Array, ""] = NO_RANK
    scale: Float[Array, ""] = NO_SCALE

    @staticmethod
    def of(configuration: Seq2Seq) -> "Recipe":
        """Return the dials of a configuration."""
        optimizer = configuration.optimizer
        dials = (optimizer.weight_decay, configuration.clipping, configuration.label_smoothing)
        held, rank = np.bool_(configuration.tuned == "decoder"), configuration.lora_rank
        added = np.int32(rank), np.float32(configuration.lora_alpha / rank)
        values: tuple[Any, ...] = (np.int32(OPTIMIZERS.index(type(optimizer))), *map(np.float32, dials), held, *added)
        return Recipe(*values)


def kept(new: Parameters, old: Parameters, recipe: Recipe) -> Arrays:
    """Return new values of parameters, and the old ones of the encoder where the recipe holds it."""
    return {
        name: jnp.where(recipe.held, old[name], value) if name.startswith(ENCODER) else value
        for name, value in new.items()
    }


def initial_moments(parameters: Parameters) -> Moments:
    """Return the state at step 0."""
    return Moments(*({name: jnp.zeros_like(value) for name, value in parameters.items()} for _ in range(2)))


def updated(
    parameters: Parameters,
    gradients: Parameters,
    moments: Moments,
    pace: Pace,
    recipe: Recipe,
    layout: Layout,
    *,
    sizes: Sizes | None = None,
    kinds: Sequence[type[Optimizer]] = OPTIMIZERS,
) -> tuple[Arrays, Moments]:
    """Return parameters and state after a step; gradients are clipped to a global norm (Pascanu et al., 2013).

    Args:
        parameters: The arrays of the layout.
        gradients: Those of the mean loss of a token.
        moments: The state.
        pace: The numbers of this step.
        recipe: Dials; those of a model are not read.
        layout: Which parameters lie in which array.
        sizes: True sizes where parameters are padded.
        kinds: Those that the recipe may be of; of one alone, the program has no switch.
    """
    clip = recipe.clipping / jnp.maximum(optax.tree.norm(dict(gradients)), recipe.clipping)
    clipped = {name: clip * gradient for name, gradient in gradients.items()}
    return stepped(parameters, clipped, moments, pace, recipe, layout, sizes=sizes, kinds=kinds)


def stepped(
    parameters: Parameters,
    gradients: Parameters,
    moments: Moments,
    pace: Pace,
    recipe: Recipe,
    layout: Layout,
    *,
    sizes: Sizes | None = None,
    kinds: Sequence[type[Optimizer]] = OPTIMIZERS,
) -> tuple[Arrays, Moments]:
    """Return what `updated` does, from gradients that are clipped already; the parameters may be some of a model's."""
    forms = layout.kinds
    numbers = {name: pace.matrices if forms[name].kind == "matrix" else pace.rest for name in parameters}
    first, second, ways = {}, {}, {}
    for name, own in numbers.items():
        gradient = gradients[name]
        ways[name] = own.old * moments.first[name] + own.new * gradient
        first[name] = own.keep_first * moments.first[name] + (1 - own.keep_first) * gradient
        second[name] = own.keep_second * moments.second[name] + (1 - own.keep_second) * jnp.square(gradient)
    seen = Seen(parameters, ways, second, {name: own.correction for name, own in numbers.items()})
    directions = _directions(layout, sizes, seen, recipe.kind, kinds)
    moved = {}
    for name, value in parameters.items():
        decay = recipe.weight_decay if forms[name].kind == "matrix" else 0.0
        moved[name] = value - numbers[name].rate * (directions[name] + decay * value)
    return moved, Moments(first, second)


def _size(sizes: Sizes | None, name: str) -> tuple[Number, Number] | None:
    return None if sizes is None else sizes.get(name, (0, 0))


class Seen(NamedTuple):
    """What a direction depends on, by array.

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


def _directions(
    layout: Layout, sizes: Sizes | None, seen: Seen, kind: Int[Array, ""], kinds: Sequence[type[Optimizer]]
) -> Arrays:
    def of(kind: type[Optimizer], seen: Seen) -> Arrays:
        whole = [name for name in seen.ways if _is_elementwise(kind, layout.kinds[name])]
        found = {name: _elementwise(kind, seen.ways[name], seen.second[name], seen.corrections[name]) for name in whole}
        rest = layout.without(whole)
        return found | rest.packed(_of_matrices(kind, rest, sizes, seen))

    if len(kinds) == 1:
        return of(kinds[0], seen)
    place = jnp.asarray([kinds.index(each) if each in kinds else 0 for each in OPTIMIZERS])[kind]
    switched: Arrays = jax.lax.switch(place, [partial(of, each) for each in kinds], seen)
    return switched


def _is_elementwise(kind: type[Optimizer], form: Form) -> bool:
    """Whether directions are the same whatever the axes of parameters are, and so for many that lie end to end."""
    return kind in ELEMENTWISE or (kind is Muon and form.kind != "matrix")


def _of_matrices(kind: type[Optimizer], layout: Layout, sizes: Sizes | None, seen: Seen) -> Arrays:
    """Return the directions of parameters; matrices of one shape are one stack, and so a few operations together."""
    parameters, ways, second = map(layout.unpacked, (seen.parameters, seen.ways, seen.second))
    stacks = {name: Stack.of(layout.forms[name], layout.shapes[name], _size(sizes, name)) for name in ways}
    found: Arrays = {}
    for group in stacked(stacks, is_padded=sizes is not None):
        own = _direction(kind, group.stack, *map(group.joined, (parameters, ways, second)))
        found |= group.parted(own)
    return found


def _direction(kind: type[Optimizer], stack: Stack, parameter: Array, way: Array, second: Array) -> Array:
    return muon(stack, way) if kind is Muon else adafactor(stack, parameter, way, second)


def _elementwise(kind: type[Optimizer], way: Array, second: Array, correction: Array) -> Array:
    return lion(way) if kind is Lion else adamw(way, second, correction)
