"""Encoders: from source tokens to one vector a position."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Num

from automl.models.blocks import FeedForwardLayer, SelfAttentionLayer, block_kinds
from automl.models.dropout import Noise, drop, drop_embedded
from automl.models.embeddings import Places, Relations
from automl.models.facts import OneOf, distinct, fact, is_kind, kind_among, number
from automl.models.layers import FinalNorm, Linear, Norm, fitted, go_on
from automl.models.parameters import Form, Width, parameter, scaled, zeros
from automl.models.recurrence import cells, run
from automl.models.stems import build_stem
from search_spaces import encoders as kinds
from search_spaces import stems

TAPS = Form("matrix", rows=1, columns=3)


class Entry(NamedTuple):
    """How sources enter, and the number of their tokens."""

    stem: stems.Stem
    vocabulary: int


class Bridge(nnx.Module):
    """Brings an encoder's vectors to the size of the decoder's: a linear map where they differ, else nothing.

    Args:
        width: The encoder's vectors.
        size: Size of the largest decoder's vectors.
        wanted: The encoder's width in each configuration, beside the size of the decoder there.
    """

    def __init__(self, width: Width, size: int, wanted: Sequence[tuple[Width, int]]) -> None:
        self.size = size
        needed = [own.blocks > 1 or own.size != size for own, size in wanted]
        self.kind = kind_among("linear" if is_needed else "same" for is_needed in needed)
        self.linear = Linear(width, self.size) if any(needed) else None

    def __call__(self, x: Float[Array, "batch source encoder"]) -> Float[Array, "batch source decoder"]:
        """Map the last axis."""
        if self.linear is None:
            return fitted(x, self.size)
        linear, needed = self.linear, is_kind(self.kind, "linear")
        if isinstance(needed, bool):
            mapped: Array = linear(x)
            return mapped
        chosen: Array = jax.lax.cond(needed, linear, lambda same: fitted(same, self.size), x)
        return chosen


class RecurrentLayer(nnx.Module):
    """Cells that run over the source in one direction or both, each of any kind."""

    def __init__(self, cell_kinds: Sequence[str], inputs: Width, size: int, *, both: bool) -> None:
        self.forwards = OneOf(cells(cell_kinds, inputs, size))
        self.backwards = OneOf(cells(cell_kinds, inputs, size)) if both else None

    def __call__(
        self, x: Float[Array, "batch source input"], mask: Bool[Array, "batch source"], both: bool | Array
    ) -> tuple[Array, ...]:
        """Return the outputs of each direction; of one that is not meant, 0."""
        forwards = self.forwards.pick(lambda cell: run(cell, x, mask))
        if self.backwards is None:
            return (forwards,)
        picked = partial(self.backwards.pick, lambda cell: run(cell, x, mask, reverse=True))
        if isinstance(both, bool):
            return forwards, picked()
        return forwards, jax.lax.cond(both, picked, lambda: jnp.zeros_like(forwards))


class RecurrentEncoder(nnx.Module):
    """Layers of recurrent cells; the vector of a position joins both directions."""

    def __init__(self, configurations: Sequence[tuple[kinds.Recurrent, int]], entry: Entry, outputs: int) -> None:
        found = [kind for kind, _ in configurations]
        size, layers = max(k.hidden_size for k in found), max(k.num_layers for k in found)
        self.directions = kind_among("both" if k.bidirectional else "one" for k in found)
        self.residual = kind_among("added" if k.residual else "none" for k in found)
        width = Width(size, 2 if any(k.bidirectional for k in found) else 1)
        self.depth = fact(layers)
        self.embedding = build_stem(entry.stem, entry.vocabulary, size)
        inputs = [Width(size)] + [width] * (layers - 1)
        cell_kinds, both = distinct(k.cell for k in found), width.blocks > 1
        self.layers = nnx.List([RecurrentLayer(cell_kinds, into, size, both=both) for into in inputs])
        own = [(Width(k.hidden_size, 2 if k.bidirectional else 1), wanted) for k, wanted in configurations]
        self.bridge = Bridge(width, outputs, own)

    def __call__(
        self, tokens: Num[Array, "batch tokens"], mask: Bool[Array, "batch source"], noise: Noise | None
    ) -> Float[Array, "batch source size"]:
        """Encode a batch."""
        x = drop_embedded(self.embedding(tokens), noise and noise.at(0))
        for i in range(len(self.layers)):
            x = go_on(i, number(self.depth), partial(self._layer, i, mask, noise and noise.at(i + 1)), x)
        bridged: Array = self.bridge(x)
        return bridged

    def _layer(
        self, index: int, mask: Bool[Array, "batch source"], noise: Noise | None, x: Float[Array, "batch source input"]
    ) -> Float[Array, "batch source size"]:
        """Run one layer's cells over the source in its directions."""
        layer: RecurrentLayer = self.layers[index]
        outputs = layer(x, mask, is_kind(self.directions, "both"))
        dropped = [drop(y, noise and noise.at(place)) for place, y in enumerate(outputs)]
        joined = jnp.concatenate(dropped, axis=-1)
        if index == 0:
            return joined
        added = is_kind(self.residual, "added")
        if isinstance(added, bool):
            return x + joined if added else joined
        return joined + jnp.where(added, x, 0.0)


