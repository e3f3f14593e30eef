"""Losses over target tokens."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from automl.models.layers import within

TRUTH = 0.5
"""How much the true target counts beside a teacher (Kim and Rush, 2016, section 3.1)."""


class SoftTargets(NamedTuple):
    """What a teacher expects of each target token, given those before it (Hinton et al., 2015).

    Its likeliest tokens, and the probability of each among them; 0 of all of them where it was not asked.
    """

    tokens: Int[Array, "*said likeliest"]
    probabilities: Float[Array, "*said likeliest"]


class TokenCounts(NamedTuple):
    """Sums over the real target tokens of a batch, each row by itself."""

    loss: Float[Array, "batch"]
    right: Int[Array, "batch"]
    tokens: Int[Array, "batch"]


def smoothed_cross_entropy(
    logits: Float[Array, "batch target vocabulary"],
    targets: Int[Array, "batch target"],
    mask: Bool[Array, "batch target"],
    smoothing: Float[Array, ""],
    vocabulary: int | Int[Array, ""] | None = None,
    tokens: Float[Array, ""] | None = None,
    weights: Float[Array, "batch"] | None = None,
    soft: SoftTargets | None = None,
) -> Float[Array, ""]:
    """Return the mean over real tokens, in nats, with the share `smoothing` spread over the vocabulary.

    (Szegedy et al., 2016, section 7.) Where the batch is part of a larger one, the mean is over the `tokens` of that,
    so that the losses of the parts add up to the loss of the whole. Rows count by `weights`, of mean 1 over train.
    Where there are `soft` targets, half of a token's loss is the cross-entropy to these: word-level distillation,
    interpolated (Kim and Rush, 2016, section 3.1).
    """
    scores = jax.nn.log_softmax(logits, axis=-1)
    right = jnp.take_along_axis(scores, targets[..., None], axis=-1)[..., 0]
    losses = -(1 - smoothing) * right - smoothing * _mean(scores, vocabulary)
    if soft is not None:
        losses = jnp.where(soft.probabilities.sum(axis=-1) > 0, _taught(losses, scores, soft), losses)
    count = jnp.maximum(mask.sum(), 1).astype(losses.dtype) if tokens is None else tokens
    if weights is not None:
        losses = losses * weights[:, None]
    return jnp.where(mask, losses, 0.0).sum() / count


def _taught(
    losses: Float[Array, "batch target"], scores: Float[Array, "batch target vocabulary"], soft: SoftTargets
) -> Float[Array, "batch target"]:
    likely = jnp.take_along_axis(scores, soft.tokens, axis=-1)
    return TRUTH * losses - (1 - TRUTH) * (soft.probabilities * likely).sum(axis=-1)


def _mean(
    scores: Float[Array, "batch target vocabulary"], vocabulary: int | Int[Array, ""] | None
) -> Float[Array, "batch target"]:
    if vocabulary is None or isinstance(vocabulary, int):
        return scores.mean(axis=-1)
    return within(scores, vocabulary).sum(axis=-1) / vocabulary.astype(scores.dtype)


def token_counts(
    logits: Float[Array, "batch target vocabulary"],
    guesses: Int[Array, "batch target"],
    targets: Int[Array, "batch target"],
    mask: Bool[Array, "batch target"],
) -> TokenCounts:
    """Return loss in nats, right guesses and tokens of each row."""
    scores = jax.nn.log_softmax(logits, axis=-1)
    losses = -jnp.take_along_axis(scores, targets[..., None], axis=-1)[..., 0]
    right = (guesses == targets) & mask
    return TokenCounts(jnp.where(mask, losses, 0.0).sum(axis=1), right.sum(axis=1), mask.sum(axis=1))
