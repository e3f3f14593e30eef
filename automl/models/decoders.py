"""Decoders: from the encoded source and the target so far to the next token's logits.

Each can be run over a whole target at once (`outputs`, for training) or token by token (`start`,
`step`, for decoding); both give the same numbers.
"""

from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from automl.models.attention import KeysValues, Memory, MultiHeadAttention, build_attention
from automl.models.embeddings import TokenEmbedding, sinusoidal
from automl.models.layers import FeedForward, LayerNorm, Linear, Noise, drop
from automl.models.parameters import parameter, scaled
from automl.models.recurrence import CELLS, State
from search_spaces import decoders as kinds


class RecurrentCarry(NamedTuple):
    """What a recurrent decoder hands on from token to token."""

    states: tuple[State, ...]
    context: Float[Array, "batch memory"]


class RecurrentDecoder(nnx.Module):
    """Gated recurrent cells that are fed the last token and the last context (Luong et al., 2015, section 3.3)."""

    def __init__(self, kind: kinds.Recurrent, vocabulary: int, memory_size: int) -> None:
        size = kind.hidden_size
        self.embedding = TokenEmbedding(vocabulary, size)
        self.first = CELLS[kind.cell](size, size)
        self.feed = parameter((memory_size, self.first.gates, size), scaled(memory_size, size))
        self.cells = nnx.List([CELLS[kind.cell](size, size) for _ in range(kind.num_layers - 1)])
        self.bridges = nnx.List([Linear(memory_size, size) for _ in range(kind.num_layers)])
        self.attention = build_attention(kind.attention, size, memory_size)
        self.combine = Linear(size + memory_size, size)
        self.logits = Linear(size, vocabulary)

    def begin(self, memory: Memory) -> RecurrentCarry:
        """Return the carry before the first token, from the mean of the memory."""
        real = memory.mask[:, :, None]
        count = jnp.maximum(real.sum(axis=1), 1).astype(memory.states.dtype)
        mean = jnp.where(real, memory.states, 0.0).sum(axis=1) / count
        states = tuple(State(h, h) for h in (jnp.tanh(bridge(mean)) for bridge in self.bridges))
        return RecurrentCarry(states, jnp.zeros((mean.shape[0], memory.states.shape[-1])))

    def advance(
        self, carry: RecurrentCarry, projected: Float[Array, "batch gates size"], keys: Any, memory: Memory
    ) -> RecurrentCarry:
        """Take one step, from the token's part of the first cell's gates."""
        fed = jnp.einsum("bm,mgs->bgs", carry.context, self.feed)
        states = [self.first(projected + fed, carry.states[0])]
        for cell, state in zip(self.cells, carry.states[1:], strict=True):
            states.append(cell(cell.project(states[-1].hidden), state))
        return RecurrentCarry(tuple(states), self.attention(states[-1].hidden, keys, memory))

    def outputs(
        self, memory: Memory, tokens: Int[Array, "batch target"], noise: Noise | None
    ) -> Float[Array, "batch target vocabulary"]:
        """Return the logits after each token of a known target."""
        embedded = drop(self.embedding(tokens), noise and noise.at(0))
        projected = jnp.swapaxes(self.first.project(embedded), 0, 1)
        keys = self.attention.keys(memory)

        def step(carry: RecurrentCarry, inputs: Array) -> tuple[RecurrentCarry, tuple[Array, Array]]:
            carry = self.advance(carry, inputs, keys, memory)
            return carry, (carry.states[-1].hidden, carry.context)

        _, seen = jax.lax.scan(step, self.begin(memory), projected)
        hidden, context = (jnp.swapaxes(x, 0, 1) for x in seen)
        return self.answer(hidden, context, noise)

    def answer(
        self, hidden: Float[Array, "*batch size"], context: Float[Array, "*batch memory"], noise: Noise | None
    ) -> Float[Array, "*batch vocabulary"]:
        """Return logits from the cells' output and the context."""
        combined = jnp.tanh(self.combine(jnp.concatenate([hidden, context], axis=-1)))
        return self.logits(drop(combined, noise and noise.at(1)))

    def start(self, memory: Memory, length: int) -> tuple[RecurrentCarry, Any]:
        """Return the carry and what is computed once a source; `length` bounds nothing here."""
        del length
        return self.begin(memory), self.attention.keys(memory)

    def step(
        self, memory: Memory, carry: tuple[RecurrentCarry, Any], tokens: Int[Array, "batch"], position: Int[Array, ""]
    ) -> tuple[tuple[RecurrentCarry, Any], Float[Array, "batch vocabulary"]]:
        """Return the carry after one token a row, and the logits of the next."""
        del position
        state, keys = carry
        state = self.advance(state, self.first.project(self.embedding(tokens)), keys, memory)
        return (state, keys), self.answer(state.states[-1].hidden, state.context, None)


