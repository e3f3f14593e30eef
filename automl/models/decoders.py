"""Decoders: from the encoded source and the target so far to the next token's logits.

Each can be run over a whole target at once (`outputs`, for training) or token by token (`start`,
`step`, for decoding); both give the same numbers.
"""

from functools import partial
from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from automl.models.attention import MASKED, KeysValues, Memory, MultiHeadAttention, build_attention
from automl.models.embeddings import TokenEmbedding, sinusoidal
from automl.models.layers import FeedForward, LayerNorm, Linear, Noise, drop, go_on
from automl.models.parameters import Width, parameter, scaled, true_size, zeros
from automl.models.recurrence import CELLS, State
from search_spaces import decoders as kinds


class Logits(nnx.Module):
    """`x W + b`, a number for each token; those beyond the true vocabulary are masked."""

    def __init__(self, size: int, vocabulary: int) -> None:
        self.size = true_size(vocabulary)
        self.kernel = parameter((size, vocabulary), scaled(size, vocabulary))
        self.bias = parameter((vocabulary,), zeros)

    def __call__(self, x: Float[Array, "*batch size"]) -> Float[Array, "*batch vocabulary"]:
        """Return the logits."""
        logits = jnp.matmul(x, self.kernel)
        logits = logits + jnp.broadcast_to(self.bias, logits.shape)
        size = self.size.get_value()
        if isinstance(size, int):
            return logits
        real = jnp.arange(logits.shape[-1]) < size
        return jnp.where(jnp.broadcast_to(real, logits.shape), logits, MASKED)


class RecurrentCarry(NamedTuple):
    """What a recurrent decoder hands on from token to token."""

    states: tuple[State, ...]
    context: Float[Array, "batch memory"]


class RecurrentDecoder(nnx.Module):
    """Gated recurrent cells that are fed the last token and the last context (Luong et al., 2015, section 3.3)."""

    def __init__(self, kind: kinds.Recurrent, vocabulary: int, memory: Width | int) -> None:
        size = kind.hidden_size
        self.depth = true_size(kind.num_layers)
        self.embedding = TokenEmbedding(vocabulary, size)
        self.cells = nnx.List([CELLS[kind.cell](Width(size), size) for _ in range(kind.num_layers)])
        context = Width.of(memory)
        fed = (context.total, CELLS[kind.cell].gates, size)
        self.feed = parameter(fed, scaled(context.total, size), blocks=(context.blocks,))
        bridges = (Linear(memory, size) for _ in range(kind.num_layers))
        self.bridges = nnx.List(bridges)
        self.attention = build_attention(kind.attention, size, memory)
        self.of_hidden = Linear(size, size)
        self.of_context = Linear(memory, size, bias=False)
        self.logits = Logits(size, vocabulary)

    def begin(self, memory: Memory) -> RecurrentCarry:
        """Return the carry before the first token, from the mean of the memory."""
        real = memory.mask[:, :, None]
        count = jnp.maximum(real.sum(axis=1), 1).astype(memory.states.dtype)
        mean = jnp.where(real, memory.states, 0.0).sum(axis=1) / count
        states = tuple(State(h, h) for h in (jnp.tanh(bridge(mean)) for bridge in self.bridges))
        return RecurrentCarry(states, jnp.zeros((mean.shape[0], memory.states.shape[-1])))

    def advance(
        self, carry: RecurrentCarry, projected: Float[Array, "batch gates size"], keys: Any, memory: Memory
    ) -> tuple[RecurrentCarry, Float[Array, "batch size"]]:
        """Take one step, from the token's part of the first cell's gates; also return the last layer's output."""
        fed = jnp.einsum("bm,mgs->bgs", carry.context, self.feed)
        states = [self.cells[0](projected + fed, carry.states[0])]
        hidden = states[0].hidden
        for i in range(1, len(self.cells)):
            hidden, state = go_on(i, self.depth.get_value(), partial(self.layer, i), (hidden, carry.states[i]))
            states.append(state)
        return RecurrentCarry(tuple(states), self.attention(hidden, keys, memory)), hidden

    def layer(self, index: int, below: tuple[Float[Array, "batch size"], State]) -> tuple[Array, State]:
        """Take one step of a later layer, from the output of the layer below and the layer's own state."""
        cell = self.cells[index]
        state = cell(cell.project(below[0]), below[1])
        return state.hidden, state

    def outputs(
        self, memory: Memory, tokens: Int[Array, "batch target"], noise: Noise | None
    ) -> Float[Array, "batch target vocabulary"]:
        """Return the logits after each token of a known target."""
        embedded = drop(self.embedding(tokens), noise and noise.at(0))
        projected = jnp.swapaxes(self.cells[0].project(embedded), 0, 1)
        keys = self.attention.keys(memory)

        def step(carry: RecurrentCarry, inputs: Array) -> tuple[RecurrentCarry, tuple[Array, Array]]:
            carry, hidden = self.advance(carry, inputs, keys, memory)
            return carry, (hidden, carry.context)

        _, seen = jax.lax.scan(step, self.begin(memory), projected)
        hidden, context = (jnp.swapaxes(x, 0, 1) for x in seen)
        return self.answer(hidden, context, noise)

    def answer(
        self, hidden: Float[Array, "*batch size"], context: Float[Array, "*batch memory"], noise: Noise | None
    ) -> Float[Array, "*batch vocabulary"]:
        """Return logits from the cells' output and the context."""
        combined = jnp.tanh(self.of_hidden(hidden) + self.of_context(context))
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
        state, hidden = self.advance(state, self.cells[0].project(self.embedding(tokens)), keys, memory)
        return (state, keys), self.answer(hidden, state.context, None)


