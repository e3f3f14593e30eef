"""Encoders: from source tokens to one vector a position, of the size of the decoder's."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.peers.pytorch.attention import SelfAttention, near
from benchmarks.peers.pytorch.layers import Dropout, FeedForward, Memory, Norm, TokenEmbedding, additive
from benchmarks.peers.pytorch.positions import Places, Relations
from benchmarks.peers.pytorch.recurrence import Direction, from_the_end
from benchmarks.peers.pytorch.weights import Weights

Kind = Mapping[str, Any]


class RecurrentEncoder(nn.Module):
    """Layers of cells that run in one direction or both."""

    def __init__(self, kind: Kind, weights: Weights) -> None:
        super().__init__()
        self.embedding, self.memory = TokenEmbedding(weights.at("embedding")), Memory(weights)
        ways = ("forwards", "backwards") if kind["bidirectional"] else ("forwards",)
        self.residual = kind["residual"]
        self.layers = nn.ModuleList(
            nn.ModuleList(
                Direction(kind["cell"], weights.at(f"layers.{number}.{way}"), backwards=way == "backwards")
                for way in ways
            )
            for number in range(kind["num_layers"])
        )

    def forward(self, tokens: Tensor, mask: Tensor, dropout: Dropout) -> Tensor:
        """Encode a batch."""
        x, turned = dropout.drop_embedded(self.embedding(tokens)), from_the_end(mask)
        for number, layer in enumerate(self.layers):
            found = [dropout.drop(way(x, mask, turned)) for way in layer]
            joined = torch.cat(found, 2) if len(found) > 1 else found[0]
            x = x + joined if self.residual and number > 0 else joined
        encoded: Tensor = self.memory(x, mask)
        return encoded


class Block(nn.Module):
    """Self-attention, then feed-forward."""

    def __init__(self, kind: Kind, weights: Weights) -> None:
        super().__init__()
        self.attention = SelfAttention(kind, weights.at("attention"))
        self.feed_forward = FeedForward(kind, weights.at("feed_forward"))

    def forward(self, x: Tensor, hiding: Tensor, relations: Relations, dropout: Dropout) -> Tensor:
        """Map `[batch, source, size]`."""
        found: Tensor = self.feed_forward(self.attention(x, hiding, relations, dropout), dropout)
        return found


class TransformerEncoder(nn.Module):
    """Blocks of self-attention and feed-forward."""

    def __init__(self, kind: Kind, weights: Weights) -> None:
        super().__init__()
        self.window, heads = kind["window"], kind["attention"]["num_heads"]
        self.embedding, self.memory = TokenEmbedding(weights.at("embedding")), Memory(weights)
        self.places = Places(kind["positions"], weights.at("places"))
        self.relations = Relations(kind["positions"], weights.at("relations"), heads, causal=False)
        self.blocks = nn.ModuleList(Block(kind, weights.at(f"blocks.{number}")) for number in range(kind["num_layers"]))
        self.norm = Norm(weights.at("norm.norm")) if kind["norm_first"] else nn.Identity()

    def forward(self, tokens: Tensor, mask: Tensor, dropout: Dropout) -> Tensor:
        """Encode a batch."""
        x = dropout.drop_embedded(self.places(self.embedding(tokens)))
        hiding, bias = self._hiding(mask), self.relations.bias(mask.shape[1])
        hiding = hiding if bias is None else hiding + bias
        for block in self.blocks:
            x = block(x, hiding, self.relations, dropout)
        encoded: Tensor = self.memory(self.norm(x), mask)
        return encoded

    def _hiding(self, mask: Tensor) -> Tensor:
        seen = mask[:, None, None, :]
        return additive(seen & near(mask.shape[1], self.window) if self.window else seen)


class ConvolutionBlock(nn.Module):
    """`x + GLU(x * W + b)`, normalised before."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.norm = Norm(weights.at("norm"))
        self.kernel, self.bias = weights.kernel("kernel"), weights.vector("bias")

    def forward(self, x: Tensor, mask: Tensor, dropout: Dropout) -> Tensor:
        """Map `[batch, source, size]`."""
        real = (self.norm(x) * mask.unsqueeze(2)).transpose(1, 2)
        convolved = F.conv1d(real, self.kernel, self.bias, padding=self.kernel.shape[2] // 2)
        return x + dropout.drop(F.glu(convolved, 1).transpose(1, 2))


class ConvolutionalEncoder(nn.Module):
    """Blocks of gated convolutions."""

    def __init__(self, kind: Kind, weights: Weights) -> None:
        super().__init__()
        self.embedding, self.memory = TokenEmbedding(weights.at("embedding")), Memory(weights)
        self.places = Places(kind["positions"], weights.at("places"))
        numbers = range(kind["num_layers"])
        self.blocks = nn.ModuleList(ConvolutionBlock(weights.at(f"blocks.{number}")) for number in numbers)
        self.norm = Norm(weights.at("norm"))

    def forward(self, tokens: Tensor, mask: Tensor, dropout: Dropout) -> Tensor:
        """Encode a batch."""
        x = dropout.drop_embedded(self.places(self.embedding(tokens)))
        for block in self.blocks:
            x = block(x, mask, dropout)
        encoded: Tensor = self.memory(self.norm(x), mask)
        return encoded


def encoder_of(kind: Kind, weights: Weights) -> nn.Module:
    """Return the encoder of a configuration."""
    own = weights.at(kind["kind"])
    match kind["kind"]:
        case "Recurrent":
            return RecurrentEncoder(kind, own)
        case "Transformer":
            return TransformerEncoder(kind, own)
        case "Convolution":
            return ConvolutionalEncoder(kind, own)
        case other:
            raise NotImplementedError(f"encoder {other}")
