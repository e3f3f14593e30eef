"""Decoders: from the encoded source and the target so far to the next token's logits.

Each can be run over a whole target at once (`outputs`, for training) or token by token (`start`,
`step`, for decoding); both give the same numbers. A decoder without a source is a language model.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from automl.models.attention import Attended, Cache, KeysValues, Memory, SourceAttention, cached, resized, written
from automl.models.blocks import (
    FeedForwardLayer,
    SelfAttentionLayer,
    SimpleRecurrentLayer,
    SourceAttentionLayer,
    block_kinds,
)
from automl.models.dropout import Noise, drop, drop_embedded
from automl.models.embeddings import Places, Relations, TokenEmbedding
from automl.models.facts import OneOf, distinct, fact, number
from automl.models.layers import FinalNorm, Linear, fitted, go_on
from automl.models.outputs import Output, OutputKinds
from automl.models.parameters import Width
from automl.models.recurrence import STEPPED, State, of_gates, rest
from search_spaces import decoders as kinds

Seen = tuple[Float[Array, "batch target size"], Float[Array, "batch target source"]]
"""A vector for each position of a target, and where the decoder looked for it."""


class RecurrentCarry(NamedTuple):
    """What a recurrent decoder hands on from token to token."""

    states: tuple[State, ...]
    context: Float[Array, "batch size"]
    place: Int[Array, ""]


class RecurrentCells(nnx.Module):
    """Gated recurrent cells that are fed the last token and the last context (Luong et al., 2015, section 3.3)."""

    def __init__(self, found: Sequence[kinds.Recurrent], *, attends: bool) -> None:
        self.size, layers = max(k.hidden_size for k in found), max(k.num_layers for k in found)
        names = distinct(k.cell for k in found)
        self.depth = fact(layers)
        inputs = [Width(self.size, 2 if attends else 1)] + [Width(self.size)] * (layers - 1)
        self.cells = nnx.List([OneOf({n: STEPPED[n](into, self.size) for n in names}) for into in inputs])
        self.gates = max(STEPPED[name].gates for name in names)
        looking = [(k.attention, k.hidden_size) for k in found]
        self.attention = SourceAttention(looking, self.size) if attends else None
        self.bridges = nnx.List([Linear(self.size, self.size) for _ in range(layers if attends else 0)])

    def begin(self, memory: Memory) -> RecurrentCarry:
        """Return the carry before the first token, from the mean of the memory."""
        real = memory.mask[:, :, None]
        count = jnp.maximum(real.sum(axis=1), 1).astype(memory.states.dtype)
        mean = jnp.where(real, memory.states, 0.0).sum(axis=1) / count
        states = tuple(State(h, h) for h in (jnp.tanh(bridge(mean)) for bridge in self.bridges))
        none = (rest(mean.shape[0], self.size, mean.dtype) for _ in self.cells)
        return RecurrentCarry(states or tuple(none), jnp.zeros_like(mean), jnp.zeros((), jnp.int32))

    def advance(
        self, carry: RecurrentCarry, projected: Float[Array, "batch gates size"], keys: Any, memory: Memory
    ) -> tuple[RecurrentCarry, tuple[Float[Array, "batch size"], Attended]]:
        """Take one step, from the token's part of the first cell's gates.

        Returns:
            The carry; the last layer's output and what it found in the source.
        """
        states = [self.cells[0].pick(partial(self._first, projected, carry))]
        hidden = states[0].hidden
        for i in range(1, len(self.cells)):
            hidden, state = go_on(i, number(self.depth), partial(self._layer, i), (hidden, carry.states[i]))
            states.append(state)
        found = Attended(carry.context, jnp.zeros(memory.mask.shape, hidden.dtype))
        if self.attention is not None:
            found = self.attention(hidden, keys, memory, carry.place)
        return RecurrentCarry(tuple(states), found.context, carry.place + 1), (hidden, found)

    def _first(self, projected: Float[Array, "batch gates size"], carry: RecurrentCarry, cell: Any) -> State:
        gates = projected[:, : cell.gates]
        if self.attention is not None:
            gates = gates + of_gates(carry.context, cell.input[self.size :])
        state: State = cell(gates, carry.states[0])
        return state

    def _layer(self, index: int, below: tuple[Float[Array, "batch size"], State]) -> tuple[Array, State]:
        """Take one step of a later layer, from the output of the layer below and the layer's own state."""
        state = self.cells[index].pick(lambda cell: cell(cell.project(below[0]), below[1]))
        return state.hidden, state

    def _projected(self, embedded: Float[Array, "*batch size"]) -> Float[Array, "*batch gates size"]:
        """Return the tokens' part of the first cell's gates; a cell with fewer gates leaves the last ones 0."""

        def one(cell: Any) -> Array:
            gates = of_gates(embedded, cell.input[: self.size])
            gates = gates + jnp.broadcast_to(cell.bias, gates.shape)
            return jnp.pad(gates, [(0, 0)] * (gates.ndim - 2) + [(0, self.gates - cell.gates), (0, 0)])

        projected: Array = self.cells[0].pick(one)
        return projected

    def run(self, memory: Memory, embedded: Float[Array, "batch target size"]) -> tuple[Array, Any]:
        """Return the last layer's outputs after each token of a known target, and what they found in the source."""
        projected = jnp.swapaxes(self._projected(embedded), 0, 1)
        keys = self.attention and self.attention.keys(memory)

        def step(carry: RecurrentCarry, inputs: Array) -> tuple[RecurrentCarry, tuple[Array, Attended]]:
            return self.advance(carry, inputs, keys, memory)

        _, seen = jax.lax.scan(step, self.begin(memory), projected)
        hidden, found = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), seen)
        return hidden, found