class EncoderBlock(nnx.Module):
    """Self-attention, then feed-forward."""

    def __init__(self, found: Sequence[kinds.Transformer]) -> None:
        self.attention = SelfAttentionLayer(found)
        self.feed_forward = FeedForwardLayer(found)

    def __call__(
        self,
        x: Float[Array, "batch source size"],
        mask: Bool[Array, "batch source"],
        relations: Relations,
        noise: Noise | None,
    ) -> Float[Array, "batch source size"]:
        """Return the positions, each having looked at the others."""
        x = self.attention(x, mask[:, None, :], relations, noise and noise.at(0))
        return self.feed_forward(x, noise and noise.at(1))


class TransformerEncoder(nnx.Module):
    """Blocks of self-attention and feed-forward over tokens and their positions."""

    def __init__(self, configurations: Sequence[tuple[kinds.Transformer, int]], entry: Entry, outputs: int) -> None:
        found = [kind for kind, _ in configurations]
        size, layers = max(k.model_size for k in found), max(k.num_layers for k in found)
        positions = distinct(k.positions for k in found)
        self.depth = fact(layers)
        self.embedding = build_stem(entry.stem, entry.vocabulary, size)
        self.places = Places(positions, size)
        self.relations = Relations(positions, max(k.attention.num_heads for k in found), causal=False)
        self.blocks = nnx.List([EncoderBlock(found) for _ in range(layers)])
        self.norm = FinalNorm(size, *block_kinds(found))
        own = [(Width(k.model_size), wanted) for k, wanted in configurations]
        self.bridge = Bridge(Width(size), outputs, own)

    def __call__(
        self, tokens: Num[Array, "batch tokens"], mask: Bool[Array, "batch source"], noise: Noise | None
    ) -> Float[Array, "batch source size"]:
        """Encode a batch."""
        x = self.embedding(tokens)
        x = self.places(x, jnp.arange(x.shape[1]))
        x = drop_embedded(x, noise and noise.at(0))
        for i, block in enumerate(self.blocks):
            layer = partial(block, mask=mask, relations=self.relations, noise=noise and noise.at(i + 1))
            x = go_on(i, number(self.depth), layer, x)
        bridged: Array = self.bridge(self.norm(x))
        return bridged


