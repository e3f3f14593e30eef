"""Layers that every family shares: linear maps, normalisation, feed-forward; and what depends on true sizes."""

from collections.abc import Callable, Collection
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from automl.models.dropout import Noise, drop
from automl.models.facts import Number, fact, is_kind, kind_among, names, number, of_kind, times
from automl.models.parameters import MATRIX, Width, ones, parameter, scaled, zeros

T = TypeVar("T")


def within(x: Float[Array, "*batch size"], size: Number) -> Float[Array, "*batch size"]:
    """Zero the last axis beyond a true size."""
    if isinstance(size, int):
        return x
    real = jnp.arange(x.shape[-1]) < size
    return jnp.where(jnp.broadcast_to(real, x.shape), x, 0.0)


def fitted(x: Float[Array, "*batch size"], size: int) -> Float[Array, "*batch wanted"]:
    """Cut the last axis, or fill it up with 0; what is real fits into both sizes."""
    if x.shape[-1] >= size:
        return x[..., :size]
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, size - x.shape[-1])])


def go_on(index: int, depth: Number, layer: Callable[[T], T], x: T) -> T:
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
        self.kernel = parameter(shape, scaled(*shape), MATRIX, blocks=(into.blocks, out.blocks))
        self.bias = parameter((out.total,), zeros, blocks=(out.blocks,)) if bias else None

    def __call__(self, x: Float[Array, "*batch input"]) -> Float[Array, "*batch output"]:
        """Map the last axis."""
        y = jnp.matmul(x, self.kernel)
        return y if self.bias is None else y + jnp.broadcast_to(self.bias, y.shape)


class Norm(nnx.Module):
    """`(x - mean) / deviation`, scaled and shifted (`layer`; Ba et al., 2016), or `x / root mean square`, scaled.

    (`rms`; Zhang and Sennrich, 2019.)
    """

    def __init__(self, size: int, kinds: Collection[str]) -> None:
        self.size = fact(size)
        self.kind = kind_among(kinds)
        self.scale = parameter((size,), ones)
        self.bias = parameter((size,), zeros) if "layer" in kinds else None

    def __call__(self, x: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        """Normalise the last axis; what is beyond the true size stays 0."""
        true = number(self.size)
        size = jnp.maximum(jnp.asarray(true, x.dtype), 1)
        x = within(x, true)  # here too, or the mean would send a gradient beyond the true size
        if "layer" in names(self.kind):
            mean = times(is_kind(self.kind, "layer"), x.sum(axis=-1, keepdims=True) / size)
            x = within(x - mean, true)
        normed = x * jax.lax.rsqrt(jnp.square(x).sum(axis=-1, keepdims=True) / size + 1e-6)
        scaled_up = normed * jnp.broadcast_to(self.scale, x.shape)
        if self.bias is None:
            return scaled_up
        return scaled_up + jnp.broadcast_to(times(is_kind(self.kind, "layer"), self.bias.get_value()), x.shape)


class FeedForward(nnx.Module):
    """`f(x W₁ + b₁) W₂ + b₂` (Vaswani et al., 2017, section 3.3), where `f` is a ReLU or a GELU, or gated.

    (Hendrycks and Gimpel, 2016, for the GELU; Shazeer, 2020, for `swiglu`: `swish(x W₁ + b₁) * (x V + c)`.)
    """

    def __init__(self, size: int, hidden_size: int, activations: Collection[str]) -> None:
        self.activation = kind_among(activations)
        self.widen = Linear(size, hidden_size)
        self.gate = Linear(size, hidden_size) if "swiglu" in activations else None
        self.narrow = Linear(hidden_size, size)

    def __call__(self, x: Float[Array, "*batch size"], noise: Noise | None) -> Float[Array, "*batch size"]:
        """Map each position by itself."""
        wide = self.widen(x)
        hidden = of_kind(
            self.activation,
            {
                "relu": lambda: jax.nn.relu(wide),
                "gelu": lambda: jax.nn.gelu(wide),
                "swiglu": lambda: jax.nn.silu(wide) * self._gate(x),
            },
        )
        return self.narrow(drop(hidden, noise))

    def _gate(self, x: Float[Array, "*batch size"]) -> Float[Array, "*batch hidden"]:
        assert self.gate is not None
        gate: Array = self.gate(x)
        return gate


class Residual(nnx.Module):
    """A sublayer with its normalisation, before it or after the addition (`first` or `last`; Xiong et al., 2020)."""

    def __init__(self, size: int, norms: Collection[str], places: Collection[str]) -> None:
        self.place = kind_among(places)
        self.norm = Norm(size, norms)

    def before(self, x: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        """Return what the sublayer sees."""
        return _chosen(is_kind(self.place, "first"), self.norm, x)

    def after(self, x: Float[Array, "*batch size"], y: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        """Add what the sublayer gave to what came in."""
        return _chosen(is_kind(self.place, "last"), self.norm, x + y)


class FinalNorm(nnx.Module):
    """The normalisation at the end of blocks that normalise first; those of the other kind have just done so."""

    def __init__(self, size: int, norms: Collection[str], places: Collection[str]) -> None:
        self.place = kind_among(places)
        self.norm = Norm(size, norms) if "first" in places else None

    def __call__(self, x: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        """Normalise the last axis."""
        return x if self.norm is None else _chosen(is_kind(self.place, "first"), self.norm, x)


def _chosen(condition: bool | Array, norm: Norm, x: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
    if isinstance(condition, bool):
        return norm(x) if condition else x
    return jnp.where(condition, norm(x), x)