class RecurrentDecoder(RecurrentCells):
    """Recurrent cells between an embedding and logits."""

    grows = False

    def __init__(self, found: Sequence[kinds.Recurrent], output: OutputKinds, *, attends: bool) -> None:
        super().__init__(found, attends=attends)
        self.embedding = TokenEmbedding(output.vocabulary, self.size)
        self.of_hidden = Linear(self.size, self.size)
        self.of_context = Linear(self.size, self.size, bias=False) if attends else None
        self.output = Output(self.size, output)

    def outputs(
        self, memory: Memory, tokens: Int[Array, "batch target"], noise: Noise | None
    ) -> Float[Array, "batch target vocabulary"]:
        """Return the logits after each token of a known target."""
        memory = memory._replace(states=fitted(memory.states, self.size))
        embedded = drop_embedded(self.embedding(tokens), noise and noise.at(0))
        return self.answer(*self.run(memory, embedded), memory, noise and noise.at(1))

    def seen(self, memory: Memory, tokens: Int[Array, "batch target"]) -> Seen:
        """Return what the output gets after each token of a known target, and where the decoder looked."""
        memory = memory._replace(states=fitted(memory.states, self.size))
        hidden, found = self.run(memory, self.embedding(tokens))
        return self._both(hidden, found), found.weights

    def answer(
        self,
        hidden: Float[Array, "batch target size"],
        found: Any,
        memory: Memory,
        noise: Noise | None,
    ) -> Float[Array, "batch target vocabulary"]:
        """Return logits from the cells' outputs and what they found in the source."""
        return self.output(drop(self._both(hidden, found), noise), self.embedding, found.weights, memory.copies)

    def _both(self, hidden: Float[Array, "batch target size"], found: Any) -> Float[Array, "batch target size"]:
        both = self.of_hidden(hidden)
        if self.of_context is not None:
            both = both + self.of_context(found.context)
        return jnp.tanh(both)

    def start(self, memory: Memory, length: int) -> tuple[RecurrentCarry, Any]:
        """Return the carry and what is computed once a source; `length` bounds nothing here."""
        del length
        memory = memory._replace(states=fitted(memory.states, self.size))
        return self.begin(memory), self.attention and self.attention.keys(memory)

    def resized(self, carry: RecurrentCarry, length: int) -> RecurrentCarry:
        """Return the carry: it is the same for any number of tokens."""
        del length
        return carry

    def step(
        self, memory: Memory, carry: tuple[RecurrentCarry, Any], tokens: Int[Array, "batch"], position: Int[Array, ""]
    ) -> tuple[tuple[RecurrentCarry, Any], Float[Array, "batch vocabulary"]]:
        """Return the carry after one token a row, and the logits of the next."""
        del position
        memory = memory._replace(states=fitted(memory.states, self.size))
        state, keys = carry
        state, (hidden, found) = self.advance(state, self._projected(self.embedding(tokens)), keys, memory)
        found = Attended(found.context[:, None], found.weights[:, None])
        return (state, keys), self.answer(hidden[:, None], found, memory, None)[:, 0]


