"""Steps of training: the loss of a batch, its gradient, also a private one, and what an optimizer makes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from automl.data.batching import Bucket
from automl.data.tokenizers import BOS, EOS, PAD
from automl.models.dropout import Noise, mixed
from automl.models.facts import bind
from automl.models.parameters import Form, Parameters, forms
from automl.models.seq2seq import Seq2Seq
from automl.training.adaptation import adapted, factor_forms, factor_sizes
from automl.training.arrays import Batch, DeviceSplit, gather
from automl.training.augmentation import Variation, arranged, filled_up, varied
from automl.training.layout import Layout
from automl.training.losses import smoothed_cross_entropy
from automl.training.matrices import Sizes
from automl.training.optimizers import Moments, Recipe, kept, stepped, updated
from automl.training.privacy import Guard, clipped_sum, noised
from automl.training.schedules import Pace
from automl.training.sharding import own_rows, summed
from search_spaces.optimizers import Optimizer


class TrainState(NamedTuple):
    """Everything that training changes; with the seed and what it began with, everything that resuming needs.

    Attributes:
        parameters: What is trained: a model's parameters, or the factors of what is added to its matrices.
        optimizer: Moments of these.
        average: The average of the model's parameters over the last steps.
        step: Steps taken.
    """

    parameters: Mapping[str, Float[Array, "..."]]
    optimizer: Moments
    average: Mapping[str, Float[Array, "..."]]
    step: Int[Array, ""]


class Chunk(NamedTuple):
    """The inputs of a few steps; the arrays are as long as those of the longest chunk.

    Attributes:
        rows: Row numbers of each batch; -1 for none.
        bounds: Where the batches of each step begin, and where those of the last one end.
        tokens: Target tokens of each step.
        pace: Numbers of each step.
        steps: How many are real.
        noise: What is dropped; the seed decides with the step and the batch.
        recipe: Dials that stay the same.
        variation: How images are varied.
        guard: What keeps the rows private, where they are to be.
    """

    rows: Int[Array, "batches batch"]
    bounds: Int[Array, "bounds"]
    tokens: Float[Array, "steps"]
    pace: Pace
    steps: Int[Array, ""]
    noise: Noise
    recipe: Recipe
    variation: Variation
    guard: Guard | None = None


def new_state(
    parameters: Mapping[str, NDArray[np.float32]], factors: Mapping[str, NDArray[np.float32]] | None = None
) -> TrainState:
    """Return the state at step 0, from a copy of the start values; where there are factors, these are trained."""
    own = dict(parameters if factors is None else factors)
    zeros: Any = {name: np.zeros_like(value) for name, value in own.items()}
    state: tuple[Any, ...] = (own, Moments(zeros, zeros), dict(parameters), np.zeros((), np.int32))
    placed: TrainState = jax.tree.map(lambda leaf: jax.device_put(leaf, may_alias=False), TrainState(*state))
    return placed


def as_trained(model: Seq2Seq, batch: Batch, variation: Variation, noise: Noise) -> tuple[Batch, Array]:
    """Return what a model is given of a batch in training, and what it is to say: images and boxes are varied."""
    source = varied(model.stem, batch.source, variation, noise)
    targets = arranged(model.stem, batch.targets, variation, noise)
    if targets is batch.targets:
        return batch._replace(source=source), targets
    filled = filled_up(model.stem, targets, variation, noise)
    return batch._replace(source=source, inputs=behind(filled.shown)), filled.said


def behind(targets: Int[Array, "batch target"]) -> Int[Array, "batch target"]:
    """Return what a model is given to say targets: each behind the begin, without its end."""
    begins = jnp.where(targets[:, :1] == PAD, PAD, BOS).astype(targets.dtype)
    return jnp.concatenate([begins, jnp.where(targets == EOS, PAD, targets)[:, :-1]], axis=1)


def further(noise: Noise, number: Int[Array, ""]) -> Noise:
    """Return the noise of a step, or of a batch of it."""
    return noise._replace(seed=mixed(noise.seed + number.astype(jnp.uint32)))


def accumulated(part: Callable[[Array], Any], nothing: Any, first: Array, last: Array) -> Any:
    """Return the sum of the parts with numbers from `first` up to `last`, each computed after the other."""
    return jax.lax.fori_loop(first, last, lambda number, sums: jax.tree.map(jnp.add, sums, part(number)), nothing)


def zeros_like(parameters: Parameters) -> dict[str, Array]:
    """Return 0 for each coordinate."""
    return {name: jnp.zeros_like(value) for name, value in parameters.items()}


def as_held(gradient: Parameters, recipe: Recipe) -> dict[str, Array]:
    """Return a gradient that leaves alone what the recipe holds."""
    return kept(gradient, zeros_like(gradient), recipe)


class Trained(NamedTuple):
    """What is trained: the parameters of a model, or the factors of what is added to them.

    Attributes:
        layout: Which of them lie in which array.
        of_model: Which of the model's parameters do.
        sizes: Their true sizes, where arrays are padded.
        whole: Returns the model's parameters from them.
    """

    layout: Layout
    of_model: Layout
    sizes: Sizes | None
    whole: Callable[[Parameters], Parameters]

    @staticmethod
    def of(
        state: TrainState,
        of_model: Mapping[str, Form],
        sizes: Sizes | None,
        base: Parameters | None,
        recipe: Recipe,
    ) -> "Trained":
        """Return what is trained of a model, by its forms and sizes, and what factors are added to if they are it."""
        model = Layout.of(state.average, of_model)
        if base is None:
            return Trained(model, model, sizes, lambda parameters: parameters)
        own = Layout.of(state.parameters, factor_forms(of_model))
        own_sizes = factor_sizes(base, of_model, sizes, recipe.rank)
        return Trained(own, model, own_sizes, lambda factors: adapted(base, factors, of_model, recipe.scale))

    def packed(self, state: TrainState) -> TrainState:
        """Return a state whose parameters lie in few arrays."""
        first, second = map(self.layout.packed, state.optimizer)
        own, average = self.layout.packed(state.parameters), self.of_model.packed(state.average)
        return TrainState(own, Moments(first, second), average, state.step)

    def unpacked(self, state: TrainState) -> TrainState:
        """Return a state whose parameters have their names."""
        first, second = map(self.layout.unpacked, state.optimizer)
        own, average = self.layout.unpacked(state.parameters), self.of_model.unpacked(state.average)
        return TrainState(own, Moments(first, second), average, state.step)

    def latest(self, arrays: Parameters) -> Parameters:
        """Return the model's parameters in their arrays, from those of what is trained."""
        if self.layout is self.of_model:
            return arrays
        return self.of_model.packed(self.whole(self.layout.unpacked(arrays)))


