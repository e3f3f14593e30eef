"""Encoders: from source tokens to one vector a position."""

from functools import partial
from typing import assert_never

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from automl.models.attention import Memory, MultiHeadAttention
from automl.models.embeddings import TokenEmbedding, sinusoidal
from automl.models.layers import FeedForward, LayerNorm, Noise, drop, go_on
from automl.models.parameters import Width, true_size
from automl.models.recurrence import CELLS, run
from search_spaces import encoders as kinds


class RecurrentEncoder(nnx.Module):
    """Layers of gated recurrent cells; the vector of a position joins both directions."""

    def __init__(self, kind: kinds.Recurrent, vocabulary: int) -> None:
        size = kind.hidden_size
        self.width = Width(size, 2 if kind.bidirectional else 1)
        self.depth = true_size(kind.num_layers)
        self.embedding = TokenEmbedding(vocabulary, size)
        inputs = [Width(size)] + [self.width] * (kind.num_layers - 1)
        cell = CELLS[kind.cell]
        self.forwards = nnx.List([cell(width, size) for width in inputs])
        self.backwards = nnx.List([cell(width, size) for width in inputs if kind.bidirectional])

    def __call__(
        self, tokens: Int[Array, "batch source"], mask: Bool[Array, "batch source"], noise: Noise | None
    ) -> Memory:
        """Encode a batch."""
        x = drop(self.embedding(tokens), noise and noise.at(0))
        for i in range(len(self.forwards)):
            x = go_on(i, self.depth.get_value(), partial(self.layer, i, mask, noise), x)
        return Memory(x, mask)

    def layer(
        self, index: int, mask: Bool[Array, "batch source"], noise: Noise | None, x: Float[Array, "batch source input"]
    ) -> Float[Array, "batch source size"]:
        """Run one layer's cells over the source in its directions."""
        outputs = [run(self.forwards[index], x, mask)[0]]
        if self.backwards:
            outputs.append(run(self.backwards[index], x, mask, reverse=True)[0])
        return drop(jnp.concatenate(outputs, axis=-1), noise and noise.at(index + 1))


class EncoderBlock(nnx.Module):
    """Self-attention, then feed-forward, each normalised before and added to its input."""

    def __init__(self, size: int, num_heads: int, feed_forward: int) -> None:
        self.attention_norm = LayerNorm(size)
        self.attention = MultiHeadAttention(size, Width(size), size, num_heads)
        self.feed_forward_norm = LayerNorm(size)
        self.feed_forward = FeedForward(size, feed_forward)

    def __call__(
        self, x: Float[Array, "batch source size"], mask: Bool[Array, "batch source"], noise: Noise | None
    ) -> Float[Array, "batch source size"]:
        """Return the positions, each having looked at all others."""
        normed = self.attention_norm(x)
        attended = self.attention(normed, self.attention.keys_values(normed), mask[:, None, :])
        x = x + drop(attended, noise and noise.at(0))
        y = self.feed_forward(self.feed_forward_norm(x), noise and noise.at(1))
        return x + drop(y, noise and noise.at(2))


class TransformerEncoder(nnx.Module):
    """Blocks of self-attention over tokens with sinusoidal positions."""

    def __init__(self, kind: kinds.Transformer, vocabulary: int) -> None:
        self.width = Width(kind.model_size)
        self.depth = true_size(kind.num_layers)
        self.embedding = TokenEmbedding(vocabulary, kind.model_size)
        width = kind.feed_forward_ratio * kind.model_size
        blocks = (EncoderBlock(kind.model_size, kind.attention.num_heads, width) for _ in range(kind.num_layers))
        self.blocks = nnx.List(blocks)
        self.norm = LayerNorm(kind.model_size)

    def __call__(
        self, tokens: Int[Array, "batch source"], mask: Bool[Array, "batch source"], noise: Noise | None
    ) -> Memory:
        """Encode a batch."""
        positions = sinusoidal(jnp.arange(tokens.shape[1]), self.width.size, self.embedding.size.get_value())[None]
        x = drop(self.embedding(tokens) + positions, noise and noise.at(0))
        for i, block in enumerate(self.blocks):
            x = go_on(i, self.depth.get_value(), partial(block, mask=mask, noise=noise and noise.at(i + 1)), x)
        return Memory(jnp.where(mask[:, :, None], self.norm(x), 0.0), mask)


Encoder = RecurrentEncoder | TransformerEncoder


def build_encoder(kind: kinds.Encoder, vocabulary: int) -> Encoder:
    """Return the module for a kind."""
    match kind:
        case kinds.Recurrent():
            return RecurrentEncoder(kind, vocabulary)
        case kinds.Transformer():
            return TransformerEncoder(kind, vocabulary)
        case other:
            assert_never(other)
