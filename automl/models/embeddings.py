"""Embeddings of tokens and of positions."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from automl.models.facts import Number, fact, is_kind, kind_among, names, number, times
from automl.models.layers import within
from automl.models.parameters import EMBEDDING, normal, parameter, zeros
from search_spaces import embeddings as kinds

BASE = 10_000.0
STEEPNESS = 16.0
"""What a relative bias of 1 adds to a score: looking at one distance alone takes 10, and a step moves it by 0.002."""


class TokenEmbedding(nnx.Module):
    """A learned vector for each token."""

    def __init__(self, vocabulary: int, size: int) -> None:
        self.size = fact(size)
        self.table = parameter((vocabulary, size), normal(size**-0.5), EMBEDDING)

    def __call__(self, tokens: Int[Array, "*batch"]) -> Float[Array, "*batch size"]:
        """Look tokens up; the vectors have unit scale."""
        found = jnp.take(self.table, tokens, axis=0)
        return found * jnp.sqrt(jnp.asarray(number(self.size), found.dtype))


class Places(nnx.Module):
    """What of the kinds of positions is added to the tokens."""

    def __init__(self, positions: Collection[kinds.Positions], size: int) -> None:
        self.kind = kind_among(type(kind).__name__ for kind in positions)
        self.size = fact(size)
        lengths = [kind.length for kind in positions if isinstance(kind, kinds.Learned)]
        self.length = fact(max(lengths, default=0))
        self.table = parameter((max(lengths), size), normal(0.02), EMBEDDING) if lengths else None

    def __call__(
        self, x: Float[Array, "batch length size"], positions: Int[Array, "length"]
    ) -> Float[Array, "batch length size"]:
        """Add the positions to embedded tokens."""
        if "Sinusoidal" in names(self.kind):
            waves = sinusoidal(positions, x.shape[-1], number(self.size)).astype(x.dtype)
            x = x + times(is_kind(self.kind, "Sinusoidal"), waves)[None]
        if self.table is not None:
            last = jnp.maximum(jnp.asarray(number(self.length)) - 1, 0)
            learned = jnp.take(self.table, jnp.minimum(positions, last), axis=0)
            x = x + times(is_kind(self.kind, "Learned"), learned)[None]
        return x


def sinusoidal(positions: Int[Array, "length"], width: int, size: Number) -> Float[Array, "length width"]:
    """Return sines and cosines of the positions at geometric wavelengths (Vaswani et al., 2017, section 3.5).

    Neighbours are a pair, and the wavelengths are those of the true size, so that what is beyond it can be 0.
    """
    columns = jnp.arange(0, width, 2)
    angles = positions[:, None].astype(jnp.float32) * frequencies(columns, size)[None, :]
    waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(positions.shape[0], -1)
    return within(waves[:, :width], size)


def frequencies(columns: Int[Array, "pairs"], size: Number) -> Float[Array, "pairs"]:
    """Return the frequency of the pair that begins at each column of vectors of a true size, falling geometrically."""
    rate = np.float32(-np.log(BASE)) / jnp.maximum(jnp.asarray(size, jnp.float32), 1)
    return jnp.exp(columns.astype(jnp.float32) * rate)


@dataclass(frozen=True)
class Heads:
    """How columns fall into heads.

    Columns are grouped by `granule`, the largest size that divides every head's; a head is `per_head` groups.

    Attributes:
        granule: Columns of a group.
        count: True number of heads.
        per_head: Groups of a head.
    """

    granule: int
    count: Number
    per_head: Number

    @property
    def size(self) -> Number:
        """Columns of a head."""
        return self.granule * self.per_head

    def of_groups(self, groups: int) -> Int[Array, "groups"]:
        """Return the head of each group."""
        return jnp.arange(groups) // jnp.maximum(jnp.asarray(self.per_head), 1)


class Relations(nnx.Module):
    """What of the kinds of positions acts between two places: on queries and keys, or on the scores of their pairs."""

    def __init__(self, positions: Collection[kinds.Positions], num_heads: int, *, causal: bool) -> None:
        self.kind = kind_among(type(kind).__name__ for kind in positions)
        self.causal = causal
        buckets = [kind.buckets for kind in positions if isinstance(kind, kinds.RelativeBias)]
        self.buckets = fact(max(buckets, default=0))
        self.table = parameter((max(buckets), num_heads), zeros, EMBEDDING) if buckets else None

    def turn(
        self, x: Float[Array, "batch length groups granule"], positions: Int[Array, "length"], heads: Heads
    ) -> Float[Array, "batch length groups granule"]:
        """Turn neighbouring pairs of columns by angles that grow with the position (Su et al., 2021, section 3.2.2)."""
        rotary = is_kind(self.kind, "Rotary")
        if isinstance(rotary, bool):
            return _turned(x, positions, heads) if rotary else x
        turned: Array = jax.lax.cond(rotary, lambda x: _turned(x, positions, heads), lambda same: same, x)
        return turned

    def bias(
        self, queries: Int[Array, "queries"], keys: Int[Array, "positions"], heads: Heads, groups: int, dtype: Any
    ) -> Float[Array, "groups queries positions"] | None:
        """Return what is added to the scores of each head's groups, or nothing."""
        distance = keys[None, :] - queries[:, None]
        total = None
        if "ALiBi" in names(self.kind):
            head = heads.of_groups(groups).astype(jnp.float32)
            slopes = jnp.exp2(-8.0 * (head + 1) / jnp.maximum(jnp.asarray(heads.count, jnp.float32), 1))
            falling = -slopes[:, None, None] * jnp.abs(distance)[None].astype(jnp.float32)
            total = times(is_kind(self.kind, "ALiBi"), falling).astype(dtype)
        if self.table is not None:
            bucket = relative_bucket(distance, number(self.buckets), causal=self.causal)
            of_heads = jnp.take(STEEPNESS * self.table, bucket, axis=0)
            learned = jnp.moveaxis(jnp.take(of_heads, heads.of_groups(groups), axis=-1, mode="clip"), -1, 0)
            learned = times(is_kind(self.kind, "RelativeBias"), learned)
            total = learned if total is None else total + learned
        return total


