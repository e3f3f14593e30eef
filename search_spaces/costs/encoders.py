"""The work of encoders."""

from typing import assert_never

from search_spaces import encoders, stems
from search_spaces.costs.blocks import Pairs, feed_forward, final, self_attention
from search_spaces.costs.layers import GATES
from search_spaces.costs.stems import entered
from search_spaces.costs.work import NONE, Work, dropout, each, linear, norm, product
from search_spaces.embeddings import NoPositions

CELLS = {"lstm": (17, 36, 12), "gru": (14, 32, 10), "mingru": (12, 25, 8)}
"""Operations for each value of a state, forwards and backwards, and values kept; minGRU's associative scan included."""
MASKS = (3, 8)
"""Operations by which padded positions leave a state alone."""


def encoded(kind: encoders.Encoder, stem: stems.Stem, rows: int, tokens: int, wanted: int) -> Work:
    """Return an encoded batch of sources of so many tokens, brought to the size that the decoder wants."""
    length = stems.positions(stem, tokens)
    positions = rows * length
    masked = each(positions * wanted, 1, 1)
    match kind:
        case encoders.Recurrent(_, size, layers, bidirectional):
            directions = 2 if bidirectional else 1
            needed = bidirectional or size != wanted
            bridge = linear(positions, directions * size, wanted) if needed else NONE
            first = entered(stem, NoPositions(), rows, tokens, size) + _layer(kind, rows, length, size)
            return first + _layer(kind, rows, length, directions * size) * (layers - 1) + bridge + masked
        case encoders.Transformer(size, layers):
            block = self_attention(kind, Pairs(rows, length, length, length)) + feed_forward(kind, positions)
            ends = entered(stem, kind.positions, rows, tokens, size) + final(kind, positions)
            return ends + block * layers + _bridge(positions, size, wanted) + masked
        case encoders.Convolution(size, layers, taps, places, name):
            kernel = each(2 * taps * size * size, 1, 1)
            convolved = product(positions, taps * size, 2 * size) + each(positions * size, 8, 7 + 2.5 * taps, 4 + taps)
            block = norm(name, positions, size) + kernel + convolved + dropout(positions * size)
            ends = entered(stem, places, rows, tokens, size) + norm(name, positions, size)
            return ends + block * layers + _bridge(positions, size, wanted) + masked
        case encoders.Identity():
            return NONE
        case other:
            assert_never(other)


def _layer(kind: encoders.Recurrent, rows: int, length: int, inputs: int) -> Work:
    """Return a layer of cells in all their directions, whose weights gather a gradient at every step."""
    size, gates = kind.hidden_size, GATES[kind.cell]
    mapped = linear(rows * length, inputs, gates * size) + each(rows * length * size, *CELLS[kind.cell])
    mapped += dropout(rows * length * size) + each(rows * length * size, 0, 2)
    if kind.cell != "mingru":
        step = product(rows, size, gates * size) + each(rows * size, *MASKS) + each(gates * size * size, 0, 1)
        mapped += step * length
    residual = each(rows * length * size, 1, 1) if kind.residual else NONE
    return (mapped + residual) * (2 if kind.bidirectional else 1)


def _bridge(positions: int, size: int, wanted: int) -> Work:
    return linear(positions, size, wanted) if size != wanted else NONE