class DecoderBlock(nnx.Module):
    """What follows on the mixing of a target's positions: attention to the source, then feed-forward."""

    def __init__(self, found: Sequence[kinds.Transformer | kinds.SimpleRecurrent], *, attends: bool) -> None:
        self.source = SourceAttentionLayer(found) if attends else None
        self.feed_forward = FeedForwardLayer(found)

    def keys_values(self, memory: Memory) -> KeysValues | None:
        """Return the source's keys and values."""
        return None if self.source is None else self.source.inner.keys_values(memory.states)

    def __call__(self, seen: Seen, source: KeysValues | None, memory: Memory, noise: Noise | None) -> Seen:
        """Look at the source and map each position; also return where they looked."""
        x, weights = seen
        if self.source is not None and source is not None:
            x, weights = self.source(x, source, memory.mask, noise and noise.at(1))
        return self.feed_forward(x, noise and noise.at(2)), weights

    def step(self, seen: Seen, source: Cache | None, memory: Memory) -> Seen:
        """Do the same for one position."""
        x, weights = seen
        if self.source is not None and source is not None:
            x, weights = self.source.step(x, source, memory.mask)
        return self.feed_forward(x, None), weights


class BlockDecoder(nnx.Module):
    """Blocks that mix the positions of a target, then look at the source and map each position.

    What the mixing needs is left to a member of the family: `_embedded`, `_mixed` over a whole target, and `_rest` and
    `_stepped` for what a block hands on from token to token, which `grows` with their number, or does not.
    """

    grows = False

    def __init__(
        self, found: Sequence[kinds.Transformer | kinds.SimpleRecurrent], output: OutputKinds, *, attends: bool
    ) -> None:
        self.size, layers = max(k.model_size for k in found), max(k.num_layers for k in found)
        self.depth = fact(layers)
        self.embedding = TokenEmbedding(output.vocabulary, self.size)
        self.blocks = nnx.List([DecoderBlock(found, attends=attends) for _ in range(layers)])
        self.norm = FinalNorm(self.size, *block_kinds(found))
        self.output = Output(self.size, output)

    def outputs(
        self, memory: Memory, tokens: Int[Array, "batch target"], noise: Noise | None
    ) -> Float[Array, "batch target vocabulary"]:
        """Return the logits after each token of a known target."""
        x, weights = self._run(memory, tokens, noise)
        x = drop(self.norm(x), noise and noise.at(1))
        return self.output(x, self.embedding, weights, memory.copies)

    def seen(self, memory: Memory, tokens: Int[Array, "batch target"]) -> Seen:
        """Return what the output gets after each token of a known target, and where the last block looked."""
        x, weights = self._run(memory, tokens, None)
        return self.norm(x), weights

    def _run(self, memory: Memory, tokens: Int[Array, "batch target"], noise: Noise | None) -> Seen:
        """Return what the blocks make of a target, and where the last one looked."""
        memory = memory._replace(states=fitted(memory.states, self.size))
        x = self._embedded(tokens, jnp.arange(tokens.shape[1]))
        seen = drop_embedded(x, noise and noise.at(0)), _unseen(memory, tokens.shape[1])
        for i in range(len(self.blocks)):
            layer = partial(self._block, i, memory, noise and noise.at(i + 2))
            seen = go_on(i, number(self.depth), layer, seen)
        return seen

    def _block(self, index: int, memory: Memory, noise: Noise | None, seen: Seen) -> Seen:
        """Run one block over a whole target."""
        x = self._mixed(index, seen[0], noise and noise.at(0))
        block: DecoderBlock = self.blocks[index]
        return block((x, seen[1]), block.keys_values(memory), memory, noise)

    def start(self, memory: Memory, length: int) -> tuple[tuple[Any, ...], tuple[Cache | None, ...]]:
        """Return what each block hands on before the first of `length` tokens, and the source's keys and values."""
        memory = memory._replace(states=fitted(memory.states, self.size))
        rest = self._rest(memory, length)
        source = [block.keys_values(memory) for block in self.blocks]
        return tuple(rest for _ in self.blocks), tuple(found and cached(found) for found in source)

    def resized(self, carry: tuple[Any, ...], length: int) -> tuple[Any, ...]:
        """Return what each block hands on with room for `length` tokens."""
        return tuple(self._resized(handed, length) for handed in carry)

    def step(
        self, memory: Memory, carry: tuple[Any, Any], tokens: Int[Array, "batch"], position: Int[Array, ""]
    ) -> tuple[tuple[Any, Any], Float[Array, "batch vocabulary"]]:
        """Return the carry after one token a row at `position`, and the logits of the next."""
        handed, source = carry
        seen, after = (self._embedded(tokens[:, None], position[None]), _unseen(memory, 1)), []
        for i in range(len(self.blocks)):
            look = partial(self.blocks[i].step, source=source[i], memory=memory)
            seen, own = self._stepped(i, look, handed[i], position, seen)
            after.append(own)
        logits = self.output(self.norm(seen[0]), self.embedding, seen[1], memory.copies)
        return (tuple(after), source), logits[:, 0]

    def _embedded(
        self, tokens: Int[Array, "batch target"], positions: Int[Array, "target"]
    ) -> Float[Array, "batch target size"]:
        """Return the vectors of tokens at positions."""
        raise NotImplementedError

    def _mixed(
        self, index: int, x: Float[Array, "batch target size"], noise: Noise | None
    ) -> Float[Array, "batch target size"]:
        """Let each position of a whole target see those before it."""
        raise NotImplementedError

    def _rest(self, memory: Memory, length: int) -> Any:
        """Return what a block hands on before the first of `length` tokens."""
        raise NotImplementedError

    def _resized(self, handed: Any, length: int) -> Any:
        """Return what a block hands on with room for `length` tokens."""
        del length
        return handed

    def _stepped(
        self, index: int, look: Callable[[Seen], Seen], handed: Any, position: Int[Array, ""], seen: Seen
    ) -> tuple[Seen, Any]:
        """Mix one token in and look; also return what the block hands on."""
        raise NotImplementedError


