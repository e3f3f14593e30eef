"""Layers that every family shares: linear maps, normalisation, dropout."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from automl.models.parameters import Width, ones, parameter, scaled, true_size, zeros

T = TypeVar("T")


class Noise(NamedTuple):
    """Dropout in training: its rate, and the key that decides what is dropped."""

    rate: Float[Array, ""]
    key: PRNGKeyArray

    def at(self, place: int) -> "Noise":
        """Return noise of its own for one place in the model."""
        return Noise(self.rate, jax.random.fold_in(self.key, place))


def drop(x: Float[Array, "..."], noise: Noise | None) -> Float[Array, "..."]:
    """Zero entries at random and scale up the rest (Srivastava et al., 2014); without noise, return `x`."""
    if noise is None:
        return x
    levels = 1 << 16
    threshold = jnp.round(noise.rate * levels)
    bits = jax.random.bits(noise.key, x.shape, jnp.uint16).astype(jnp.float32)
    return jnp.where(bits >= threshold, x * (levels / (levels - threshold)), 0.0)


def within(x: Float[Array, "*batch size"], size: int | Int[Array, ""]) -> Float[Array, "*batch size"]:
    """Zero the last axis beyond a true size."""
    if isinstance(size, int):
        return x
    real = jnp.arange(x.shape[-1]) < size
    return jnp.where(jnp.broadcast_to(real, x.shape), x, 0.0)


def go_on(index: int, depth: int | Int[Array, ""], layer: Callable[[T], T], x: T) -> T:
    """Apply the layer of an index, or hand `x` on where it lies beyond the true depth."""
    if isinstance(depth, int) or index == 0:
        return layer(x)
    went: T = jax.lax.cond(index < depth, layer, lambda same: same, x)
    return went


class Linear(nnx.Module):
    """`x W + b`."""

    def __init__(self, inputs: Width | int, outputs: Width | int, *, bias: bool = True) -> None:
        into, out = Width.of(inputs), Width.of(outputs)
        shape = (into.total, out.total)
        self.kernel = parameter(shape, scaled(*shape), blocks=(into.blocks, out.blocks))
        self.bias = parameter((out.total,), zeros, blocks=(out.blocks,)) if bias else None

    def __call__(self, x: Float[Array, "*batch input"]) -> Float[Array, "*batch output"]:
        """Map the last axis."""
        y = jnp.matmul(x, self.kernel)
        return y if self.bias is None else y + jnp.broadcast_to(self.bias, y.shape)


class LayerNorm(nnx.Module):
    """`(x - mean) / deviation`, scaled and shifted (Ba et al., 2016)."""

    def __init__(self, size: int) -> None:
        self.size = true_size(size)
        self.scale = parameter((size,), ones)
        self.bias = parameter((size,), zeros)

    def __call__(self, x: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        """Normalise the last axis; what is beyond the true size stays 0."""
        true = self.size.get_value()
        size = jnp.asarray(true, jnp.float32)
        x = within(x, true)  # here too, or the mean would send a gradient beyond the true size
        centred = within(x - x.sum(axis=-1, keepdims=True) / size, true)
        variance = jnp.square(centred).sum(axis=-1, keepdims=True) / size
        normed = centred * jax.lax.rsqrt(variance + 1e-6)
        return normed * jnp.broadcast_to(self.scale, x.shape) + jnp.broadcast_to(self.bias, x.shape)


class FeedForward(nnx.Module):
    """`GELU(x W₁ + b₁) W₂ + b₂` (Vaswani et al., 2017, section 3.3; Hendrycks and Gimpel, 2016)."""

    def __init__(self, size: int, hidden_size: int) -> None:
        self.widen = Linear(size, hidden_size)
        self.narrow = Linear(hidden_size, size)

    def __call__(self, x: Float[Array, "*batch size"], noise: Noise | None) -> Float[Array, "*batch size"]:
        """Map each position by itself."""
        return self.narrow(drop(jax.nn.gelu(self.widen(x)), noise))