class DecoderBlock(nnx.Module):
    """Causal self-attention, attention to the source, feed-forward; each normalised before and added to its input."""

    def __init__(self, size: int, memory_size: int, num_heads: int, feed_forward: int) -> None:
        self.self_norm = LayerNorm(size)
        self.self_attention = MultiHeadAttention(size, size, size, num_heads)
        self.source_norm = LayerNorm(size)
        self.source_attention = MultiHeadAttention(size, memory_size, size, num_heads)
        self.feed_forward_norm = LayerNorm(size)
        self.feed_forward = FeedForward(size, feed_forward)

    def __call__(
        self,
        x: Float[Array, "batch target size"],
        seen: KeysValues,
        mask: Array,
        source: KeysValues,
        source_mask: Array,
        noise: Noise | None,
    ) -> Float[Array, "batch target size"]:
        """Return the positions; `seen` holds keys and values of the positions that `mask` lets each see."""
        x = x + drop(self.self_attention(self.self_norm(x), seen, mask), noise and noise.at(0))
        x = x + drop(self.source_attention(self.source_norm(x), source, source_mask), noise and noise.at(1))
        y = self.feed_forward(self.feed_forward_norm(x), noise and noise.at(2))
        return x + drop(y, noise and noise.at(3))

    def own(self, x: Float[Array, "batch target size"]) -> KeysValues:
        """Return keys and values of the target's own positions."""
        return self.self_attention.keys_values(self.self_norm(x))


def _written(cache: KeysValues, own: KeysValues, position: Int[Array, ""]) -> KeysValues:
    pairs = zip(cache, own, strict=True)
    return KeysValues(*(jax.lax.dynamic_update_slice_in_dim(old, new, position, axis=1) for old, new in pairs))


class TransformerDecoder(nnx.Module):
    """Blocks of causal self-attention and attention to the source (Vaswani et al., 2017, section 3.1)."""

    def __init__(self, kind: kinds.Transformer, vocabulary: int, memory_size: int) -> None:
        self.size = kind.model_size
        self.embedding = TokenEmbedding(vocabulary, kind.model_size)
        width = kind.feed_forward_ratio * kind.model_size
        heads = kind.attention.num_heads
        blocks = (DecoderBlock(kind.model_size, memory_size, heads, width) for _ in range(kind.num_layers))
        self.blocks = nnx.List(blocks)
        self.norm = LayerNorm(kind.model_size)
        self.logits = Linear(kind.model_size, vocabulary)

    def outputs(
        self, memory: Memory, tokens: Int[Array, "batch target"], noise: Noise | None
    ) -> Float[Array, "batch target vocabulary"]:
        """Return the logits after each token of a known target."""
        length = tokens.shape[1]
        x = drop(self.embedding(tokens) + sinusoidal(jnp.arange(length), self.size)[None], noise and noise.at(0))
        causal = jnp.tril(jnp.ones((1, length, length), bool))
        for i, block in enumerate(self.blocks):
            source = block.source_attention.keys_values(memory.states)
            x = block(x, block.own(x), causal, source, memory.mask[:, None, :], noise and noise.at(i + 1))
        return self.logits(drop(self.norm(x), noise and noise.at(len(self.blocks) + 1)))

    def start(self, memory: Memory, length: int) -> tuple[tuple[KeysValues, ...], tuple[KeysValues, ...]]:
        """Return empty caches for `length` positions, and the source's keys and values."""
        source = tuple(block.source_attention.keys_values(memory.states) for block in self.blocks)
        heads, head = source[0].keys.shape[2:]
        empty = jnp.zeros((memory.mask.shape[0], length, heads, head))
        return tuple(KeysValues(empty, empty) for _ in self.blocks), source

    def step(
        self, memory: Memory, carry: tuple[Any, Any], tokens: Int[Array, "batch"], position: Int[Array, ""]
    ) -> tuple[tuple[Any, Any], Float[Array, "batch vocabulary"]]:
        """Return the carry after one token a row at `position`, and the logits of the next."""
        caches, source = carry
        x = (self.embedding(tokens) + sinusoidal(position[None], self.size))[:, None, :]
        written: list[KeysValues] = []
        so_far = (jnp.arange(caches[0].keys.shape[1]) <= position)[None, None, :]
        for block, cache, attended in zip(self.blocks, caches, source, strict=True):
            written.append(_written(cache, block.own(x), position))
            x = block(x, written[-1], so_far, attended, memory.mask[:, None, :], None)
        return (tuple(written), source), self.logits(self.norm(x))[:, 0]


Decoder = RecurrentDecoder | TransformerDecoder


def build_decoder(kind: kinds.Decoder, vocabulary: int, memory_size: int) -> Decoder:
    """Return the module for a kind."""
    match kind:
        case kinds.Recurrent():
            return RecurrentDecoder(kind, vocabulary, memory_size)
        case kinds.Transformer():
            return TransformerDecoder(kind, vocabulary, memory_size)
        case other:
            assert_never(other)