class ConvolutionBlock(nnx.Module):
    """`x + GLU(x * W + b)`, normalised before (Dauphin et al., 2017, section 2)."""

    def __init__(self, size: int, taps: int, norms: Sequence[str]) -> None:
        self.taps = fact(taps)
        self.norm = Norm(size, norms)
        self.kernel = parameter((taps, size, 2, size), scaled(taps * size, size), TAPS)
        self.bias = parameter((2, size), zeros)

    def __call__(
        self, x: Float[Array, "batch source size"], mask: Bool[Array, "batch source"], noise: Noise | None
    ) -> Float[Array, "batch source size"]:
        """Return the positions, each having seen its neighbours."""
        real = jnp.where(mask[:, :, None], self.norm(x), 0.0)
        values, gates = jnp.moveaxis(self._convolved(real), 2, 0)
        return x + drop(values * jax.nn.sigmoid(gates), noise)

    def _convolved(self, x: Float[Array, "batch source size"]) -> Float[Array, "batch source 2 size"]:
        """Weigh each position's neighbours; the middle of the true taps lies on the position itself."""
        most, true = self.kernel.shape[0], number(self.taps)
        around = jnp.pad(x, ((0, 0), (most - 1, most - 1), (0, 0)))
        first = most - 1 - jnp.asarray(true) // 2
        windows = [jax.lax.dynamic_slice_in_dim(around, first + tap, x.shape[1], axis=1) for tap in range(most)]
        real = (jnp.arange(most) < true).astype(x.dtype)
        kernel = self.kernel * real[:, None, None, None]
        convolved = jnp.einsum("kbsi,kigo->bsgo", jnp.stack(windows), kernel)
        return convolved + jnp.broadcast_to(self.bias, convolved.shape)


class ConvolutionalEncoder(nnx.Module):
    """Blocks of gated convolutions over tokens and their positions."""

    def __init__(self, configurations: Sequence[tuple[kinds.Convolution, int]], entry: Entry, outputs: int) -> None:
        found = [kind for kind, _ in configurations]
        size, layers = max(k.model_size for k in found), max(k.num_layers for k in found)
        norms, taps = distinct(k.norm for k in found), max(k.kernel_size for k in found)
        self.depth = fact(layers)
        self.embedding = build_stem(entry.stem, entry.vocabulary, size)
        self.places = Places(distinct(k.positions for k in found), size)
        self.blocks = nnx.List([ConvolutionBlock(size, taps, norms) for _ in range(layers)])
        self.norm = Norm(size, norms)
        own = [(Width(k.model_size), wanted) for k, wanted in configurations]
        self.bridge = Bridge(Width(size), outputs, own)

    def __call__(
        self, tokens: Num[Array, "batch tokens"], mask: Bool[Array, "batch source"], noise: Noise | None
    ) -> Float[Array, "batch source size"]:
        """Encode a batch."""
        x = self.embedding(tokens)
        x = self.places(x, jnp.arange(x.shape[1]))
        x = drop_embedded(x, noise and noise.at(0))
        for i, block in enumerate(self.blocks):
            x = go_on(i, number(self.depth), partial(block, mask=mask, noise=noise and noise.at(i + 1)), x)
        bridged: Array = self.bridge(self.norm(x))
        return bridged


TEXT = stems.Tokens()
Encoder = RecurrentEncoder | TransformerEncoder | ConvolutionalEncoder


def build_encoder(
    configurations: Sequence[tuple[kinds.Encoder, int]], vocabulary: int, outputs: int, stem: stems.Stem = TEXT
) -> OneOf | None:
    """Return the modules for the kinds, each beside the size of its decoder; none where all are `Identity`.

    Their vectors have the size `outputs`, which is that of the largest decoder.

    Raises:
        ValueError: Some have an encoder and some have none.
    """
    if all(isinstance(kind, kinds.Identity) for kind, _ in configurations):
        return None
    of_kind: dict[type, list[tuple[Any, int]]] = {}
    for kind, wanted in configurations:
        of_kind.setdefault(type(kind), []).append((kind, wanted))
    return OneOf(
        {kind.__name__: _module(members, Entry(stem, vocabulary), outputs) for kind, members in of_kind.items()}
    )


def _module(configurations: Sequence[tuple[Any, int]], entry: Entry, outputs: int) -> Encoder:
    first: kinds.Encoder = configurations[0][0]
    match first:
        case kinds.Recurrent():
            return RecurrentEncoder(configurations, entry, outputs)
        case kinds.Transformer():
            return TransformerEncoder(configurations, entry, outputs)
        case kinds.Convolution():
            return ConvolutionalEncoder(configurations, entry, outputs)
        case kinds.Identity():
            raise ValueError("a model without an encoder shares no program with one that has one")
        case other:
            assert_never(other)
