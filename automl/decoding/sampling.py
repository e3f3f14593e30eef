"""Sampling: tokens drawn by their probabilities, or among the likeliest alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from automl.decoding.answers import Draw
from automl.decoding.steps import Choice, Going, likeliest
from automl.models.attention import MASKED


def drawing(draw: Draw) -> Choice:
    """Return the choice of tokens at random: the same of a row for the same seed, whatever else is in its batch."""

    def choose(scores: Float[Array, "batch vocabulary"], position: Int[Array, ""], going: Going) -> Int[Array, "batch"]:
        def noise(seed: Array) -> Array:
            key = jax.random.fold_in(jax.random.key(seed), position)
            return jax.random.gumbel(key, scores.shape[1:], scores.dtype)

        warmth = jnp.maximum(draw.temperature, 1e-6)
        kept = among(scores / warmth, draw.top_k, draw.top_p)
        drawn = (kept + jax.vmap(noise)(draw.seeds)).argmax(axis=-1).astype(jnp.int32)
        return jnp.where(draw.temperature > 0, drawn, likeliest(scores, position, going))

    return choose


def among(
    logits: Float[Array, "batch vocabulary"], top_k: Int[Array, ""], top_p: Float[Array, ""]
) -> Float[Array, "batch vocabulary"]:
    """Rule out all but the `top_k` likeliest tokens, and all but the likeliest of a total probability `top_p`.

    (Fan et al., 2018; Holtzman et al., 2020.) The likeliest token stays; of tokens equally likely at the limit, all do.
    """
    left: Array = jax.lax.cond((top_k > 0) | (top_p < 1), lambda: _cut(logits, top_k, top_p), lambda: logits)
    return left


def _cut(logits: Array, top_k: Array, top_p: Array) -> Array:
    size = logits.shape[-1]
    falling = -jnp.sort(-logits, axis=-1)
    before = jnp.cumsum(jax.nn.softmax(falling, axis=-1), axis=-1) - jax.nn.softmax(falling, axis=-1)
    places = jnp.broadcast_to(jnp.arange(size), falling.shape)
    stays = (places < jnp.where(top_k > 0, top_k, size)) & ((before < top_p) | (places == 0))
    least = jnp.where(stays, falling, jnp.inf).min(axis=-1, keepdims=True)
    return jnp.where(logits >= least, logits, MASKED)
