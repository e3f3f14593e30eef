"""Layers that every family shares: linear maps, normalisation, feed-forward, embeddings of tokens; and dropout."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.peers.pytorch.weights import Weights

PAD = 0
MASKED = -1e9
EPSILON = 1e-6


@dataclass(frozen=True)
class Dropout:
    """Shares that are dropped in training.

    Attributes:
        rate: Of entries of activations.
        tokens: Of whole tokens.
        attention: Of weights of attention.
        locked: Whether the same entries are dropped at every position.
    """

    rate: float = 0.0
    tokens: float = 0.0
    attention: float = 0.0
    locked: bool = False

    @staticmethod
    def of(configuration: Mapping[str, Any]) -> "Dropout":
        """Return what a configuration says."""
        rates = (configuration[name] for name in ("dropout", "token_dropout", "attention_dropout"))
        return Dropout(*rates, locked=configuration["dropout_kind"] == "locked")

    def drop(self, x: Tensor) -> Tensor:
        """Zero entries of `[batch, length, size]`."""
        if not self.locked or self.rate == 0:
            return F.dropout(x, self.rate)
        return x * F.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), self.rate)

    def drop_embedded(self, x: Tensor) -> Tensor:
        """Zero whole tokens, then entries."""
        if self.tokens > 0:
            x = x * F.dropout(x.new_ones(x.shape[0], x.shape[1], 1), self.tokens)
        return self.drop(x)


class Linear(nn.Module):
    """`x W + b`."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.weight = weights.matrix("kernel")
        self.bias = weights.vector("bias") if weights.has("bias") else None

    def forward(self, x: Tensor) -> Tensor:
        """Map the last axis."""
        return F.linear(x, self.weight, self.bias)


class Norm(nn.Module):
    """`layer` or `rms`."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.scale = weights.vector("scale")
        self.bias = weights.vector("bias") if weights.has("bias") else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        if self.bias is None:
            return F.rms_norm(x, self.scale.shape, self.scale, EPSILON)
        return F.layer_norm(x, self.scale.shape, self.scale, self.bias, EPSILON)


class Residual(nn.Module):
    """Where a sublayer is normalised: before it, or after the addition."""

    def __init__(self, weights: Weights, *, first: bool) -> None:
        super().__init__()
        self.first, self.norm = first, Norm(weights.at("norm"))

    def before(self, x: Tensor) -> Tensor:
        """Return what the sublayer sees."""
        found: Tensor = self.norm(x) if self.first else x
        return found

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """Add what the sublayer gave."""
        found: Tensor = x + y if self.first else self.norm(x + y)
        return found


class FeedForward(nn.Module):
    """A feed-forward sublayer with a ReLU or a GELU, or gated."""

    def __init__(self, kind: Mapping[str, Any], weights: Weights) -> None:
        super().__init__()
        self.activation = kind["activation"]
        self.residual = Residual(weights.at("residual"), first=kind["norm_first"])
        inner = weights.at("inner")
        self.widen, self.narrow = Linear(inner.at("widen")), Linear(inner.at("narrow"))
        self.gate = Linear(inner.at("gate")) if self.activation == "swiglu" else None

    def forward(self, x: Tensor, dropout: Dropout) -> Tensor:
        """Map each position and add it."""
        seen = self.residual.before(x)
        hidden = dropout.drop(self._activated(seen, self.widen(seen)))
        return self.residual.after(x, dropout.drop(self.narrow(hidden)))

    def _activated(self, x: Tensor, wide: Tensor) -> Tensor:
        match self.activation:
            case "relu":
                return F.relu(wide)
            case "gelu":
                return F.gelu(wide, approximate="tanh")
            case "swiglu" if self.gate is not None:
                gate: Tensor = self.gate(x)
                return F.silu(wide) * gate
            case other:
                raise NotImplementedError(f"activation {other}")


class TokenEmbedding(nn.Module):
    """A vector of unit scale for each token."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.table = weights.embedding("table")

    def forward(self, tokens: Tensor) -> Tensor:
        """Look tokens up."""
        return F.embedding(tokens, self.table) * self.table.shape[1] ** 0.5


class Memory(nn.Module):
    """Brings an encoder's vectors to the size of the decoder's, and leaves nothing where there is no token."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.bridge = Linear(weights.at("bridge.linear")) if weights.has("bridge") else None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map `[batch, source, encoder]`."""
        mapped = x if self.bridge is None else self.bridge(x)
        return mapped * mask.unsqueeze(2)


def additive(mask: Tensor) -> Tensor:
    """Return what hides places where it is added to scores."""
    return torch.zeros(mask.shape).masked_fill_(~mask, MASKED)
