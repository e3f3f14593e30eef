"""Compiled programs: one for training, one for teacher-forced evaluation, one for decoding, per signature and shape."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8
from numpy.typing import NDArray

from automl.data.batching import Bucket
from automl.data.pixels import is_image
from automl.data.table import Split
from automl.data.tokenizers import BOS, EOS, PAD, SPECIAL_TOKENS
from automl.decoding.steps import sayable
from automl.models.dropout import Noise, mixed
from automl.models.ensemble import Ensemble, Model
from automl.models.facts import bind
from automl.models.parameters import Parameters, forms
from automl.models.seq2seq import Seq2Seq
from automl.training.adaptation import adapted, factor_forms, factor_sizes
from automl.training.augmentation import Variation, arranged, filled_up, varied
from automl.training.losses import SoftTargets, TokenCounts, smoothed_cross_entropy, token_counts
from automl.training.matrices import Sizes
from automl.training.optimizers import Moments, Recipe, kept, stepped, updated
from automl.training.privacy import Guard, clipped_sum, noised
from automl.training.schedules import Pace
from automl.training.sharding import BY_ROWS, WHOLE, core_mesh, own_rows, summed
from automl.training.signature import Signature
from search_spaces.optimizers import Optimizer
from search_spaces.stems import Tokens

TOKENS, ROWS, BATCHES = 2**20, 2**16, 2**10
"""Smallest sizes of the arrays of a split, and of the list of batches that are evaluated."""
IMAGE_BYTES, MOST_SPARE = 2**22, 2**6
"""Smallest size of an array of images, and up to how many times that it is filled up."""


class DeviceSplit(NamedTuple):
    """A split on the device: token ids end to end, where each row begins and how long it is, and what can be copied.

    `copies` holds for each source token the target token of the same text, or `PAD`; `weights` how much rows count. Of
    images, `source` holds the bytes of a row each. Of `soft` targets, if there are any, each row has one for each
    target token and one for its end, end to end.
    """

    source: Int[Array, "source_tokens"] | UInt8[Array, "rows values"]
    source_starts: Int[Array, "rows"]
    source_lengths: Int[Array, "rows"]
    target: Int[Array, "target_tokens"]
    target_starts: Int[Array, "rows"]
    target_lengths: Int[Array, "rows"]
    copies: Int[Array, "rounded_vocabulary"]
    weights: Float[Array, "rows"]
    soft: SoftTargets | None = None


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


class Room(NamedTuple):
    """Smallest sizes of the arrays of a split: ids of a side, and rows."""

    ids: int = TOKENS
    rows: int = ROWS


USUAL = Room()


def on_device(
    split: Split, copies: NDArray[np.int32], room: Room = USUAL, soft: SoftTargets | None = None
) -> DeviceSplit:
    """Copy a split to the device, once, with what its source tokens could be copied as, and its soft targets.

    The arrays are filled up to one of few sizes, so that programs know no data set by its size.
    """

    def side(flat: Any, offsets: Any) -> tuple[Any, Any, Any]:
        rows = capacity(len(offsets) - 1, room.rows)
        return (
            _images(flat, len(offsets) - 1, room)
            if is_image(flat)
            else filled(flat, capacity(len(flat) + 1, room.ids), PAD),
            filled(offsets[:-1], rows),
            filled(np.diff(offsets), rows),
        )

    sides = *side(split.source, split.source_offsets), *side(split.target, split.target_offsets)
    weights = np.ones(capacity(split.rows, room.rows), np.float32)
    weights[: split.rows] = 1 if split.weights is None else split.weights
    softened = None if soft is None else _softened(soft)
    arrays: tuple[Any, ...] = (*sides, filled(copies, rounded(len(copies)), PAD), weights, softened)
    placed: DeviceSplit = jax.device_put(DeviceSplit(*arrays))
    return placed


def _softened(soft: SoftTargets) -> SoftTargets:
    """Return soft targets as arrays of few sizes; behind them are some that say nothing."""
    said = len(soft.tokens)
    tokens = filled(soft.tokens, capacity(said + 1, ROWS))
    probabilities: Any = np.zeros(tokens.shape, np.float32)
    probabilities[:said] = soft.probabilities
    arrays: tuple[Any, ...] = tokens, probabilities
    return SoftTargets(*arrays)


def rounded(vocabulary: int) -> int:
    """Return the number of tokens that an array is made for: a power of two, or one and a half times that."""
    size = 16
    while size < vocabulary:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def _images(flat: NDArray[np.uint8], rows: int, room: Room) -> NDArray[np.uint8]:
    """Return images as rows of bytes, and some rows of none behind them."""
    values = len(flat) // rows
    size = capacity(rows, max(IMAGE_BYTES // values, 1))
    if room != USUAL:
        size = room.rows
    elif size * values > MOST_SPARE * IMAGE_BYTES:
        size = rows
    found = np.zeros((size, values), np.uint8)
    found[:rows] = flat.reshape(rows, values)
    return found


def capacity(count: int, least: int) -> int:
    """Return the size of an array for so many values: the least one, or twice, four times that and so on."""
    return least << max(-(-count // least) - 1, 0).bit_length()


def filled(values: Any, size: int, filling: int = 0) -> NDArray[np.int32]:
    """Return the values as an array of a given length, the rest of it filled up."""
    array = np.full((size, *np.shape(values)[1:]), filling, np.int32)
    array[: len(values)] = values
    return array


def new_state(
    parameters: Mapping[str, NDArray[np.float32]], factors: Mapping[str, NDArray[np.float32]] | None = None
) -> TrainState:
    """Return the state at step 0, from a copy of the start values; where there are factors, these are trained."""
    own = dict(parameters if factors is None else factors)
    zeros: Any = {name: np.zeros_like(value) for name, value in own.items()}
    state: tuple[Any, ...] = (own, Moments(zeros, zeros), dict(parameters), np.zeros((), np.int32))
    placed: TrainState = jax.tree.map(lambda leaf: jax.device_put(leaf, may_alias=False), TrainState(*state))
    return placed


class Batch(NamedTuple):
    """Padded token ids; an absent row is all padding."""

    source: Int[Array, "batch source"]
    copies: Int[Array, "batch source"]
    inputs: Int[Array, "batch target"]
    targets: Int[Array, "batch target"]
    weights: Float[Array, "batch"]
    soft: SoftTargets | None = None


def gather(split: DeviceSplit, rows: Int[Array, "batch"], bucket: Bucket) -> Batch:
    """Return rows of a split, padded to a shape; row -1 is absent."""
    present = (rows >= 0)[:, None]

    def padded(flat: Array, starts: Array, lengths: Array, size: int) -> tuple[Array, Array]:
        places = jnp.arange(size)[None, :]
        inside = (places < lengths[rows][:, None]) & present
        indices = jnp.where(inside, starts[rows][:, None] + places, flat.shape[0] - 1)
        return jnp.where(inside, flat[indices], PAD), lengths[rows]

    if split.source.ndim == 2:
        source = jnp.where(present, split.source[rows].astype(jnp.int32) + len(SPECIAL_TOKENS), PAD)
    else:
        source, _ = padded(split.source, split.source_starts, split.source_lengths, bucket.source)
    target, lengths = padded(split.target, split.target_starts, split.target_lengths, bucket.target)
    ends = (jnp.arange(bucket.target)[None, :] == lengths[:, None]) & present
    targets = jnp.where(ends, EOS, target)
    begins = jnp.where(present, BOS, PAD).astype(targets.dtype)
    inputs = jnp.concatenate([begins, target[:, :-1]], axis=1)
    soft = None
    if split.soft is not None:
        firsts = split.target_starts[rows] + rows
        inside = (jnp.arange(bucket.target)[None, :] <= lengths[:, None]) & present
        places = jnp.where(inside, firsts[:, None] + jnp.arange(bucket.target)[None, :], len(split.soft.tokens) - 1)
        soft = SoftTargets(*(each[places] for each in split.soft))
    return Batch(source, split.copies[source], inputs, targets, split.weights[rows], soft)


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


def model_of(signature: Signature) -> Model:
    """Return the model of a signature, its parameters still shapes."""
    sizes = signature.source_vocabulary, signature.target_vocabulary
    if signature.others:
        return Ensemble([signature.configuration, *signature.others], *sizes)
    return Seq2Seq(signature.configuration, *sizes)


def single(signature: Signature) -> Seq2Seq:
    """Return the model of a signature that is none of an ensemble, as only such are trained."""
    model = model_of(signature)
    assert isinstance(model, Seq2Seq)
    return model


def further(noise: Noise, number: Int[Array, ""]) -> Noise:
    """Return the noise of a step, or of a batch of it."""
    return noise._replace(seed=mixed(noise.seed + number.astype(jnp.uint32)))


def accumulated(part: Callable[[Array], Any], nothing: Any, first: Array, last: Array) -> Any:
    """Return the sum of the parts with numbers from `first` up to `last`, each computed after the other."""
    return jax.lax.fori_loop(first, last, lambda number, sums: jax.tree.map(jnp.add, sums, part(number)), nothing)


def private_gradient(
    loss: Callable[[Parameters, Batch, Noise], Array],
    parameters: Parameters,
    split: DeviceSplit,
    chunk: Chunk,
    index: Int[Array, ""],
    noise: Noise,
    bucket: Bucket,
) -> Any:
    """Return the mean gradient of a step of a chunk whose rows are private; each row has dropout of its own."""
    guard = chunk.guard
    assert guard is not None

    def of_one(parameters: Parameters, example: tuple[Batch, Array]) -> Array:
        batch, rows = example
        return loss(parameters, batch, further(noise, rows[0]))

    def part(number: Array) -> Any:
        rows = chunk.rows[number]
        examples = (gather(split, rows, bucket), rows)
        return clipped_sum(
            of_one, parameters, examples, rows < 0, guard.clipping, lambda own: as_held(own, chunk.recipe)
        )

    sums = accumulated(part, zeros_like(parameters), chunk.bounds[index], chunk.bounds[index + 1])
    return noised(sums, guard, index)


def zeros_like(parameters: Parameters) -> dict[str, Array]:
    """Return 0 for each coordinate."""
    return {name: jnp.zeros_like(value) for name, value in parameters.items()}


def as_held(gradient: Parameters, recipe: Recipe) -> dict[str, Array]:
    """Return a gradient that leaves alone what the recipe holds."""
    return kept(gradient, zeros_like(gradient), recipe)


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
        of_parameters, own_sizes = of_model, sizes
        if base is not None:
            of_parameters = factor_forms(of_model)
            own_sizes = factor_sizes(base, of_model, sizes, chunk.recipe.rank)

        def whole(parameters: Parameters) -> Parameters:
            return parameters if base is None else adapted(base, parameters, of_model, chunk.recipe.scale)

        def loss_of(parameters: Parameters, batch: Batch, noise: Noise, tokens: Float[Array, ""] | None) -> Array:
            seen, targets = as_trained(model, batch, chunk.variation, noise)
            logits = bind(model, whole(parameters), given)(seen.source, seen.inputs, noise, seen.copies)
            return smoothed_cross_entropy(
                logits,
                targets,
                targets != PAD,
                chunk.recipe.label_smoothing,
                tokens=tokens,
                weights=batch.weights,
                soft=batch.soft,
            )

        def gradient_of(parameters: Parameters, index: Int[Array, ""], noise: Noise) -> tuple[Array, Any]:
            def part(number: Int[Array, ""]) -> tuple[Array, Any]:
                batch = gather(split, chunk.rows[number], bucket)
                own = further(noise, number - chunk.bounds[index])
                return jax.value_and_grad(loss_of)(parameters, batch, own, chunk.tokens[index])

            nothing = (jnp.zeros(()), zeros_like(parameters))
            sums: tuple[Array, Any] = accumulated(part, nothing, chunk.bounds[index], chunk.bounds[index + 1])
            return summed(sums) if on_cores else sums

        def step(index: Int[Array, ""], carry: tuple[TrainState, Array]) -> tuple[TrainState, Array]:
            now, losses = carry
            pace = jax.tree.map(lambda numbers: numbers[index], chunk.pace)
            noise = further(own_rows(chunk.noise, chunk.rows.shape[1]) if on_cores else chunk.noise, now.step)
            take = updated
            if chunk.guard is None:
                loss, gradient = gradient_of(now.parameters, index, noise)
            else:  # the loss of the rows is theirs to keep, and what is clipped already is not clipped again
                loss, take = jnp.zeros(()), stepped
                gradient = private_gradient(
                    partial(loss_of, tokens=None), now.parameters, split, chunk, index, noise, bucket
                )
            moved, moments = take(
                now.parameters,
                as_held(gradient, chunk.recipe),
                now.optimizer,
                pace,
                chunk.recipe,
                of_parameters,
                sizes=own_sizes,
                kinds=optimizers,
            )
            parameters = kept(moved, now.parameters, chunk.recipe)
            latest = whole(parameters)
            average = {name: old + pace.average * (latest[name] - old) for name, old in now.average.items()}
            return TrainState(parameters, moments, average, now.step + 1), losses.at[index].set(loss)

        start = (state, jnp.zeros(chunk.tokens.shape))
        ended: tuple[TrainState, Array] = jax.lax.fori_loop(0, chunk.steps, step, start)
        return ended

    return train


@cache
def train_program(
    signature: Signature,
    bucket: Bucket,
    optimizers: tuple[type[Optimizer], ...],
    cores: int = 1,
    adapted: bool = False,
) -> Train:
    """Return `training` as a program; it consumes the state that it is given, of which each of the cores has a copy.

    If it is to be `adapted`, what its factors are added to is a fourth input.
    """
    mesh = core_mesh(cores)
    train = training(single(signature), bucket, optimizers, on_cores=mesh is not None)

    def steps(state: TrainState, split: DeviceSplit, chunk: Chunk, *base: Parameters) -> Any:
        return train(state, split, chunk, None, None, *base)

    if mesh is None:
        return jax.jit(steps, donate_argnums=0)
    parts = Chunk._make(BY_ROWS if name == "rows" else WHOLE for name in Chunk._fields)
    given = (WHOLE, WHOLE, parts, *([WHOLE] if adapted else []))
    every = jax.shard_map(steps, mesh=mesh, in_specs=given, out_specs=WHOLE, check_vma=False)
    return jax.jit(every, donate_argnums=0)


@cache
def added_program(signature: Signature) -> Callable[..., Parameters]:
    """Return the program of a model's parameters, from (those to which is added, factors, scale)."""
    of_model = forms(single(signature))
    return jax.jit(lambda base, factors, scale: adapted(base, factors, of_model, scale))


