"""Layers that every family shares: linear maps, normalisation, dropout."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from automl.models.parameters import ones, parameter, scaled, zeros


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


class Linear(nnx.Module):
    """`x W + b`."""

    def __init__(self, input_size: int, output_size: int, *, bias: bool = True) -> None:
        self.kernel = parameter((input_size, output_size), scaled(input_size, output_size))
        self.bias = parameter((output_size,), zeros) if bias else None

    def __call__(self, x: Float[Array, "*batch input"]) -> Float[Array, "*batch output"]:
        """Map the last axis."""
        y = jnp.matmul(x, self.kernel)
        return y if self.bias is None else y + jnp.broadcast_to(self.bias, y.shape)


class LayerNorm(nnx.Module):
    """`(x - mean) / deviation`, scaled and shifted (Ba et al., 2016)."""

    def __init__(self, size: int) -> None:
        self.scale = parameter((size,), ones)
        self.bias = parameter((size,), zeros)

    def __call__(self, x: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        """Normalise the last axis."""
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = jnp.square(centred).mean(axis=-1, keepdims=True)
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
