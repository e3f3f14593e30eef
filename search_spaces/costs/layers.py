"""The weights of what several families share, and of attention."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, assert_never

from search_spaces import decoders, encoders, stems
from search_spaces.attention import Additive, Attention, Concat, Dot, General, Local, MultiHead
from search_spaces.embeddings import ALiBi, Learned, NoPositions, Positions, RelativeBias, Rotary, Sinusoidal

GATES = {"lstm": 4, "gru": 3, "mingru": 2}
Block = encoders.Transformer | decoders.Transformer | decoders.SimpleRecurrent


class Weight(NamedTuple):
    """Some arrays of one shape.

    Attributes:
        kind: What they are to an optimizer; a vector is one row.
        rows: Inputs of a matrix, tokens or positions of an embedding.
        columns: Outputs.
        number: How many of them.
    """

    kind: Literal["matrix", "embedding", "vector"]
    rows: int
    columns: int
    number: int = 1

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.rows * self.columns * self.number


def cell(kind: str, inputs: int, size: int) -> Iterator[Weight]:
    """Yield the weights of a recurrent cell."""
    yield Weight("matrix", inputs, size, GATES[kind])
    if kind != "mingru":
        yield Weight("matrix", size, size, GATES[kind])
    yield Weight("vector", 1, size, GATES[kind])


def attention(kind: Attention, size: int) -> Iterator[Weight]:
    """Yield the weights of attention to the source by a recurrent decoder."""
    match kind:
        case Additive(hidden):
            yield from [*linear(size, hidden), Weight("matrix", size, hidden), Weight("vector", 1, hidden)]
        case Concat(hidden):
            yield from [Weight("matrix", size, hidden, 2), Weight("vector", 1, hidden)]
        case Dot():
            pass
        case General() | Local():
            yield Weight("matrix", size, size)
        case MultiHead():
            yield from multi_head(kind, size)
        case other:
            assert_never(other)


def stem(kind: stems.Stem, vocabulary: int, size: int) -> Iterator[Weight]:
    """Yield the weights by which sources enter."""
    match kind:
        case stems.Tokens():
            yield Weight("embedding", vocabulary, size)
        case stems.Patches():
            yield from linear(kind.side**2 * kind.channels, size)
        case stems.Convolutions():
            inputs = kind.channels
            for filters in kind.widths:
                block = [Weight("matrix", filters, filters, 9), Weight("vector", 1, filters), *norm("layer", filters)]
                yield from [*linear(4 * inputs, filters), *block * kind.blocks]
                inputs = filters
            yield from [*norm("layer", inputs), *linear(inputs, size)]
        case other:
            assert_never(other)


def positions(kind: Positions, size: int, heads: int) -> Iterator[Weight]:
    """Yield the table of positions, where there is one."""
    match kind:
        case Learned(length):
            yield Weight("embedding", length, size)
        case RelativeBias(buckets):
            yield Weight("embedding", buckets, heads)
        case NoPositions() | Sinusoidal() | Rotary() | ALiBi():
            pass
        case other:
            assert_never(other)


def multi_head(kind: MultiHead, size: int) -> Iterator[Weight]:
    """Yield the weights of attention in several heads."""
    shared = kind.key_value_heads * (size // kind.num_heads)
    yield from [*linear(size, size)] * 2
    yield from [Weight("matrix", size, shared), *linear(size, shared)]


def feed_forward(kind: Block) -> Iterator[Weight]:
    """Yield the weights of a feed-forward network and its norm."""
    size, hidden = kind.model_size, kind.feed_forward_ratio * kind.model_size
    yield from [*linear(size, hidden)] * (2 if kind.activation == "swiglu" else 1)
    yield from [*linear(hidden, size), *norm(kind.norm, size)]


def final(kind: Block) -> Iterator[Weight]:
    """Yield the norm after blocks that normalise first."""
    if kind.norm_first:
        yield from norm(kind.norm, kind.model_size)


def bridge(size: int, wanted: int, *, needed: bool) -> Iterator[Weight]:
    """Yield the map between an encoder's vectors and the decoder's."""
    if needed:
        yield from linear(size, wanted)


def linear(inputs: int, outputs: int) -> Iterator[Weight]:
    """Yield a matrix and a bias."""
    yield from (Weight("matrix", inputs, outputs), Weight("vector", 1, outputs))


def norm(kind: str, size: int) -> Iterator[Weight]:
    """Yield the scale of a norm, and the bias of a layer normalisation."""
    yield Weight("vector", 1, size, 2 if kind == "layer" else 1)
