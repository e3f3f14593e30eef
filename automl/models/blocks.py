"""The sublayers of Transformer blocks: each normalises, computes, drops and adds its input."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from automl.models.attention import Cache, KeysValues, MultiHeadAttention, window_mask
from automl.models.dropout import Noise, drop
from automl.models.embeddings import Relations
from automl.models.facts import distinct, fact, number
from automl.models.layers import FeedForward, Residual
from automl.models.parameters import Form, parameter, scaled, zeros
from automl.models.recurrence import linear_recurrence, of_gates
from search_spaces import decoders, encoders

Kind = encoders.Transformer | decoders.Transformer | decoders.SimpleRecurrent
SelfAttentive = encoders.Transformer | decoders.Transformer


class BlockKinds(NamedTuple):
    """How blocks normalise, and where."""

    norms: Sequence[str]
    places: Sequence[str]


def block_kinds(found: Sequence[Kind]) -> BlockKinds:
    """Return the kinds of normalisation among configurations."""
    return BlockKinds(distinct(k.norm for k in found), distinct("first" if k.norm_first else "last" for k in found))


class FeedForwardLayer(nnx.Module):
    """A feed-forward network over each position by itself."""

    def __init__(self, found: Sequence[Kind]) -> None:
        size = max(k.model_size for k in found)
        hidden = max(k.feed_forward_ratio * k.model_size for k in found)
        self.residual = Residual(size, *block_kinds(found))
        self.inner = FeedForward(size, hidden, distinct(k.activation for k in found))

    def __call__(self, x: Float[Array, "batch length size"], noise: Noise | None) -> Float[Array, "batch length size"]:
        """Map each position and add it."""
        y = self.inner(self.residual.before(x), noise and noise.at(0))
        return self.residual.after(x, drop(y, noise and noise.at(1)))


class SelfAttentionLayer(nnx.Module):
    """Positions look at each other."""

    def __init__(self, found: Sequence[SelfAttentive]) -> None:
        size = max(k.model_size for k in found)
        self.window = fact(max(k.window for k in found))
        self.residual = Residual(size, *block_kinds(found))
        self.inner = MultiHeadAttention([(k.attention, k.model_size) for k in found], size)

    def __call__(
        self,
        x: Float[Array, "batch length size"],
        mask: Bool[Array, "#batch #length length"],
        relations: Relations,
        noise: Noise | None,
    ) -> Float[Array, "batch length size"]:
        """Let the positions of a sequence look at those that the mask and the window allow."""
        places = jnp.arange(x.shape[1])
        return self.look(x, self.keys_values(x, relations, places), places, places, mask, relations, noise)

    def keys_values(
        self, x: Float[Array, "batch length size"], relations: Relations, places: Int[Array, "length"]
    ) -> KeysValues:
        """Return keys and values of positions."""
        return self.inner.keys_values(self.residual.before(x), relations, places)

    def look(
        self,
        x: Float[Array, "batch queries size"],
        attended: KeysValues,
        places: Int[Array, "queries"],
        seen: Int[Array, "positions"],
        mask: Bool[Array, "#batch #queries positions"],
        relations: Relations,
        noise: Noise | None,
    ) -> Float[Array, "batch queries size"]:
        """Let positions look at those whose keys and values are given, of the places `seen`."""
        queries = self.inner.queries(self.residual.before(x), relations, places)
        bias = relations.bias(places, seen, self.inner.heads, queries.shape[2], x.dtype)
        allowed = mask & window_mask(places, seen, number(self.window))[None]
        y, _ = self.inner(queries, attended, allowed, bias, noise and noise.at(0))
        return self.residual.after(x, drop(y, noise and noise.at(1)))

    def projected(
        self, x: Float[Array, "batch 1 size"], relations: Relations, position: Int[Array, ""]
    ) -> tuple[Float[Array, "batch 1 groups granule"], KeysValues]:
        """Return the query, key and value of one position."""
        return self.inner.projected(self.residual.before(x), relations, position[None])

    def step(
        self,
        x: Float[Array, "batch 1 size"],
        queries: Float[Array, "batch 1 groups granule"],
        cache: Cache,
        position: Int[Array, ""],
        relations: Relations,
    ) -> Float[Array, "batch 1 size"]:
        """Let the position look at itself and those before it, whose keys and values the cache holds."""
        place, seen = position[None], jnp.arange(cache.keys.shape[2])
        bias = relations.bias(place, seen, self.inner.heads, queries.shape[2], x.dtype)
        allowed = (seen <= position)[None] & window_mask(place, seen, number(self.window))
        y, _ = self.inner.once(queries, cache, allowed, bias)
        return self.residual.after(x, y)


class SourceAttentionLayer(nnx.Module):
    """Target positions look at the encoded source."""

    def __init__(self, found: Sequence[decoders.Transformer | decoders.SimpleRecurrent]) -> None:
        size = max(k.model_size for k in found)
        self.residual = Residual(size, *block_kinds(found))
        self.inner = MultiHeadAttention([(k.attention, k.model_size) for k in found], size)

    def __call__(
        self,
        x: Float[Array, "batch target size"],
        source: KeysValues,
        mask: Bool[Array, "batch source"],
        noise: Noise | None,
    ) -> tuple[Float[Array, "batch target size"], Float[Array, "batch target source"]]:
        """Look at the source and add what was found; also return the weights, averaged over heads."""
        queries = self.inner.queries(self.residual.before(x))
        y, weights = self.inner(queries, source, mask[:, None, :], None, noise and noise.at(0))
        return self.residual.after(x, drop(y, noise and noise.at(1))), weights

    def step(
        self, x: Float[Array, "batch 1 size"], source: Cache, mask: Bool[Array, "batch source"]
    ) -> tuple[Float[Array, "batch 1 size"], Float[Array, "batch 1 source"]]:
        """Do the same for one position."""
        y, weights = self.inner.once(self.inner.queries(self.residual.before(x)), source, mask)
        return self.residual.after(x, y), weights


class SimpleRecurrentLayer(nnx.Module):
    """A simpler simple recurrent unit: `f = σ(W_f x + b)`, `c[t] = f c[t-1] + (1 - f) W x`, `ReLU(c)`.

    (Kim et al., 2019, section 3.2.)
    """

    def __init__(self, found: Sequence[decoders.SimpleRecurrent]) -> None:
        size = max(k.model_size for k in found)
        self.residual = Residual(size, *block_kinds(found))
        self.kernel = parameter((size, 2, size), scaled(size, size), Form("matrix", rows=0, columns=2))
        self.bias = parameter((size,), zeros)

    def __call__(self, x: Float[Array, "batch target size"], noise: Noise | None) -> Float[Array, "batch target size"]:
        """Run over a whole target."""
        keep, added = self._gates(self.residual.before(x))
        return self._left(x, linear_recurrence(keep, added), noise)

    def step(
        self, x: Float[Array, "batch 1 size"], cell: Float[Array, "batch size"]
    ) -> tuple[Float[Array, "batch 1 size"], Float[Array, "batch size"]]:
        """Take one step; also return the cell after it."""
        keep, added = self._gates(self.residual.before(x))
        cell = keep[:, 0] * cell + added[:, 0]
        return self._left(x, cell[:, None], None), cell

    def _gates(self, x: Float[Array, "batch target size"]) -> tuple[Array, Array]:
        projected = of_gates(x, self.kernel)
        forget, candidate = projected[:, :, 0], projected[:, :, 1]
        keep = jax.nn.sigmoid(forget + jnp.broadcast_to(self.bias, forget.shape))
        return keep, (1 - keep) * candidate

    def _left(
        self, x: Float[Array, "batch target size"], cells: Float[Array, "batch target size"], noise: Noise | None
    ) -> Float[Array, "batch target size"]:
        return self.residual.after(x, drop(jax.nn.relu(cells), noise and noise.at(0)))
