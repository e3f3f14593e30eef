"""Compiled programs: one for training, one for teacher-forced evaluation, one for decoding, per signature and shape."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from automl.data.batching import Bucket
from automl.data.tokenizers import EOS, PAD
from automl.decoding.steps import sayable
from automl.models.ensemble import Ensemble, Model
from automl.models.facts import bind
from automl.models.parameters import Parameters, forms
from automl.models.seq2seq import Seq2Seq
from automl.training.adaptation import adapted
from automl.training.arrays import DeviceSplit, gather
from automl.training.losses import TokenCounts, token_counts
from automl.training.sharding import BY_ROWS, WHOLE, core_mesh
from automl.training.signature import Signature
from automl.training.steps import Chunk, Train, TrainState, training
from search_spaces.optimizers import Optimizer
from search_spaces.stems import Tokens


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
