"""The work of decoders: over a whole target in training, and for one token in decoding."""

from typing import NamedTuple, assert_never

from search_spaces import attention, decoders
from search_spaces.costs.blocks import (
    Pairs,
    embedding,
    feed_forward,
    final,
    keys_values,
    looking,
    self_attention,
    shared_size,
    simple_recurrent,
    source_attention,
)
from search_spaces.costs.encoders import CELLS
from search_spaces.costs.layers import GATES
from search_spaces.costs.work import NONE, Work, dropout, each, linear, product
from search_spaces.embeddings import NoPositions


class Looking(NamedTuple):
    """Attention to the source of one query a row.

    Attributes:
        keys: What is computed once a source.
        step: What is computed for each query.
        gathered: Numbers whose gradients are summed over the queries.
    """

    keys: Work
    step: Work
    gathered: int


def outputs(kind: decoders.Decoder, rows: int, source: int, target: int) -> Work:
    """Return the vectors after each token of a known target; without a source, `source` is 0."""
    positions, size = rows * target, decoders.size_of(kind)
    match kind:
        case decoders.Recurrent():
            embedded = embedding(NoPositions(), positions * size) + linear(positions, size, GATES[kind.cell] * size)
            looks = _looking(kind.attention, size, rows, source)
            begin = linear(rows, size, size) * kind.num_layers + each(rows * source * size, 2, 2) + looks.keys
            gathered = each(_looped(kind, source) + looks.gathered, 0, 1)
            steps = (_advanced(kind, rows, source) + looks.step + gathered) * target
            return embedded + (begin if source else NONE) + steps + _answer(positions, size, source)
        case decoders.Transformer(_, layers):
            block = self_attention(kind, Pairs(rows, target, target, target)) + feed_forward(kind, positions)
            block += source_attention(kind, Pairs(rows, target, source, source)) if source else NONE
            return embedding(kind.positions, positions * size) + block * layers + _end(kind, positions)
        case decoders.SimpleRecurrent(_, layers):
            block = simple_recurrent(kind, positions) + feed_forward(kind, positions)
            block += source_attention(kind, Pairs(rows, target, source, source)) if source else NONE
            return embedding(NoPositions(), positions * size) + block * layers + _end(kind, positions)
        case other:
            assert_never(other)


def step(kind: decoders.Decoder, rows: int, source: int, length: int) -> Work:
    """Return the vector after one token; a Transformer looks at all of the `length` places of its cache."""
    size = decoders.size_of(kind)
    match kind:
        case decoders.Recurrent():
            embedded = embedding(NoPositions(), rows * size) + linear(rows, size, GATES[kind.cell] * size)
            looks = _looking(kind.attention, size, rows, source)
            return embedded + _advanced(kind, rows, source) + looks.step + _answer(rows, size, source)
        case decoders.Transformer(_, layers):
            block = self_attention(kind, Pairs(rows, 1, length, 1)) + feed_forward(kind, rows)
            block += source_attention(kind, Pairs(rows, 1, source, 0)) if source else NONE
            return embedding(kind.positions, rows * size) + block * layers + _end(kind, rows)
        case decoders.SimpleRecurrent(_, layers):
            block = simple_recurrent(kind, rows) + feed_forward(kind, rows)
            block += source_attention(kind, Pairs(rows, 1, source, 0)) if source else NONE
            return embedding(NoPositions(), rows * size) + block * layers + _end(kind, rows)
        case other:
            assert_never(other)


def _advanced(kind: decoders.Recurrent, rows: int, source: int) -> Work:
    """Return one step of all cells; the token's part of the first one's gates is there already."""
    size, gates = kind.hidden_size, GATES[kind.cell]
    cell = product(rows, size, gates * size) + each(rows * size, *CELLS[kind.cell])
    context = product(rows, size, gates * size) + each(rows * gates * size, 1, 1) if source else NONE
    return context + cell + (linear(rows, size, gates * size) + cell) * (kind.num_layers - 1)


def _looped(kind: decoders.Recurrent, source: int) -> int:
    """Return how many weights of the cells gather a gradient at every step."""
    matrix = GATES[kind.cell] * kind.hidden_size**2
    return (3 if source else 1) * matrix + 2 * (kind.num_layers - 1) * matrix


def _looking(kind: attention.Attention, size: int, rows: int, source: int) -> Looking:
    if not source:
        return Looking(NONE, NONE, 0)
    positions = rows * source
    found = each(positions * size, 2, 4) + each(positions, 5, 7, 3)
    match kind:
        case attention.Additive(hidden) | attention.Concat(hidden):
            scored = linear(rows, size, hidden) + each(positions * hidden, 3, 10, 3)
            gathered = size * hidden + positions * (hidden + size)
            return Looking(product(positions, size, hidden), scored + found, gathered)
        case attention.Dot():
            return Looking(NONE, each(positions * size, 2, 5) + found, positions * size)
        case attention.General() | attention.Local():
            return Looking(product(positions, size, size), each(positions * size, 2, 4) + found, 2 * positions * size)
        case attention.MultiHead():
            gathered = 2 * size * size + 2 * positions * shared_size(kind, size)
            step = looking(kind, size, Pairs(rows, 1, source, 0))
            return Looking(
                keys_values(kind, size, positions), Work(step.forward, step.backward, kept=step.kept), gathered
            )
        case other:
            assert_never(other)


def _answer(positions: int, size: int, source: int) -> Work:
    context = product(positions, size, size) + each(positions * size, 1, 0) if source else NONE
    return linear(positions, size, size) + context + dropout(positions * size) + each(positions * size, 0, 5, 2)


def _end(kind: decoders.Transformer | decoders.SimpleRecurrent, positions: int) -> Work:
    return final(kind, positions) + dropout(positions * kind.model_size) + each(positions * kind.model_size, 0, 2)
