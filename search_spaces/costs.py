"""What a configuration costs, counted in plain Python."""

from typing import assert_never

from search_spaces import decoders, encoders
from search_spaces.attention import Additive, Attention, MultiHead
from search_spaces.seq2seq import Seq2Seq

GATES = {"lstm": 4, "gru": 3}


def parameters(configuration: Seq2Seq, source_vocabulary: int, target_vocabulary: int) -> int:
    """Return the exact number of parameters; vocabularies include the special tokens."""
    memory, encoder = _encoder(configuration.encoder, source_vocabulary)
    return encoder + _decoder(configuration.decoder, target_vocabulary, memory)


def _encoder(kind: encoders.Encoder, vocabulary: int) -> tuple[int, int]:
    match kind:
        case encoders.Recurrent(cell, size, layers, bidirectional):
            directions = 2 if bidirectional else 1
            width = directions * size
            cells = _cell(cell, size, size) + (layers - 1) * _cell(cell, width, size)
            return width, vocabulary * size + directions * cells
        case encoders.Transformer(size, layers, ratio):
            block = _multi_head(size, size, size) + _feed_forward(size, ratio) + 2 * _norm(size)
            return size, vocabulary * size + layers * block + _norm(size)
        case other:
            assert_never(other)


def _decoder(kind: decoders.Decoder, vocabulary: int, memory: int) -> int:
    match kind:
        case decoders.Recurrent(cell, size, layers, attention):
            cells = layers * _cell(cell, size, size) + memory * GATES[cell] * size
            bridges = layers * _linear(memory, size)
            output = _linear(size + memory, size) + _linear(size, vocabulary)
            return vocabulary * size + cells + bridges + _attention(attention, size, memory) + output
        case decoders.Transformer(size, layers, ratio):
            looking = _multi_head(size, size, size) + _multi_head(size, memory, size)
            block = looking + _feed_forward(size, ratio) + 3 * _norm(size)
            return vocabulary * size + layers * block + _norm(size) + _linear(size, vocabulary)
        case other:
            assert_never(other)


def _attention(kind: Attention, query: int, memory: int) -> int:
    match kind:
        case Additive(size):
            return _linear(query, size) + memory * size + size
        case MultiHead():
            return _multi_head(query, memory, query) + _linear(query, memory)
        case other:
            assert_never(other)


def _cell(cell: str, inputs: int, size: int) -> int:
    return GATES[cell] * size * (inputs + size + 1)


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _multi_head(query: int, memory: int, size: int) -> int:
    return _linear(query, size) + memory * size + _linear(memory, size) + _linear(size, query)


def _feed_forward(size: int, ratio: int) -> int:
    return _linear(size, ratio * size) + _linear(ratio * size, size)


def _norm(size: int) -> int:
    return 2 * size
