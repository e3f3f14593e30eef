"""Positions: what is added to tokens, and what acts between two places."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.peers.pytorch.weights import Weights

BASE = 10_000.0
STEEPNESS = 16.0
"""What a relative bias is multiplied by."""
FARTHEST = 128


class Places(nn.Module):
    """What is added to tokens."""

    def __init__(self, kind: Mapping[str, Any], weights: Weights) -> None:
        super().__init__()
        self.kind = kind["kind"]
        self.table = weights.embedding("table") if self.kind == "Learned" else None

    def forward(self, x: Tensor) -> Tensor:
        """Add them to `[batch, length, size]`."""
        if self.kind == "Sinusoidal":
            return x + sinusoids(x.shape[1], x.shape[2])
        if self.table is not None:
            return x + F.embedding(torch.arange(x.shape[1]).clamp(max=len(self.table) - 1), self.table)
        return x


class Relations(nn.Module):
    """What acts between two places: on queries and keys, or on their scores."""

    def __init__(self, kind: Mapping[str, Any], weights: Weights, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.kind, self.heads, self.causal = kind["kind"], heads, causal
        self.table = weights.embedding("table") if self.kind == "RelativeBias" else None

    def turn(self, x: Tensor) -> Tensor:
        """Turn neighbouring pairs of columns of `[batch, heads, length, size]` where positions are rotary."""
        if self.kind != "Rotary":
            return x
        cosine, sine = angles(x.shape[2], x.shape[3])
        even, odd = x[..., ::2], x[..., 1::2]
        return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], 4).flatten(3)

    def bias(self, length: int) -> Tensor | None:
        """Return what is added to scores, `[heads, length, length]`, or nothing."""
        if self.kind == "ALiBi":
            return falling(length, self.heads)
        if self.table is not None:
            found = F.embedding(buckets(length, len(self.table), self.causal), STEEPNESS * self.table)
            return found.permute(2, 0, 1)
        return None


@lru_cache
def sinusoids(length: int, size: int) -> Tensor:
    """Return sines and cosines of places, `[length, size]`."""
    turned = torch.arange(length)[:, None] * _frequencies(size)
    return torch.stack([turned.sin(), turned.cos()], 2).flatten(1)


@lru_cache
def angles(length: int, size: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines that heads of a size are turned by, `[length, size / 2]`."""
    turned = torch.arange(length)[:, None] * _frequencies(size)
    return turned.cos(), turned.sin()


@lru_cache
def distances(length: int) -> Tensor:
    """Return key minus query, `[length, length]`."""
    places = torch.arange(length)
    return places[None, :] - places[:, None]


@lru_cache
def falling(length: int, heads: int) -> Tensor:
    """Return scores that fall with the distance, by a slope for each head (Press et al., 2022)."""
    slopes = torch.exp2(-8.0 * torch.arange(1, heads + 1) / heads)
    return -slopes[:, None, None] * distances(length).abs()


@lru_cache
def buckets(length: int, count: int, causal: bool) -> Tensor:
    """Return the bucket of each distance: exact when near, logarithmic when far (Raffel et al., 2020)."""
    distance = distances(length)
    side = torch.zeros_like(distance)
    if not causal:
        count //= 2
        side = torch.where(distance > 0, count, 0)
    away = (-distance).clamp(min=0) if causal else distance.abs()
    exact = max(count // 2, 1)
    far = exact + (torch.log(away.clamp(min=1) / exact) * ((count - exact) / math.log(FARTHEST / exact))).int()
    return side + torch.where(away < exact, away, far.clamp(max=count - 1))


def _frequencies(size: int) -> Tensor:
    return torch.exp(torch.arange(0, size, 2) * (-math.log(BASE) / size))