@dataclass(frozen=True)
class Steps:
    """The steps of a chunk.

    Attributes:
        model: The model, its parameters still shapes.
        given: Of the hull of several configurations, the facts of the one that is meant.
        trained: What is trained of it.
        kinds: The optimizers that the recipe may be of.
        bucket: The shape that the rows of batches are padded to.
        split: Where the rows are.
        chunk: Which rows, and the numbers of each step.
        on_cores: Whether these are the steps of one core, which has its own part of the rows.
    """

    model: Seq2Seq
    given: Any
    trained: Trained
    kinds: tuple[type[Optimizer], ...]
    bucket: Bucket
    split: DeviceSplit
    chunk: Chunk
    on_cores: bool

    def taken(self, state: TrainState) -> tuple[TrainState, Float[Array, "steps"]]:
        """Return the state after the steps, and the loss of each."""
        start = (self.trained.packed(state), jnp.zeros(self.chunk.tokens.shape))
        ended, losses = jax.lax.fori_loop(0, self.chunk.steps, self.step, start)
        return self.trained.unpacked(ended), losses

    def step(self, index: Int[Array, ""], carry: tuple[TrainState, Array]) -> tuple[TrainState, Array]:
        """Return the state after one step, and the losses with its own; parameters lie in the arrays of the layout."""
        now, losses = carry
        pace, recipe = jax.tree.map(lambda numbers: numbers[index], self.chunk.pace), self.chunk.recipe
        noise = further(self.noise, now.step)
        layout, own = self.trained.layout, self.trained.layout.unpacked(now.parameters)
        if self.chunk.guard is None:
            take, (loss, gradient) = updated, self.gradient(own, index, noise)
        else:  # the loss of the rows is theirs to keep, and what is clipped already is not clipped again
            take, loss, gradient = stepped, jnp.zeros(()), layout.packed(self.private_gradient(own, index, noise))
        held = as_held(gradient, recipe)
        given: dict[str, Any] = {"sizes": self.trained.sizes, "kinds": self.kinds}
        moved, moments = take(now.parameters, held, now.optimizer, pace, recipe, layout, **given)
        parameters = kept(moved, now.parameters, recipe)
        latest = self.trained.latest(parameters)
        average = {name: old + pace.average * (latest[name] - old) for name, old in now.average.items()}
        return TrainState(parameters, moments, average, now.step + 1), losses.at[index].set(loss)

    @property
    def noise(self) -> Noise:
        """What is dropped in the rows that are here."""
        return own_rows(self.chunk.noise, self.chunk.rows.shape[1]) if self.on_cores else self.chunk.noise

    def loss(
        self, parameters: Parameters, batch: Batch, noise: Noise, tokens: Float[Array, ""] | None = None
    ) -> Float[Array, ""]:
        """Return the loss of a batch, for each of so many tokens; without a number, for each of its own."""
        seen, targets = as_trained(self.model, batch, self.chunk.variation, noise)
        model = bind(self.model, self.trained.whole(parameters), self.given)
        logits = model(seen.source, seen.inputs, noise, seen.copies)
        smoothing, present = self.chunk.recipe.label_smoothing, targets != PAD
        return smoothed_cross_entropy(
            logits, targets, present, smoothing, tokens=tokens, weights=batch.weights, soft=batch.soft
        )

    def gradient(self, parameters: Parameters, index: Int[Array, ""], noise: Noise) -> tuple[Array, Any]:
        """Return the loss of a step and its gradient in the arrays of the layout, over all its batches."""
        chunk, packed = self.chunk, self.trained.layout.packed

        def part(number: Int[Array, ""]) -> tuple[Array, Any]:
            batch = gather(self.split, chunk.rows[number], self.bucket)
            own = further(noise, number - chunk.bounds[index])
            loss, gradient = jax.value_and_grad(self.loss)(parameters, batch, own, chunk.tokens[index])
            return loss, packed(gradient)

        nothing = (jnp.zeros(()), zeros_like(packed(parameters)))
        sums: tuple[Array, Any] = accumulated(part, nothing, chunk.bounds[index], chunk.bounds[index + 1])
        return summed(sums) if self.on_cores else sums

    def private_gradient(self, parameters: Parameters, index: Int[Array, ""], noise: Noise) -> Any:
        """Return the mean gradient of a step whose rows are private; each row has dropout of its own."""
        chunk, guard = self.chunk, self.chunk.guard
        assert guard is not None

        def of_one(parameters: Parameters, example: tuple[Batch, Array]) -> Array:
            batch, numbers = example
            return self.loss(parameters, batch, further(noise, numbers[0]))

        def part(number: Array) -> Any:
            rows = chunk.rows[number]
            examples = (gather(self.split, rows, self.bucket), self.split.numbered(rows))
            return clipped_sum(
                of_one, parameters, examples, rows < 0, guard.clipping, lambda own: as_held(own, chunk.recipe)
            )

        sums = accumulated(part, zeros_like(parameters), chunk.bounds[index], chunk.bounds[index + 1])
        return noised(sums, guard, index)


Train = Callable[..., tuple[TrainState, Float[Array, "steps"]]]


def training(
    model: Seq2Seq, bucket: Bucket, optimizers: tuple[type[Optimizer], ...], *, on_cores: bool = False
) -> Train:
    """Return the function that takes a chunk of steps by one of some optimizers, from (state, split, chunk).

    The second output holds the loss of each step, in nats a token; a step that was not taken has loss 0, as has one
    whose rows are private. Of the hull of several configurations it takes the facts of the one that is meant as well,
    and the true sizes of its parameters. With `on_cores` it is what each core does, of the same state with its own part
    of the rows, which are then not private. Where the state holds factors, it takes the parameters that their products
    are added to.
    """
    of_model = forms(model)

    def train(
        state: TrainState,
        split: DeviceSplit,
        chunk: Chunk,
        given: Any = None,
        sizes: Sizes | None = None,
        base: Parameters | None = None,
    ) -> tuple[TrainState, Float[Array, "steps"]]:
        trained = Trained.of(state, of_model, sizes, base, chunk.recipe)
        return Steps(model, given, trained, optimizers, bucket, split, chunk, on_cores).taken(state)

    return train
