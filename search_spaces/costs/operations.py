"""Floating-point operations: of a forward pass, of a step of training, of decoding a token.

They are those that XLA counts in the program as it is handed over, before it is optimised, with every loop unrolled and
nothing padded.
"""

from collections.abc import Iterable, Iterator
from typing import assert_never

from search_spaces import decoders, encoders, outputs, stems
from search_spaces.attention import MultiHead
from search_spaces.costs import decoders as decoding
from search_spaces.costs.encoders import encoded
from search_spaces.costs.layers import Weight
from search_spaces.costs.weights import factors, weights
from search_spaces.costs.work import NONE, Extent, Work, each, linear, product
from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon, Optimizer
from search_spaces.seq2seq import Seq2Seq

CLIPPING_AND_AVERAGE = 6
FACTORED_FROM = 128
"""Adafactor factors matrices and embeddings of at least so many rows and columns."""
NEWTON_SCHULZ_STEPS = 5


def forward_operations(configuration: Seq2Seq, extent: Extent) -> int:
    """Return those from a batch to its logits, without dropout."""
    return round(model(configuration, extent).forward)


def step_operations(configuration: Seq2Seq, extent: Extent, batches: int = 1) -> int:
    """Return those of a step of training on so many batches: loss, gradient, optimizer and average."""
    own = [*weights(configuration, extent.source_vocabulary, extent.target_vocabulary)]
    is_adapted = configuration.tuned == "lora"
    moved = [*factors(own, configuration.lora_rank)] if is_adapted else own
    added = sum(_added(own, configuration.lora_rank), NONE) if is_adapted else NONE
    gathered = sum(weight.size for weight in moved) if batches > 1 else 0
    gradient = loss(configuration, extent).training + added.training + gathered
    return round(batches * gradient + added.forward + sum(_updates(configuration.optimizer, moved)))


def decoding_operations(configuration: Seq2Seq, extent: Extent) -> int:
    """Return those of one more token of each row, in a cache of the target's length; the source is encoded already."""
    source = looked_at(configuration, extent)
    vector = decoding.step(configuration.decoder, extent.rows, source, extent.target)
    return round((vector + _logits(configuration, extent, 1)).forward)


def loss(configuration: Seq2Seq, extent: Extent) -> Work:
    """Return the work of a batch's loss."""
    entries = extent.rows * extent.target * extent.target_vocabulary
    return model(configuration, extent) + each(entries, 5, 5, 3)


def model(configuration: Seq2Seq, extent: Extent) -> Work:
    """Return the work of a batch's logits."""
    size = decoders.size_of(configuration.decoder)
    source = looked_at(configuration, extent)
    memory = encoded(configuration.encoder, configuration.stem, extent.rows, extent.source, size)
    vectors = decoding.outputs(configuration.decoder, extent.rows, source, extent.target)
    return memory + vectors + _logits(configuration, extent, extent.target)


def looked_at(configuration: Seq2Seq, extent: Extent) -> int:
    """Return the positions of the encoded source."""
    if isinstance(configuration.encoder, encoders.Identity):
        return 0
    return stems.positions(configuration.stem, extent.source)


def _logits(configuration: Seq2Seq, extent: Extent, target: int) -> Work:
    size, vocabulary = decoders.size_of(configuration.decoder), extent.target_vocabulary
    positions = extent.rows * target
    said = linear(positions, size, vocabulary)
    match configuration.output:
        case outputs.Softmax():
            return said
        case outputs.PointerGenerator():
            pairs, entries = positions * extent.source, positions * vocabulary
            mixed = each(pairs * vocabulary, 2, 2) + each(entries, 19, 29, 9) + linear(positions, size, 1)
            one_hot = each(extent.rows * extent.source * vocabulary, 2, 0, 1)
            return said + mixed + one_hot + _averaged_heads(configuration.decoder, pairs)
        case other:
            assert_never(other)


def _averaged_heads(kind: decoders.Decoder, pairs: int) -> Work:
    """Return the weights of attention, averaged over heads."""
    heads = kind.attention.num_heads if isinstance(kind.attention, MultiHead) else 0
    return each(pairs * heads, 2, 3)


def _added(own: Iterable[Weight], rank: int) -> Iterator[Work]:
    """Yield the work of adding a product of two factors to each matrix, and of its gradient."""
    for kind, rows, columns, number in own:
        if kind == "matrix":
            yield (product(rows, min(rank, rows, columns), columns) + each(rows * columns, 2, 1)) * number


def _updates(kind: Optimizer, own: list[Weight]) -> Iterator[float]:
    for weight in own:
        yield weight.size * CLIPPING_AND_AVERAGE + _update(kind, weight)


def _update(kind: Optimizer, weight: Weight) -> float:
    """Return the operations of both moments and of a step."""
    match kind:
        case AdamW():
            return 17 * weight.size
        case Lion():
            return 15 * weight.size
        case Adafactor():
            factored = weight.kind != "vector" and min(weight.rows, weight.columns) >= FACTORED_FROM
            return (25 if factored else 21) * weight.size
        case Muon():
            rest = 17 * weight.size
            return rest if weight.kind != "matrix" else rest + weight.number * _orthogonalised(weight)
        case other:
            assert_never(other)


def _orthogonalised(weight: Weight) -> float:
    short, long = sorted((weight.rows, weight.columns))
    products = 4 * short * short * long + 2 * short**3
    return NEWTON_SCHULZ_STEPS * (products + 3 * short * short + 2 * short * long) + short * long
