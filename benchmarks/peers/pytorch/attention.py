"""Attention: of blocks, for all positions at once, and of recurrent decoders, for one query a row."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.peers.pytorch.layers import MASKED, Dropout, Linear, Residual, additive
from benchmarks.peers.pytorch.positions import Relations, distances
from benchmarks.peers.pytorch.weights import Weights


class Source(NamedTuple):
    """An encoded source, which places are tokens, what hides the others when added to scores, and what is copied."""

    states: Tensor
    mask: Tensor
    hiding: Tensor
    copies: Tensor

    @staticmethod
    def of(states: Tensor, mask: Tensor, copies: Tensor) -> "Source":
        """Return a source of which the mask says what there is."""
        return Source(states, mask, additive(mask), copies)


class MultiHead(nn.Module):
    """Scaled dot products in several heads, of which some may share keys and values; keys have no bias."""

    def __init__(self, kind: Mapping[str, Any], weights: Weights) -> None:
        super().__init__()
        self.heads = kind["num_heads"]
        self.query, self.query_bias = weights.matrix("query"), weights.vector("query_bias")
        self.key = weights.matrix("key")
        self.value, self.value_bias = weights.matrix("value"), weights.vector("value_bias")
        self.out, self.out_bias = weights.matrix("out"), weights.vector("out_bias")
        self.size = len(self.query) // self.heads
        self.shares = len(self.key) < len(self.query)

    def queries(self, x: Tensor) -> Tensor:
        """Return `[batch, heads, length, size]`."""
        return self._in_heads(F.linear(x, self.query, self.query_bias))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values, of as many heads as there are of them."""
        keys, values = F.linear(x, self.key), F.linear(x, self.value, self.value_bias)
        return self._in_heads(keys), self._in_heads(values)

    def found(self, queries: Tensor, keys: Tensor, values: Tensor, hiding: Tensor, dropped: float) -> Tensor:
        """Return what was found; by the fused kernel where it drops nothing, as it is the slower one if it does."""
        if dropped > 0:
            return self.weighed(queries, keys, values, hiding, dropped)[0]
        return self._mapped(F.scaled_dot_product_attention(queries, keys, values, hiding, enable_gqa=self.shares))

    def weighed(
        self, queries: Tensor, keys: Tensor, values: Tensor, hiding: Tensor, dropped: float
    ) -> tuple[Tensor, Tensor]:
        """Return what was found, and the weights of each head."""
        if self.shares:
            keys, values = (x.repeat_interleave(self.heads // x.shape[1], 1) for x in (keys, values))
        scores = torch.matmul(queries * self.size**-0.5, keys.transpose(2, 3)) + hiding
        weights = torch.softmax(scores, 3)
        return self._mapped(torch.matmul(F.dropout(weights, dropped), values)), weights

    def _in_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (-1, self.size)).transpose(1, 2)

    def _mapped(self, found: Tensor) -> Tensor:
        return F.linear(found.transpose(1, 2).flatten(2), self.out, self.out_bias)


class SelfAttention(nn.Module):
    """A sublayer in which positions look at each other."""

    def __init__(self, kind: Mapping[str, Any], weights: Weights) -> None:
        super().__init__()
        self.residual = Residual(weights.at("residual"), first=kind["norm_first"])
        self.inner = MultiHead(kind["attention"], weights.at("inner"))

    def forward(self, x: Tensor, hiding: Tensor, relations: Relations, dropout: Dropout) -> Tensor:
        """Map `[batch, length, size]`."""
        seen = self.residual.before(x)
        keys, values = self.inner.keys_values(seen)
        queries, keys = relations.turn(self.inner.queries(seen)), relations.turn(keys)
        y = self.inner.found(queries, keys, values, hiding, dropout.attention)
        return self.residual.after(x, dropout.drop(y))


class SourceAttention(nn.Module):
    """A sublayer in which target positions look at the source."""

    def __init__(self, kind: Mapping[str, Any], weights: Weights) -> None:
        super().__init__()
        self.residual = Residual(weights.at("residual"), first=kind["norm_first"])
        self.inner = MultiHead(kind["attention"], weights.at("inner"))

    def forward(self, x: Tensor, source: Source, dropout: Dropout, *, told: bool) -> tuple[Tensor, Tensor | None]:
        """Map `[batch, target, size]`; if it is to be `told`, return where they looked as well."""
        queries = self.inner.queries(self.residual.before(x))
        looked = (queries, *self.inner.keys_values(source.states), source.hiding[:, None, None], dropout.attention)
        y, weights = self.inner.weighed(*looked) if told else (self.inner.found(*looked), None)
        return self.residual.after(x, dropout.drop(y)), None if weights is None else weights.mean(1)


class Additive(nn.Module):
    """A one-layer network scores each position (Bahdanau et al., 2015; Luong et al., 2015, concat)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.query, self.key = Linear(weights.at("query")), Linear(weights.at("key"))
        self.score = weights.vector("score")

    def keys(self, source: Source) -> Tensor:
        """Return what is computed once a source."""
        found: Tensor = self.key(source.states)
        return found

    def forward(self, query: Tensor, keys: Tensor, source: Source, place: int) -> tuple[Tensor, Tensor]:
        """Look with a query a row; return what was found, and the weights."""
        del place
        scores = torch.tanh(self.query(query).unsqueeze(1) + keys) @ self.score
        return looked_at(scores + source.hiding, source)


class Product(nn.Module):
    """A dot product, with a matrix in between or without, of all positions or of some (Luong et al., 2015)."""

    def __init__(self, kind: Mapping[str, Any], weights: Weights) -> None:
        super().__init__()
        self.key = Linear(weights.at("key")) if weights.has("key") else None
        self.window = kind.get("window")

    def keys(self, source: Source) -> Tensor:
        """Return what is computed once a source."""
        found: Tensor = source.states if self.key is None else self.key(source.states)
        return found

    def forward(self, query: Tensor, keys: Tensor, source: Source, place: int) -> tuple[Tensor, Tensor]:
        """Look with a query a row; with a window past the end of the source, at its end."""
        scores = torch.bmm(keys, query.unsqueeze(2)).squeeze(2) + source.hiding
        if self.window is not None:
            centre = (source.mask.sum(1, keepdim=True) - 1).clamp(max=place)
            far = (torch.arange(keys.shape[1]) - centre).abs() > self.window
            scores = scores.masked_fill(far, MASKED)
        return looked_at(scores, source)


class HeadsOfQuery(nn.Module):
    """Several heads look at the source, for one query a row."""

    def __init__(self, kind: Mapping[str, Any], weights: Weights, *, told: bool) -> None:
        super().__init__()
        self.inner, self.told = MultiHead(kind, weights.at("attention")), told

    def keys(self, source: Source) -> tuple[Tensor, Tensor]:
        """Return what is computed once a source."""
        return self.inner.keys_values(source.states)

    def forward(
        self, query: Tensor, keys: tuple[Tensor, Tensor], source: Source, place: int
    ) -> tuple[Tensor, Tensor | None]:
        """Look with a query a row; return the weights only if it is to be `told`."""
        del place
        looked = (self.inner.queries(query.unsqueeze(1)), *keys, source.hiding[:, None, None], 0.0)
        if not self.told:
            return self.inner.found(*looked).squeeze(1), None
        found, weights = self.inner.weighed(*looked)
        return found.squeeze(1), weights.mean(1).squeeze(1)


def looked_at(scores: Tensor, source: Source) -> tuple[Tensor, Tensor]:
    """Return the mean of the source under the softmax of scores, and the weights."""
    weights = torch.softmax(scores, 1)
    return torch.bmm(weights.unsqueeze(1), source.states).squeeze(1), weights


def looking(kind: Mapping[str, Any], weights: Weights, *, told: bool) -> nn.Module:
    """Return how a recurrent decoder looks at the source."""
    own = weights.at(kind["kind"])
    match kind["kind"]:
        case "Additive" | "Concat":
            return Additive(own)
        case "Dot" | "General" | "Local":
            return Product(kind, own)
        case "MultiHead":
            return HeadsOfQuery(kind, own, told=told)
        case other:
            raise NotImplementedError(f"attention {other}")


def near(length: int, window: int) -> Tensor:
    """Say which places lie within a window, `[length, length]`; all if it is 0."""
    return distances(length).abs() <= (window or length)
