"""Embeddings of tokens and of positions."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from automl.models.layers import within
from automl.models.parameters import normal, parameter, true_size


class TokenEmbedding(nnx.Module):
    """A learned vector for each token."""

    def __init__(self, vocabulary: int, size: int) -> None:
        self.size = true_size(size)
        self.table = parameter((vocabulary, size), normal(size**-0.5))

    def __call__(self, tokens: Int[Array, "*batch"]) -> Float[Array, "*batch size"]:
        """Look tokens up; the vectors have unit scale."""
        return jnp.take(self.table, tokens, axis=0) * jnp.sqrt(jnp.asarray(self.size.get_value(), jnp.float32))


def sinusoidal(positions: Int[Array, "length"], width: int, size: int | Int[Array, ""]) -> Float[Array, "length width"]:
    """Return sines and cosines of the positions at geometric wavelengths (Vaswani et al., 2017, section 3.5).

    Neighbours are a pair, and the wavelengths are those of the true size, so that what is beyond it can be 0.
    """
    rate = np.float32(-np.log(10_000.0)) / jnp.asarray(size, jnp.float32)
    frequencies = jnp.exp(jnp.arange(0, width, 2).astype(jnp.float32) * rate)
    angles = positions[:, None].astype(jnp.float32) * frequencies[None, :]
    waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(positions.shape[0], -1)
    return within(waves[:, :width], size)