def counted(model: Model, targets: Int[Array, "batch target"]) -> Bool[Array, "batch target"]:
    """Say which tokens are scored: of images not the end, since a class has one token, and boxes may be filled up."""
    return (targets != PAD) & ((targets != EOS) | isinstance(model.stem, Tokens))


Evaluate = Callable[..., TokenCounts]


def evaluating(model: Model, bucket: Bucket) -> Evaluate:
    """Return the function that scores rows of a split token by token, given the true target so far.

    It takes (parameters, split, rows, batches): the last says how many of the batches are real; the counts of the
    others are 0. Of the hull of several configurations it takes the facts of the one that is meant as well.
    """

    def evaluate(
        parameters: Parameters,
        split: DeviceSplit,
        rows: Int[Array, "batches batch"],
        batches: Int[Array, ""],
        given: Any = None,
    ) -> TokenCounts:
        bound = bind(model, parameters, given)

        def one(index: Any, counts: TokenCounts) -> TokenCounts:
            batch = gather(split, rows[index], bucket)
            logits = bound(batch.source, batch.inputs, None, batch.copies)
            guesses = sayable(logits).argmax(axis=-1)
            found = token_counts(logits, guesses, batch.targets, counted(model, batch.targets))
            return TokenCounts(*(sums.at[index].set(new) for sums, new in zip(counts, found, strict=True)))

        none = TokenCounts(jnp.zeros(rows.shape), *(jnp.zeros(rows.shape, jnp.int32) for _ in range(2)))
        return TokenCounts(*(sums.reshape(-1) for sums in jax.lax.fori_loop(0, batches, one, none)))

    return evaluate


@cache
def evaluate_program(signature: Signature, bucket: Bucket) -> Evaluate:
    """Return `evaluating` as a program."""
    return jax.jit(evaluating(model_of(signature), bucket))
