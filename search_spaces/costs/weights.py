"""Weights: the shapes of a configuration's parameters."""

from collections.abc import Iterable, Iterator
from typing import assert_never

from search_spaces import decoders, encoders, stems
from search_spaces.costs.layers import (
    Weight,
    attention,
    bridge,
    cell,
    feed_forward,
    final,
    linear,
    multi_head,
    norm,
    positions,
    stem,
)
from search_spaces.outputs import Output, PointerGenerator, Softmax
from search_spaces.seq2seq import Seq2Seq


def parameters(configuration: Seq2Seq, source_vocabulary: int, target_vocabulary: int) -> int:
    """Return the exact number of parameters; vocabularies include the special tokens."""
    return sum(weight.size for weight in weights(configuration, source_vocabulary, target_vocabulary))


def trained(configuration: Seq2Seq, source_vocabulary: int, target_vocabulary: int) -> int:
    """Return how many of the parameters training moves: all, those behind the encoder, or what LoRA adds."""
    sizes = source_vocabulary, target_vocabulary
    match configuration.tuned:
        case "decoder":
            size = decoders.size_of(configuration.decoder)
            held = _encoder(configuration.encoder, source_vocabulary, size, configuration.stem)
            return parameters(configuration, *sizes) - sum(weight.size for weight in held)
        case "lora":
            return sum(weight.size for weight in factors(weights(configuration, *sizes), configuration.lora_rank))
        case _:
            return parameters(configuration, *sizes)


def factors(of: Iterable[Weight], rank: int) -> Iterator[Weight]:
    """Yield the two factors of what LoRA adds to each matrix (Hu et al., 2021), of a rank that the matrix can have."""
    for kind, rows, columns, number in of:
        if kind == "matrix":
            own = min(rank, rows, columns)
            yield from (Weight("matrix", rows, own, number), Weight("matrix", own, columns, number))


def weights(configuration: Seq2Seq, source_vocabulary: int, target_vocabulary: int) -> Iterator[Weight]:
    """Yield all that a model has."""
    size = decoders.size_of(configuration.decoder)
    yield from _encoder(configuration.encoder, source_vocabulary, size, configuration.stem)
    attends = not isinstance(configuration.encoder, encoders.Identity)
    yield from _decoder(configuration.decoder, target_vocabulary, attends=attends)
    if not configuration.tied_embeddings:
        yield Weight("matrix", size, target_vocabulary)
    yield Weight("vector", 1, target_vocabulary)
    yield from _output(configuration.output, size)


def _encoder(kind: encoders.Encoder, vocabulary: int, wanted: int, entry: stems.Stem) -> Iterator[Weight]:
    match kind:
        case encoders.Recurrent(name, size, layers, bidirectional):
            directions = 2 if bidirectional else 1
            yield from stem(entry, vocabulary, size)
            for inputs in [size] + [directions * size] * (layers - 1):
                yield from [*cell(name, inputs, size)] * directions
            yield from bridge(directions * size, wanted, needed=bidirectional or size != wanted)
        case encoders.Transformer(size, layers):
            yield from stem(entry, vocabulary, size)
            yield from positions(kind.positions, size, kind.attention.num_heads)
            yield from [*multi_head(kind.attention, size), *norm(kind.norm, size), *feed_forward(kind)] * layers
            yield from final(kind)
            yield from bridge(size, wanted, needed=size != wanted)
        case encoders.Convolution(size, layers, taps):
            yield from stem(entry, vocabulary, size)
            yield from positions(kind.positions, size, 0)
            block = [Weight("matrix", size, size, 2 * taps), Weight("vector", 1, size, 2), *norm(kind.norm, size)]
            yield from [*block * layers, *norm(kind.norm, size)]
            yield from bridge(size, wanted, needed=size != wanted)
        case encoders.Identity():
            pass
        case other:
            assert_never(other)


def _decoder(kind: decoders.Decoder, vocabulary: int, *, attends: bool) -> Iterator[Weight]:
    size = decoders.size_of(kind)
    yield Weight("embedding", vocabulary, size)
    match kind:
        case decoders.Recurrent(name, _, layers):
            yield from cell(name, 2 * size if attends else size, size)
            yield from [*cell(name, size, size)] * (layers - 1)
            yield from linear(size, size)
            if attends:
                yield from [*linear(size, size)] * layers
                yield from attention(kind.attention, size)
                yield Weight("matrix", size, size)
        case decoders.Transformer():
            yield from positions(kind.positions, size, kind.attention.num_heads)
            looking = 2 if attends else 1
            mixing = [*multi_head(kind.attention, size), *norm(kind.norm, size)] * looking
            yield from [*mixing, *feed_forward(kind)] * kind.num_layers
            yield from final(kind)
        case decoders.SimpleRecurrent():
            unit = [Weight("matrix", size, size, 2), Weight("vector", 1, size), *norm(kind.norm, size)]
            looking = 1 if attends else 0
            unit += [*multi_head(kind.attention, size), *norm(kind.norm, size)] * looking
            yield from [*unit, *feed_forward(kind)] * kind.num_layers
            yield from final(kind)
        case other:
            assert_never(other)


def _output(kind: Output, size: int) -> Iterator[Weight]:
    match kind:
        case Softmax():
            pass
        case PointerGenerator():
            yield from linear(size, 1)
        case other:
            assert_never(other)
