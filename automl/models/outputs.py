"""Outputs: from a decoder's vectors to logits, by a softmax over the vocabulary or mixed with copying."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from automl.data.tokenizers import PAD
from automl.models.attention import MASKED
from automl.models.embeddings import TokenEmbedding
from automl.models.facts import distinct, fact, is_kind, kind_among, number
from automl.models.layers import Linear
from automl.models.parameters import MATRIX, parameter, scaled, zeros
from search_spaces import outputs as kinds

TINY = 1e-20


@dataclass(frozen=True)
class OutputKinds:
    """What the outputs of a model may be.

    Attributes:
        vocabulary: Number of target tokens.
        kinds: Softmax or copying, of each configuration.
        tied: Whether the logits share the embedding's table, of each configuration.
    """

    vocabulary: int
    kinds: Sequence[kinds.Output]
    tied: Sequence[bool]


class Output(nnx.Module):
    """Logits over the vocabulary; those beyond the true vocabulary are masked.

    Tied, their matrix is the transposed table of the embedding (Press and Wolf, 2017). A pointer-generator gives
    logarithms of `(1 - g) softmax + g copied`, where the share `g` comes from the same vector (See et al., 2017).
    """

    def __init__(self, size: int, output: OutputKinds) -> None:
        names = distinct(type(kind).__name__ for kind in output.kinds)
        self.size = fact(output.vocabulary)
        self.kind = kind_among(names)
        self.matrix = kind_among("table" if tied else "own" for tied in output.tied)
        shape = (size, output.vocabulary)
        self.kernel = None if all(output.tied) else parameter(shape, scaled(*shape), MATRIX)
        self.bias = parameter((output.vocabulary,), zeros)
        self.share = Linear(size, 1) if "PointerGenerator" in names else None

    def __call__(
        self,
        x: Float[Array, "batch target size"],
        embedding: TokenEmbedding | None,
        weights: Float[Array, "batch target source"],
        copies: Int[Array, "batch source"] | None,
    ) -> Float[Array, "batch target vocabulary"]:
        """Return the logits; `weights` and `copies` say where the decoder looked and what can be copied from there.

        The embedding is read where its table could be the matrix.
        """
        logits = jnp.matmul(x, self._matrix(embedding))
        logits = self._masked(logits + jnp.broadcast_to(self.bias, logits.shape))
        copying = is_kind(self.kind, "PointerGenerator")
        if copying is False:
            return logits
        if self.share is None or copies is None:
            raise ValueError("a pointer-generator needs to know what each source token could be copied as")
        share = jax.nn.sigmoid(self.share(x))
        if copying is True:
            return self._mixed(logits, share, weights, copies)
        mixed: Array = jax.lax.cond(copying, lambda: self._mixed(logits, share, weights, copies), lambda: logits)
        return mixed

    def copied(
        self,
        x: Float[Array, "batch target size"],
        weights: Float[Array, "batch target source"],
        copies: Int[Array, "batch source"] | None,
        targets: Int[Array, "batch target"],
    ) -> Float[Array, "batch target"]:
        """Return how likely each target is said by copying it, of all that could be said: 0 for a softmax."""
        copying = is_kind(self.kind, "PointerGenerator")
        if copying is False or self.share is None or copies is None:
            return jnp.zeros(targets.shape, x.dtype)
        same = (copies[:, None, :] == targets[:, :, None]) & (copies != PAD)[:, None, :]
        share = jax.nn.sigmoid(self.share(x))[..., 0] * jnp.where(same, weights, 0.0).sum(axis=-1)
        return jnp.where(copying, share, 0.0)

    def _matrix(self, embedding: TokenEmbedding | None) -> Float[Array, "size vocabulary"]:
        tied = is_kind(self.matrix, "table")
        if embedding is None or (tied is False and self.kernel is not None):
            assert self.kernel is not None
            return jnp.asarray(self.kernel.get_value())
        table: Array = embedding.table.get_value().T
        if tied is True or self.kernel is None:
            return table
        return jnp.where(tied, table, self.kernel.get_value())

    def _masked(self, logits: Float[Array, "batch target vocabulary"]) -> Float[Array, "batch target vocabulary"]:
        size = number(self.size)
        if isinstance(size, int):
            return logits
        real = jnp.arange(logits.shape[-1]) < size
        return jnp.where(jnp.broadcast_to(real, logits.shape), logits, MASKED)

    def _mixed(
        self,
        logits: Float[Array, "batch target vocabulary"],
        share: Float[Array, "batch target 1"],
        weights: Float[Array, "batch target source"],
        copies: Int[Array, "batch source"],
    ) -> Float[Array, "batch target vocabulary"]:
        """Mix the softmax with the copied tokens; where nothing can be copied, the softmax has it all."""
        copyable = (copies != PAD)[:, None, :]
        weights = jnp.where(copyable, weights, 0.0)
        tokens = jax.nn.one_hot(copies, logits.shape[-1], dtype=weights.dtype)
        copied = share * jnp.einsum("bts,bsv->btv", weights, tokens)
        left = 1 - share * weights.sum(axis=-1, keepdims=True)
        said = jax.nn.log_softmax(logits, axis=-1) + jnp.log(jnp.maximum(left, TINY))
        return self._masked(jnp.logaddexp(said, jnp.log(copied + TINY)))
