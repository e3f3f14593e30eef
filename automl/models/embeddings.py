"""Embeddings of tokens and of positions."""

import math

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from automl.models.parameters import normal, parameter


class TokenEmbedding(nnx.Module):
    """A learned vector for each token."""

    def __init__(self, vocabulary: int, size: int) -> None:
        self.table = parameter((vocabulary, size), normal(size**-0.5))

    def __call__(self, tokens: Int[Array, "*batch"]) -> Float[Array, "*batch size"]:
        """Look tokens up; the vectors have unit scale."""
        size: int = self.table.shape[1]
        return jnp.take(self.table, tokens, axis=0) * math.sqrt(size)


def sinusoidal(positions: Int[Array, "length"], size: int) -> Float[Array, "length size"]:
    """Return sines and cosines of the positions at geometric wavelengths (Vaswani et al., 2017, section 3.5)."""
    frequencies = np.exp(np.arange(0, size, 2) * (-np.log(10_000.0) / size)).astype(np.float32)
    angles = positions[:, None].astype(jnp.float32) * frequencies[None, :]
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(positions.shape[0], -1)[:, :size]
