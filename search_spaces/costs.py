"""What a configuration costs, counted in plain Python."""

from typing import assert_never

from search_spaces import decoders, encoders
from search_spaces.attention import Additive, Attention, Concat, Dot, General, Local, MultiHead
from search_spaces.embeddings import Learned, Positions, RelativeBias
from search_spaces.outputs import PointerGenerator
from search_spaces.seq2seq import Seq2Seq

GATES = {"lstm": 4, "gru": 3, "mingru": 2}
Block = encoders.Transformer | decoders.Transformer | decoders.SimpleRecurrent


def parameters(configuration: Seq2Seq, source_vocabulary: int, target_vocabulary: int) -> int:
    """Return the exact number of parameters; vocabularies include the special tokens."""
    size = decoders.size_of(configuration.decoder)
    attends = not isinstance(configuration.encoder, encoders.Identity)
    encoder = _encoder(configuration.encoder, source_vocabulary, size)
    decoder = _decoder(configuration.decoder, target_vocabulary, attends=attends)
    output = target_vocabulary + (0 if configuration.tied_embeddings else size * target_vocabulary)
    share = size + 1 if isinstance(configuration.output, PointerGenerator) else 0
    return encoder + decoder + output + share


def _encoder(kind: encoders.Encoder, vocabulary: int, wanted: int) -> int:
    match kind:
        case encoders.Recurrent(cell, size, layers, bidirectional):
            directions = 2 if bidirectional else 1
            cells = _cell(cell, size, size) + (layers - 1) * _cell(cell, directions * size, size)
            bridge = _linear(directions * size, wanted) if bidirectional or size != wanted else 0
            return vocabulary * size + directions * cells + bridge
        case encoders.Transformer():
            size = kind.model_size
            blocks = kind.num_layers * (_self_attention(kind) + _feed_forward(kind))
            places = _positions(kind.positions, size, kind.attention.num_heads)
            return vocabulary * size + places + blocks + _final(kind) + _bridge(size, wanted)
        case encoders.Convolution(size, layers, taps, positions, norm):
            block = taps * size * 2 * size + 2 * size + _norm(norm, size)
            return (
                vocabulary * size
                + _positions(positions, size, 0)
                + layers * block
                + _norm(norm, size)
                + _bridge(size, wanted)
            )
        case encoders.Identity():
            return 0
        case other:
            assert_never(other)


def _decoder(kind: decoders.Decoder, vocabulary: int, *, attends: bool) -> int:
    match kind:
        case decoders.Recurrent(cell, size, layers, attention):
            cells = _cell(cell, 2 * size if attends else size, size) + (layers - 1) * _cell(cell, size, size)
            looking = layers * _linear(size, size) + _attention(attention, size) + size * size if attends else 0
            return vocabulary * size + cells + _linear(size, size) + looking
        case decoders.Transformer():
            mixing = _self_attention(kind) + (_source_attention(kind) if attends else 0)
            places = _positions(kind.positions, kind.model_size, kind.attention.num_heads)
            return (
                vocabulary * kind.model_size + places + kind.num_layers * (mixing + _feed_forward(kind)) + _final(kind)
            )
        case decoders.SimpleRecurrent():
            size = kind.model_size
            unit = 2 * size * size + size + _norm(kind.norm, size)
            mixing = unit + (_source_attention(kind) if attends else 0)
            return vocabulary * size + kind.num_layers * (mixing + _feed_forward(kind)) + _final(kind)
        case other:
            assert_never(other)


def _attention(kind: Attention, size: int) -> int:
    match kind:
        case Additive(hidden):
            return _linear(size, hidden) + size * hidden + hidden
        case Concat(hidden):
            return 2 * size * hidden + hidden
        case Dot():
            return 0
        case General() | Local():
            return size * size
        case MultiHead():
            return _multi_head(kind, size)
        case other:
            assert_never(other)


def _self_attention(kind: encoders.Transformer | decoders.Transformer) -> int:
    return _multi_head(kind.attention, kind.model_size) + _norm(kind.norm, kind.model_size)


def _source_attention(kind: decoders.Transformer | decoders.SimpleRecurrent) -> int:
    return _multi_head(kind.attention, kind.model_size) + _norm(kind.norm, kind.model_size)


def _feed_forward(kind: Block) -> int:
    size, hidden = kind.model_size, kind.feed_forward_ratio * kind.model_size
    gate = _linear(size, hidden) if kind.activation == "swiglu" else 0
    return _linear(size, hidden) + gate + _linear(hidden, size) + _norm(kind.norm, size)


def _final(kind: Block) -> int:
    return _norm(kind.norm, kind.model_size) if kind.norm_first else 0


def _bridge(size: int, wanted: int) -> int:
    return _linear(size, wanted) if size != wanted else 0


def _positions(kind: Positions, size: int, heads: int) -> int:
    match kind:
        case Learned(length):
            return length * size
        case RelativeBias(buckets):
            return buckets * heads
        case _:
            return 0


def _cell(cell: str, inputs: int, size: int) -> int:
    hidden = 0 if cell == "mingru" else size
    return GATES[cell] * size * (inputs + hidden + 1)


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _multi_head(kind: MultiHead, size: int) -> int:
    shared = kind.key_value_heads * (size // kind.num_heads)
    return 2 * _linear(size, size) + size * shared + _linear(size, shared)


def _norm(kind: str, size: int) -> int:
    return 2 * size if kind == "layer" else size