def _turned(
    x: Float[Array, "batch length groups granule"], positions: Int[Array, "length"], heads: Heads
) -> Float[Array, "batch length groups granule"]:
    groups, granule = x.shape[2:]
    column = jnp.arange(groups * granule)[::2] % jnp.maximum(jnp.asarray(heads.size), 1)
    angles = positions[:, None].astype(jnp.float32) * frequencies(column, heads.size)[None, :]
    cosine, sine = (wave(angles).astype(x.dtype)[None] for wave in (jnp.cos, jnp.sin))
    pairs = x.reshape(*x.shape[:2], -1, 2)
    even, odd = pairs[..., 0], pairs[..., 1]
    return jnp.stack([even * cosine - odd * sine, even * sine + odd * cosine], axis=-1).reshape(x.shape)


def relative_bucket(distance: Int[Array, "*shape"], buckets: Number, *, causal: bool) -> Int[Array, "*shape"]:
    """Return the bucket of key minus query: exact when near, logarithmic up to 128 (Raffel et al., 2020)."""
    count = jnp.asarray(buckets)
    side = jnp.zeros_like(distance)
    if not causal:
        count = count // 2
        side = jnp.where(distance > 0, count, 0)
    away = jnp.maximum(-distance, 0) if causal else jnp.abs(distance)
    exact = jnp.maximum(count // 2, 1)
    ratio = jnp.maximum(away, 1).astype(jnp.float32) / exact.astype(jnp.float32)
    steps = (count - exact).astype(jnp.float32) / jnp.log(jnp.float32(128) / exact.astype(jnp.float32))
    far = exact + (jnp.log(ratio) * steps).astype(exact.dtype)
    return side + jnp.where(away < exact, away, jnp.minimum(far, count - 1))
