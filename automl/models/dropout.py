"""Dropout whose pattern follows from seed, place and coordinates alone, whatever the shape around them.

A padded model then drops what the model of its true sizes drops, and the program draws no random
numbers: each entry hashes its coordinates (the finaliser of C. Wellons' `lowbias32`, 2018).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

GOLDEN = 0x9E3779B9
NONE: Any = np.uint32(0)


class Noise(NamedTuple):
    """Dropout in training.

    Attributes:
        seed: Decides what is dropped.
        rate: Share of entries of activations.
        locked: Whether the same entries are dropped at every position of a sequence: 0 or 1.
        tokens: Share of whole tokens.
        attention: Share of weights of attention.
        first_row: Place of the first row in the whole batch, of which others may be elsewhere.
    """

    seed: UInt32[Array, ""]
    rate: Float[Array, ""]
    locked: UInt32[Array, ""]
    tokens: Float[Array, ""]
    attention: Float[Array, ""]
    first_row: UInt32[Array, ""] = NONE

    def at(self, place: int) -> "Noise":
        """Return noise of its own for one place in the model, or for one step."""
        return self._replace(seed=mixed(self.seed + jnp.uint32((place + 1) * GOLDEN & 0xFFFFFFFF)))


def mixed(x: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """Return numbers of which every bit depends on every bit of the given ones."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def drop(x: Float[Array, "..."], noise: Noise | None) -> Float[Array, "..."]:
    """Zero entries at random and scale up the rest; without noise, return `x`, a `[batch, length, size]`."""
    if noise is None:
        return x
    free: list[int | Array] = [1, 1 - noise.locked, 1]
    return _dropped(x, noise.rate, _hashes(noise.seed, x.shape, free[: x.ndim], noise.first_row))


def drop_tokens(x: Float[Array, "batch length size"], noise: Noise | None) -> Float[Array, "batch length size"]:
    """Zero whole tokens at random and scale up the rest (Dai and Le, 2015, word dropout)."""
    if noise is None:
        return x
    return _dropped(x, noise.tokens, _hashes(noise.seed, x.shape[:2], [1, 1], noise.first_row)[:, :, None])


def drop_weights(
    weights: Float[Array, "batch groups queries positions"], noise: Noise | None, head: UInt32[Array, "groups"]
) -> Float[Array, "batch groups queries positions"]:
    """Zero weights of attention at random (Vaswani et al., 2017); groups of the same head drop the same."""
    if noise is None:
        return weights
    b, _, q, p = weights.shape
    seeds = mixed(noise.seed + head)
    hashes = jax.vmap(lambda seed: _hashes(seed, (b, q, p), [1, 1, 1], noise.first_row), out_axes=1)(seeds)
    return _dropped(weights, noise.attention, hashes)


def _hashes(
    seed: UInt32[Array, ""],
    shape: tuple[int, ...],
    free: Sequence[int | Array],
    first_row: UInt32[Array, ""] | np.uint32,
) -> UInt32[Array, "..."]:
    """Hash the coordinates of each entry, axis by axis; an axis that is not free counts as one place."""
    hashes = seed
    for axis, (size, moves) in enumerate(zip(shape, free, strict=True)):
        places = jnp.arange(size, dtype=jnp.uint32) + (0 if axis else first_row)
        places = places * jnp.uint32(GOLDEN) * jnp.asarray(moves, jnp.uint32)
        hashes = mixed(hashes[..., None] + jnp.expand_dims(places, range(hashes.ndim)))
    return hashes


def _dropped(x: Float[Array, "..."], rate: Float[Array, ""], hashes: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """Zero entries whose hash is below the rate."""
    levels = 1 << 24
    threshold = jnp.round(rate * levels)
    kept = (hashes >> 8).astype(jnp.float32) >= threshold
    scale = (levels / (levels - threshold)).astype(x.dtype)
    return jnp.where(jnp.broadcast_to(kept, x.shape), x * scale, 0.0)


def drop_embedded(x: Float[Array, "batch length size"], noise: Noise | None) -> Float[Array, "batch length size"]:
    """Zero whole tokens, then entries."""
    return drop(drop_tokens(x, noise and noise.at(0)), noise and noise.at(1))
