"""Attention: weights over positions, and the mean of the values under them."""

from typing import NamedTuple, assert_never

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from automl.models.layers import Linear
from automl.models.parameters import Width, normal, parameter, scaled, true_size, zeros
from search_spaces import attention as kinds

MASKED = -1e9


class Memory(NamedTuple):
    """An encoded source: a vector a position, and which positions are real."""

    states: Float[Array, "batch source size"]
    mask: Bool[Array, "batch source"]


def masked_softmax(
    scores: Float[Array, "*batch positions"], mask: Bool[Array, "*#batch positions"]
) -> Float[Array, "*batch positions"]:
    """Return weights that sum to 1 over the positions that the mask allows."""
    return jax.nn.softmax(jnp.where(mask, scores, MASKED), axis=-1)


class AdditiveAttention(nnx.Module):
    """`softmax(v · tanh(W_q q + W_k k))` over the source (Bahdanau et al., 2015, section 3.1), for one query a row."""

    def __init__(self, query_size: int, memory: Width | int, size: int) -> None:
        self.query = Linear(query_size, size)
        self.key = Linear(memory, size, bias=False)
        self.score = parameter((size,), normal(size**-0.5))

    def keys(self, memory: Memory) -> Float[Array, "batch source size"]:
        """Return what can be computed once a source."""
        return self.key(memory.states)

    def __call__(
        self, query: Float[Array, "batch query"], keys: Float[Array, "batch source size"], memory: Memory
    ) -> Float[Array, "batch memory"]:
        """Return the context: the mean of the memory under the weights."""
        scores = jnp.tanh(self.query(query)[:, None, :] + keys) @ self.score
        return jnp.einsum("bs,bsm->bm", masked_softmax(scores, memory.mask), memory.states)


class MultiHeadContext(nnx.Module):
    """Scaled dot products in several heads over the source (Vaswani et al., 2017, section 3.2), for one query a row."""

    def __init__(self, query_size: int, memory: Width | int, num_heads: int) -> None:
        self.attention = MultiHeadAttention(query_size, memory, query_size, num_heads)
        self.out = Linear(query_size, memory)

    def keys(self, memory: Memory) -> "KeysValues":
        """Return what can be computed once a source."""
        return self.attention.keys_values(memory.states)

    def __call__(
        self, query: Float[Array, "batch query"], keys: "KeysValues", memory: Memory
    ) -> Float[Array, "batch memory"]:
        """Return the context, of the memory's size."""
        return self.out(self.attention(query[:, None, :], keys, memory.mask[:, None, :])[:, 0])


class KeysValues(NamedTuple):
    """Keys and values of positions, by head."""

    keys: Float[Array, "batch positions heads head"]
    values: Float[Array, "batch positions heads head"]


class MultiHeadAttention(nnx.Module):
    """`softmax(Q Kᵀ / √d) V` in several heads (Vaswani et al., 2017, section 3.2.2); keys have no bias.

    A bias on the keys shifts all scores of a query alike, so its gradient is rounding noise.
    """

    def __init__(self, query_size: int, memory: Width | int, size: int, num_heads: int) -> None:
        head = size // num_heads
        self.head = true_size(head)
        self.query = parameter((query_size, num_heads, head), scaled(query_size, size))
        self.query_bias = parameter((num_heads, head), zeros)
        attended = Width.of(memory)
        shape = (attended.total, num_heads, head)
        self.key = parameter(shape, scaled(attended.total, size), blocks=(attended.blocks,))
        self.value = parameter(shape, scaled(attended.total, size), blocks=(attended.blocks,))
        self.value_bias = parameter((num_heads, head), zeros)
        self.out = parameter((num_heads, head, query_size), scaled(size, query_size))
        self.out_bias = parameter((query_size,), zeros)

    def keys_values(self, states: Float[Array, "batch positions memory"]) -> KeysValues:
        """Return keys and values of the positions that will be attended to."""
        keys = jnp.einsum("bpm,mhd->bphd", states, self.key)
        values = jnp.einsum("bpm,mhd->bphd", states, self.value) + self.value_bias[None, None]
        return KeysValues(keys, values)

    def __call__(
        self,
        queries: Float[Array, "batch queries query"],
        attended: KeysValues,
        mask: Bool[Array, "#batch #queries positions"],
    ) -> Float[Array, "batch queries query"]:
        """Return one vector a query; the mask says which positions each may see."""
        q = jnp.einsum("bqm,mhd->bqhd", queries, self.query) + self.query_bias[None, None]
        scale = jax.lax.rsqrt(jnp.asarray(self.head.get_value(), jnp.float32))
        scores = jnp.einsum("bqhd,bphd->bhqp", q, attended.keys) * scale
        weights = masked_softmax(scores, mask[:, None])
        context = jnp.einsum("bhqp,bphd->bqhd", weights, attended.values)
        out = jnp.einsum("bqhd,hdm->bqm", context, self.out)
        return out + jnp.broadcast_to(self.out_bias, out.shape)


def build_attention(
    kind: kinds.Attention, query_size: int, memory: Width | int
) -> AdditiveAttention | MultiHeadContext:
    """Return the module for a kind, for a recurrent decoder's single query."""
    match kind:
        case kinds.Additive(size):
            return AdditiveAttention(query_size, memory, size)
        case kinds.MultiHead(num_heads):
            return MultiHeadContext(query_size, memory, num_heads)
        case other:
            assert_never(other)
