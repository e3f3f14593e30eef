"""Memory: an upper bound of what a step of training holds at its peak, and about what decoding and scoring do."""

from typing import assert_never

from search_spaces import attention, decoders, encoders, stems
from search_spaces.costs.blocks import shared_size
from search_spaces.costs.layers import GATES
from search_spaces.costs.operations import looked_at, loss
from search_spaces.costs.weights import parameters, trained
from search_spaces.costs.work import Extent
from search_spaces.outputs import PointerGenerator
from search_spaces.seq2seq import Seq2Seq

BYTES = 4
STATE = 4
"""Parameters, both moments and the average."""
STEP = 5
"""Gradient, its sum over batches, direction, matrices of one shape together, and what of the state is new."""
ADAPTED_WHOLE, ADAPTED_FACTORS = 5, 7
"""Of LoRA: the matrices before, with what is added, their gradient, and the average before and after; of the factors
parameters, both moments, gradient, its sum, direction and what is new."""
SPARE = 1.2
"""What the backward pass makes beside what is kept for it."""


def step_memory(configuration: Seq2Seq, extent: Extent) -> int:
    """Return the most bytes of a step on batches of an extent: state, batch, and what is kept for the gradient."""
    vocabularies = extent.source_vocabulary, extent.target_vocabulary
    own, moved = parameters(configuration, *vocabularies), trained(configuration, *vocabularies)
    is_adapted = configuration.tuned == "lora"
    held = ADAPTED_WHOLE * own + ADAPTED_FACTORS * moved if is_adapted else (STATE + STEP) * own
    batch = 2 * extent.rows * (extent.source + extent.target)
    return round(BYTES * (held + batch + SPARE * loss(configuration, extent).kept))


def decoding_memory(configuration: Seq2Seq, extent: Extent, beam: int = 1) -> int:
    """Return about the most bytes of decoding, beyond the parameters.

    They are what stem and encoder make, and for each of `beam` partial targets of a row the encoded source, what is
    handed on from token to token, twice where a beam reorders it or caches grow, and the log-probabilities of a step.
    """
    source, vocabulary = looked_at(configuration, extent), extent.target_vocabulary
    handed_on = 2 * _cached(configuration.decoder, extent.target)
    said = 4 * (vocabulary + extent.target) + _one_hot(configuration, source, vocabulary)
    partial = _looked_up(configuration.decoder, source) + handed_on + said
    return BYTES * extent.rows * (_encoding(configuration, source) + beam * partial)


def scoring_memory(configuration: Seq2Seq, extent: Extent) -> int:
    """Return about the most bytes of scoring known targets, beyond the parameters: all their tokens at once."""
    kind, target, vocabulary = configuration.decoder, extent.target, extent.target_vocabulary
    source, size = looked_at(configuration, extent), decoders.size_of(kind)
    heads = kind.attention.num_heads if isinstance(kind.attention, attention.MultiHead) else 1
    pairs = heads * target * (source + (target if isinstance(kind, decoders.Transformer) else 0))
    hidden = size * (GATES[kind.cell] if isinstance(kind, decoders.Recurrent) else 2 * kind.feed_forward_ratio)
    said = target * (2 * vocabulary + 6 * size + hidden) + _one_hot(configuration, source, vocabulary)
    return BYTES * extent.rows * (_encoding(configuration, source) + _looked_up(kind, source) + 2 * pairs + said)


def _encoding(configuration: Seq2Seq, source: int) -> int:
    """Return the values of a row that a stem and one layer of an encoder make."""
    return _entered(configuration.stem) + _layer(configuration.encoder, source)


def _entered(stem: stems.Stem) -> int:
    """Return the values of an image and of its first stage, which makes the most."""
    match stem:
        case stems.Tokens():
            return 0
        case stems.Patches():
            return 2 * stem.height * stem.width * stem.channels
        case stems.Convolutions():
            halved = -(-stem.height // 2) * -(-stem.width // 2)
            return stem.height * stem.width * stem.channels + 3 * halved * stem.filters
        case other:
            assert_never(other)


def _layer(kind: encoders.Encoder, source: int) -> int:
    match kind:
        case encoders.Recurrent(cell, size, _, bidirectional):
            inputs = 2 * GATES[cell] + (4 if cell == "mingru" else 2)  # what its scan takes and gives
            return source * size * (2 if bidirectional else 1) * inputs
        case encoders.Transformer(size, _, ratio, heads):
            hidden = ratio * (2 if kind.activation == "swiglu" else 1)
            return source * size * (6 + hidden) + 2 * heads.num_heads * source**2
        case encoders.Convolution(size, _, taps):
            return source * size * (taps + 6)
        case encoders.Identity():
            return 0
        case other:
            assert_never(other)


def _looked_up(kind: decoders.Decoder, source: int) -> int:
    """Return the values of an encoded row, and those by which a decoder looks at them."""
    size = decoders.size_of(kind)
    if not isinstance(kind, decoders.Recurrent):
        return source * (size + 2 * kind.num_layers * shared_size(kind.attention, size))
    match kind.attention:
        case attention.Additive(hidden) | attention.Concat(hidden):
            return source * (size + hidden)
        case attention.Dot():
            return source * size
        case attention.General() | attention.Local():
            return 2 * source * size
        case attention.MultiHead():
            return source * (size + 2 * shared_size(kind.attention, size))
        case other:
            assert_never(other)


def _cached(kind: decoders.Decoder, target: int) -> int:
    """Return the values that a decoder hands on from token to token."""
    match kind:
        case decoders.Recurrent(_, size, layers):
            return size * (2 * layers + 1)
        case decoders.Transformer(size, layers):
            return 2 * layers * shared_size(kind.attention, size) * target
        case decoders.SimpleRecurrent(size, layers):
            return size * layers
        case other:
            assert_never(other)


def _one_hot(configuration: Seq2Seq, source: int, vocabulary: int) -> int:
    """Return the values that say as which token each place of the source could be copied."""
    return source * vocabulary if isinstance(configuration.output, PointerGenerator) else 0