class DecoderBlock(nnx.Module):
    """Causal self-attention, attention to the source, feed-forward; each normalised before and added to its input."""

    def __init__(self, size: int, memory: Width | int, num_heads: int, feed_forward: int) -> None:
        self.self_norm = LayerNorm(size)
        self.self_attention = MultiHeadAttention(size, Width(size), size, num_heads)
        self.source_norm = LayerNorm(size)
        self.source_attention = MultiHeadAttention(size, memory, size, num_heads)
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

    def __init__(self, kind: kinds.Transformer, vocabulary: int, memory: Width | int) -> None:
        self.depth = true_size(kind.num_layers)
        self.size = kind.model_size
        self.embedding = TokenEmbedding(vocabulary, kind.model_size)
        width = kind.feed_forward_ratio * kind.model_size
        heads = kind.attention.num_heads
        blocks = (DecoderBlock(kind.model_size, memory, heads, width) for _ in range(kind.num_layers))
        self.blocks = nnx.List(blocks)
        self.norm = LayerNorm(kind.model_size)
        self.logits = Logits(kind.model_size, vocabulary)

    def outputs(
        self, memory: Memory, tokens: Int[Array, "batch target"], noise: Noise | None
    ) -> Float[Array, "batch target vocabulary"]:
        """Return the logits after each token of a known target."""
        length = tokens.shape[1]
        positions = sinusoidal(jnp.arange(length), self.size, self.embedding.size.get_value())[None]
        x = drop(self.embedding(tokens) + positions, noise and noise.at(0))
        causal = jnp.tril(jnp.ones((1, length, length), bool))
        for i in range(len(self.blocks)):
            x = go_on(i, self.depth.get_value(), partial(self.block, i, memory, causal, noise), x)
        return self.logits(drop(self.norm(x), noise and noise.at(len(self.blocks) + 1)))

    def block(
        self, index: int, memory: Memory, causal: Array, noise: Noise | None, x: Float[Array, "batch target size"]
    ) -> Float[Array, "batch target size"]:
        """Run one block over a whole target."""
        block = self.blocks[index]
        source = block.source_attention.keys_values(memory.states)
        return block(x, block.own(x), causal, source, memory.mask[:, None, :], noise and noise.at(index + 1))

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
        place = sinusoidal(position[None], self.size, self.embedding.size.get_value())
        x = (self.embedding(tokens) + place)[:, None, :]
        written: list[KeysValues] = []
        so_far = (jnp.arange(caches[0].keys.shape[1]) <= position)[None, None, :]
        for i, block in enumerate(self.blocks):
            written.append(_written(caches[i], block.own(x), position))
            attend = partial(
                block, seen=written[i], mask=so_far, source=source[i], source_mask=memory.mask[:, None, :], noise=None
            )
            x = go_on(i, self.depth.get_value(), attend, x)
        return (tuple(written), source), self.logits(self.norm(x))[:, 0]


Decoder = RecurrentDecoder | TransformerDecoder


def build_decoder(kind: kinds.Decoder, vocabulary: int, memory: Width | int) -> Decoder:
    """Return the module for a kind."""
    match kind:
        case kinds.Recurrent():
            return RecurrentDecoder(kind, vocabulary, memory)
        case kinds.Transformer():
            return TransformerDecoder(kind, vocabulary, memory)
        case other:
            assert_never(other)
