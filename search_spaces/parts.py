"""Parts: what a model falls into whose programs are compiled by themselves and shared by every model that has them.

A part says only what a program must know of a model: the size of its vectors and what decides its shapes. What else is
a dial (depth, number of heads, kinds of positions, of normalisation, of activation) is data to the program, or decides
which parts a model has and in which order.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from search_spaces import attention, decoders, embeddings, encoders, outputs
from search_spaces.seq2seq import Seq2Seq

GROUPS = (4, 8)
"""Columns of attention fall into the fewest of these groups of which a head has one or several."""
BUCKETS, LEARNT, WINDOW = 32, 1024, 16
"""Positions and windows up to these are data to a block."""

Looking = Literal["scored", "multiplied", "headed"]
"""How a recurrent decoder looks at the source: by a small network, by products, or by products in several heads."""


@dataclass(frozen=True)
class Tokens:
    """Tokens become vectors, and learned or fixed positions are added.

    Attributes:
        side: Whether the tokens are sources, the inputs of a recurrent decoder, or those of blocks.
        vocabulary: Number of tokens, rounded up; 0 where it is not known.
        size: Size of the vectors.
        positions: `Sinusoidal`, `Learned` or nothing.
    """

    side: Literal["source", "recurrent", "blocks"]
    vocabulary: int
    size: int
    positions: str = ""


@dataclass(frozen=True)
class RecurrentLayer:
    """A layer of a recurrent encoder, over vectors of `inputs` parts of the size of a direction."""

    cell: str
    inputs: int
    size: int
    both: bool


@dataclass(frozen=True)
class EncoderBlock:
    """Self-attention in `groups` of columns, then feed-forward."""

    size: int
    hidden: int
    groups: int
    buckets: int


@dataclass(frozen=True)
class ConvolutionBlock:
    """A gated convolution."""

    size: int
    taps: int


@dataclass(frozen=True)
class Bridge:
    """The end of an encoder: normalisation, of blocks, and a map to the size of the decoder where it differs."""

    family: Literal["recurrent", "transformer", "convolution"]
    size: int
    blocks: int
    outputs: int


@dataclass(frozen=True)
class Cells:
    """The cells of a recurrent decoder with attention to the source; `width` is that of the network that scores."""

    cell: str
    size: int
    layers: int
    looking: Looking
    width: int


@dataclass(frozen=True)
class DecoderBlock:
    """Causal self-attention or a simple recurrent unit, attention to the source, feed-forward."""

    mixing: Literal["attention", "recurrence"]
    size: int
    hidden: int
    groups: int
    buckets: int


@dataclass(frozen=True)
class Head:
    """From the last vectors of a decoder to logits and to the loss."""

    family: Literal["recurrent", "blocks"]
    size: int
    vocabulary: int
    tied: bool
    copying: bool


Part = Tokens | RecurrentLayer | EncoderBlock | ConvolutionBlock | Bridge | Cells | DecoderBlock | Head

SECONDS: dict[type[Part], float] = {
    Tokens: 0.5,
    RecurrentLayer: 2.0,
    EncoderBlock: 4.0,
    ConvolutionBlock: 1.2,
    Bridge: 0.4,
    Cells: 3.0,
    DecoderBlock: 5.0,
    Head: 0.9,
}
"""Processor-seconds to compile a part, forwards and backwards, as measured on one machine."""


def parts(configuration: Seq2Seq, source_vocabulary: int = 0, target_vocabulary: int = 0) -> tuple[Part, ...]:
    """Return the parts of a model in the order in which they compute; none where it has no encoder.

    One part stands as often as the model has layers of it.
    """
    wanted = decoders.size_of(configuration.decoder)
    first = _encoder(configuration.encoder, rounded(source_vocabulary), wanted)
    return (*first, *_decoder(configuration, rounded(target_vocabulary))) if first else ()


def rounded(vocabulary: int) -> int:
    """Return the number of tokens that arrays are made for: a power of two, or one and a half times that."""
    size = 16
    while size < vocabulary:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size if vocabulary else 0


def _encoder(kind: encoders.Encoder, vocabulary: int, wanted: int) -> tuple[Part, ...]:
    match kind:
        case encoders.Recurrent(cell, size, layers, both):
            ways = 2 if both else 1
            first, later = (RecurrentLayer(cell, inputs, size, both) for inputs in (1, ways))
            end = Bridge("recurrent", size, ways, wanted)
            return (Tokens("source", vocabulary, size), first, *[later] * (layers - 1), end)
        case encoders.Transformer(size, layers):
            block = EncoderBlock(
                size, kind.feed_forward_ratio * size, _groups(kind.attention, size), _buckets(kind.positions)
            )
            begin = Tokens("source", vocabulary, size, _added(kind.positions))
            return (begin, *[block] * layers, Bridge("transformer", size, 1, wanted))
        case encoders.Convolution(size, layers, taps):
            begin = Tokens("source", vocabulary, size, _added(kind.positions))
            return (begin, *[ConvolutionBlock(size, taps)] * layers, Bridge("convolution", size, 1, wanted))
        case encoders.Identity():
            return ()
        case other:
            assert_never(other)


def _decoder(configuration: Seq2Seq, vocabulary: int) -> tuple[Part, ...]:
    tied, copying = configuration.tied_embeddings, isinstance(configuration.output, outputs.PointerGenerator)
    match configuration.decoder:
        case decoders.Recurrent(cell, size, layers, looking):
            middle: tuple[Part, ...] = (Cells(cell, size, layers, *_looking(looking, size)),)
            begin, end = Tokens("recurrent", vocabulary, size), Head("recurrent", size, vocabulary, tied, copying)
        case decoders.Transformer(size, layers) as kind:
            begin = Tokens("blocks", vocabulary, size, _added(kind.positions))
            groups, buckets = _groups(kind.attention, size), _buckets(kind.positions)
            middle = (DecoderBlock("attention", size, kind.feed_forward_ratio * size, groups, buckets),) * layers
            end = Head("blocks", size, vocabulary, tied, copying)
        case decoders.SimpleRecurrent(size, layers) as kind:
            begin = Tokens("blocks", vocabulary, size)
            groups = _groups(kind.attention, size)
            middle = (DecoderBlock("recurrence", size, kind.feed_forward_ratio * size, groups, 0),) * layers
            end = Head("blocks", size, vocabulary, tied, copying)
        case other:
            assert_never(other)
    return (begin, *middle, end)


def _looking(kind: attention.Attention, size: int) -> tuple[Looking, int]:
    match kind:
        case attention.Additive(width) | attention.Concat(width):
            return "scored", width
        case attention.Dot() | attention.General() | attention.Local():
            return "multiplied", 0
        case attention.MultiHead():
            return "headed", _groups(kind, size)
        case other:
            assert_never(other)


def _groups(kind: attention.MultiHead, size: int) -> int:
    fitting = (groups for groups in GROUPS if size % groups == 0 and groups % kind.num_heads == 0)
    return next(fitting, kind.num_heads)


def _buckets(positions: embeddings.Positions) -> int:
    return max(BUCKETS, positions.buckets) if isinstance(positions, embeddings.RelativeBias) else BUCKETS


def _added(positions: embeddings.Positions) -> str:
    name = type(positions).__name__
    return name if name in ("Sinusoidal", "Learned") else ""
