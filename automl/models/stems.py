"""Stems: from source tokens to the vectors that an encoder reads; those of an image are its pixels, row by row."""

from itertools import pairwise
from typing import Any, assert_never

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Num

from automl.data.tokenizers import PAD, SPECIAL_TOKENS
from automl.models.embeddings import TokenEmbedding
from automl.models.layers import Linear, Norm
from automl.models.parameters import Form, parameter, scaled, zeros
from search_spaces import stems as kinds

KERNEL = Form("matrix", rows=2, columns=3)
TAPS = [(row, column) for row in range(3) for column in range(3)]
BRIGHTNESS = 64.0
"""Full brightness is about 4, so that the pixels of most images vary by about 1."""


def brightness(tokens: Array, stem: kinds.Image) -> Float[Array, "batch height width channels"]:
    """Return the pixels that source tokens are, black as 0; whatever pads the row is left out."""
    shape = (stem.height, stem.width, stem.channels)
    pixels = tokens[:, : stem.height * stem.width * stem.channels].astype(jnp.float32) - len(SPECIAL_TOKENS)
    return pixels.reshape(-1, *shape) / BRIGHTNESS


def merged(x: Float[Array, "batch height width size"], side: int) -> Float[Array, "batch rows columns merged"]:
    """Join squares of neighbours; beyond the edge lies 0."""
    batch, height, width, size = x.shape
    rows, columns = -(-height // side), -(-width // side)
    whole = jnp.pad(x, ((0, 0), (0, rows * side - height), (0, columns * side - width), (0, 0)))
    squares = whole.reshape(batch, rows, side, columns, side, size)
    return jnp.swapaxes(squares, 2, 3).reshape(batch, rows, columns, side * side * size)


@jax.custom_vjp
def convolved(
    x: Float[Array, "batch height width inputs"], kernel: Float[Array, "3 3 inputs outputs"]
) -> Float[Array, "batch height width outputs"]:
    """Convolve; beyond the edge lies 0.

    The gradients are written out: XLA derives programs from the forward pass that take a processor 30 times as long
    inside of a loop.
    """
    numbers = ("NHWC", "HWIO", "NHWC")
    found: Array = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
    return found


def _forwards(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return convolved(x, kernel), (x, kernel)


def _backwards(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = kept
    turned = jnp.stack([kernel[2 - row, 2 - column].T for row, column in TAPS])
    _, height, width, size = x.shape
    around = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = [around[:, row : row + height, column : column + width] for row, column in TAPS]
    columns = jnp.concatenate(windows, axis=-1).reshape(-1, len(TAPS) * size)
    of_kernel = jnp.matmul(columns.T, gradient.reshape(-1, gradient.shape[-1]))
    return convolved(gradient, turned.reshape(3, 3, *turned.shape[1:])), of_kernel.reshape(kernel.shape)


convolved.defvjp(_forwards, _backwards)


class Block(nnx.Module):
    """`x + GELU(normalised x * W + b)`."""

    def __init__(self, filters: int) -> None:
        self.norm = Norm(filters, ["layer"])
        self.kernel = parameter((3, 3, filters, filters), scaled(9 * filters, filters), KERNEL)
        self.bias = parameter((filters,), zeros)

    def __call__(self, x: Float[Array, "batch rows columns size"]) -> Float[Array, "batch rows columns size"]:
        """Let each place see its neighbours."""
        y = convolved(self.norm(x), jnp.asarray(self.kernel))
        return x + jax.nn.gelu(y + jnp.broadcast_to(self.bias, y.shape))


class Stage(nnx.Module):
    """Squares of four places become one, then blocks."""

    def __init__(self, inputs: int, filters: int, blocks: int) -> None:
        self.merge = Linear(4 * inputs, filters)
        self.blocks = nnx.List([Block(filters) for _ in range(blocks)])

    def __call__(self, x: Float[Array, "batch height width inputs"]) -> Float[Array, "batch rows columns size"]:
        """Halve the rows and columns."""
        x = self.merge(merged(x, 2))
        for block in self.blocks:
            x = block(x)
        return x


class ConvolutionalStem(nnx.Module):
    """Stages, and a linear map of what is left of each place."""

    def __init__(self, kind: kinds.Convolutions, size: int) -> None:
        self.image = kind
        inputs = [kind.channels, *kind.widths]
        self.stages = nnx.List([Stage(before, after, kind.blocks) for before, after in pairwise(inputs)])
        self.norm = Norm(inputs[-1], ["layer"])
        self.out = Linear(inputs[-1], size)

    def __call__(self, tokens: Num[Array, "batch tokens"]) -> Float[Array, "batch positions size"]:
        """Return a vector for each place that is left."""
        x = brightness(tokens, self.image)
        for stage in self.stages:
            x = stage(x)
        out: Array = self.out(self.norm(x))
        return out.reshape(out.shape[0], -1, out.shape[-1])


class PatchStem(nnx.Module):
    """A linear map of each square of pixels."""

    def __init__(self, kind: kinds.Patches, size: int) -> None:
        self.image = kind
        self.out = Linear(kind.side**2 * kind.channels, size)

    def __call__(self, tokens: Num[Array, "batch tokens"]) -> Float[Array, "batch positions size"]:
        """Return a vector for each square."""
        out: Array = self.out(merged(brightness(tokens, self.image), self.image.side))
        return out.reshape(out.shape[0], -1, out.shape[-1])


def build_stem(kind: kinds.Stem, vocabulary: int, size: int) -> Any:
    """Return the module from source tokens to vectors of a size."""
    match kind:
        case kinds.Tokens():
            return TokenEmbedding(vocabulary, size)
        case kinds.Convolutions():
            return ConvolutionalStem(kind, size)
        case kinds.Patches():
            return PatchStem(kind, size)
        case other:
            assert_never(other)


def seen(kind: kinds.Stem, source: Array) -> Bool[Array, "batch positions"]:
    """Say which positions there are: of an image all, unless its row is padding."""
    if isinstance(kind, kinds.Tokens):
        mask: Array = source != PAD
        return mask
    return jnp.broadcast_to(source[:, :1] != PAD, (source.shape[0], kinds.positions(kind, source.shape[1])))