class TransformerDecoder(BlockDecoder):
    """Blocks of causal self-attention and attention to the source (Vaswani et al., 2017, section 3.1)."""

    grows = True

    def __init__(self, found: Sequence[kinds.Transformer], output: OutputKinds, *, attends: bool) -> None:
        super().__init__(found, output, attends=attends)
        positions = distinct(k.positions for k in found)
        self.places = Places(positions, self.size)
        self.relations = Relations(positions, max(k.attention.num_heads for k in found), causal=True)
        self.mixing = nnx.List([SelfAttentionLayer(found) for _ in self.blocks])

    def _embedded(
        self, tokens: Int[Array, "batch target"], positions: Int[Array, "target"]
    ) -> Float[Array, "batch target size"]:
        placed: Array = self.places(self.embedding(tokens), positions)
        return placed

    def _mixed(
        self, index: int, x: Float[Array, "batch target size"], noise: Noise | None
    ) -> Float[Array, "batch target size"]:
        causal = jnp.tril(jnp.ones((1, x.shape[1], x.shape[1]), bool))
        mixed: Array = self.mixing[index](x, causal, self.relations, noise)
        return mixed

    def _rest(self, memory: Memory, length: int) -> Cache:
        """Return an empty cache."""
        inner = self.mixing[0].inner
        shape = (memory.mask.shape[0], length, inner.key.shape[1] // inner.granule, inner.granule)
        empty = jnp.zeros(shape, memory.states.dtype)
        return cached(KeysValues(empty, empty))

    def _resized(self, handed: Cache, length: int) -> Cache:
        """Cut the cache, or fill it up with nothing."""
        return resized(handed, length)

    def _stepped(
        self, index: int, look: Callable[[Seen], Seen], handed: Cache, position: Int[Array, ""], seen: Seen
    ) -> tuple[Seen, Cache]:
        mixing: SelfAttentionLayer = self.mixing[index]
        queries, own = mixing.projected(seen[0], self.relations, position)
        cache = written(handed, own, position)

        def layer(seen: Seen) -> Seen:
            return look((mixing.step(seen[0], queries, cache, position, self.relations), seen[1]))

        return go_on(index, number(self.depth), layer, seen), cache


class SimpleRecurrentDecoder(BlockDecoder):
    """Blocks of simple recurrent units and attention to the source: a step costs no more the longer the target is."""

    def __init__(self, found: Sequence[kinds.SimpleRecurrent], output: OutputKinds, *, attends: bool) -> None:
        super().__init__(found, output, attends=attends)
        self.mixing = nnx.List([SimpleRecurrentLayer(found) for _ in self.blocks])

    def _embedded(
        self, tokens: Int[Array, "batch target"], positions: Int[Array, "target"]
    ) -> Float[Array, "batch target size"]:
        """Return the vectors of tokens; the cells know where they stand."""
        del positions
        embedded: Array = self.embedding(tokens)
        return embedded

    def _mixed(
        self, index: int, x: Float[Array, "batch target size"], noise: Noise | None
    ) -> Float[Array, "batch target size"]:
        mixed: Array = self.mixing[index](x, noise)
        return mixed

    def _rest(self, memory: Memory, length: int) -> Float[Array, "batch size"]:
        """Return cells at rest; `length` bounds nothing here."""
        del length
        return jnp.zeros((memory.mask.shape[0], self.size), memory.states.dtype)

    def _stepped(
        self, index: int, look: Callable[[Seen], Seen], handed: Array, position: Int[Array, ""], seen: Seen
    ) -> tuple[Seen, Array]:
        del position

        def layer(item: tuple[Seen, Array]) -> tuple[Seen, Array]:
            (x, weights), cell = item
            x, cell = self.mixing[index].step(x, cell)
            return look((x, weights)), cell

        return go_on(index, number(self.depth), layer, (seen, handed))


def _unseen(memory: Memory, length: int) -> Float[Array, "batch target source"]:
    batch, source = memory.mask.shape
    return jnp.zeros((batch, length, source), memory.states.dtype)


Decoder = RecurrentDecoder | TransformerDecoder | SimpleRecurrentDecoder


def build_decoder(found: Sequence[kinds.Decoder], output: OutputKinds, *, attends: bool) -> OneOf:
    """Return the modules for the kinds; without `attends`, they look at no source."""
    of_kind: dict[type, list[Any]] = {}
    for kind in found:
        of_kind.setdefault(type(kind), []).append(kind)
    return OneOf({kind.__name__: _module(members, output, attends=attends) for kind, members in of_kind.items()})


def _module(found: Sequence[Any], output: OutputKinds, *, attends: bool) -> Decoder:
    first: kinds.Decoder = found[0]
    match first:
        case kinds.Recurrent():
            return RecurrentDecoder(found, output, attends=attends)
        case kinds.Transformer():
            return TransformerDecoder(found, output, attends=attends)
        case kinds.SimpleRecurrent():
            return SimpleRecurrentDecoder(found, output, attends=attends)
        case other:
            assert_never(other)
