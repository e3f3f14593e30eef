"""Attention: weights over positions, and the mean of the values under them."""

from collections.abc import Sequence
from math import gcd
from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from automl.models.dropout import Noise, drop_weights
from automl.models.embeddings import Heads, Relations
from automl.models.facts import Number, OneOf, fact, number
from automl.models.layers import Linear, within
from automl.models.parameters import MATRIX, normal, parameter, scaled, zeros
from search_spaces import attention as kinds

MASKED = -1e9


class Memory(NamedTuple):
    """An encoded source: a vector a position, which positions are real, and as which target token each could be copied.

    The token is `PAD` where there is none.
    """

    states: Float[Array, "batch source size"]
    mask: Bool[Array, "batch source"]
    copies: Int[Array, "batch source"] | None = None


def masked_softmax(
    scores: Float[Array, "*batch positions"], mask: Bool[Array, "*#batch positions"]
) -> Float[Array, "*batch positions"]:
    """Return weights that sum to 1 over the positions that the mask allows."""
    return jax.nn.softmax(jnp.where(mask, scores, MASKED), axis=-1)


class KeysValues(NamedTuple):
    """Keys and values of positions, their columns in groups."""

    keys: Float[Array, "batch positions groups granule"]
    values: Float[Array, "batch positions groups granule"]


class Cache(NamedTuple):
    """Keys and values as the products with one query a row read them.

    What is looked at again at each step would otherwise be turned about in memory at each step.
    """

    keys: Float[Array, "batch groups positions granule"]
    values: Float[Array, "batch groups positions granule"]


def cached(attended: KeysValues) -> Cache:
    """Turn keys and values about, once."""
    return Cache(*(jnp.swapaxes(each, 1, 2) for each in attended))


def written(cache: Cache, own: KeysValues, position: Int[Array, ""]) -> Cache:
    """Put keys and values of one position into their place."""
    pairs = zip(cache, cached(own), strict=True)
    return Cache(*(jax.lax.dynamic_update_slice_in_dim(old, new, position, axis=2) for old, new in pairs))


def resized(cache: Cache, positions: int) -> Cache:
    """Cut off positions, or add empty ones."""

    def one(x: Float[Array, "batch groups positions granule"]) -> Array:
        kept = x[:, :, :positions]
        return jnp.pad(kept, ((0, 0), (0, 0), (0, positions - kept.shape[2]), (0, 0)))

    return Cache(one(cache.keys), one(cache.values))


class MultiHeadAttention(nnx.Module):
    """`softmax(Q Kᵀ / √d) V` in several heads (Vaswani et al., 2017, section 3.2.2); keys have no bias.

    A bias on the keys shifts all scores of a query alike, so its gradient is rounding noise. Groups of heads may share
    keys and values (Ainslie et al., 2023). For several kinds, the columns of a head are summed up from granules of a
    size that divides all of theirs, so that their number and size are data and pad nothing.

    Args:
        heads: The kinds, each with the size of its vectors.
        size: Size of the largest vectors, of queries and of what is attended to.
    """

    def __init__(self, heads: Sequence[tuple[kinds.MultiHead, int]], size: int) -> None:
        kind, own = heads[0]
        self.granule = gcd(*(size // kind.num_heads for kind, size in heads))
        self.several = len(heads) > 1 or own < size
        self.grouped = any(kind.key_value_heads < kind.num_heads for kind, _ in heads)
        self.size, self.num_heads, self.key_value_heads = fact(own), fact(kind.num_heads), fact(kind.key_value_heads)
        columns = -(-size // self.granule) * self.granule
        shared = columns if self.several else kind.key_value_heads * self.granule
        self.query = parameter((size, columns), scaled(size, columns), MATRIX)
        self.query_bias = parameter((columns,), zeros)
        self.key = parameter((size, shared), scaled(size, shared), MATRIX)
        self.value = parameter((size, shared), scaled(size, shared), MATRIX)
        self.value_bias = parameter((shared,), zeros)
        self.out = parameter((columns, size), scaled(columns, size), MATRIX)
        self.out_bias = parameter((size,), zeros)

    @property
    def heads(self) -> Heads:
        """How columns fall into heads."""
        count = number(self.num_heads)
        per_head = number(self.size) // (self.granule * (count if isinstance(count, int) else jnp.maximum(count, 1)))
        return Heads(self.granule, count, per_head)

    def keys_values(
        self,
        states: Float[Array, "batch positions memory"],
        relations: Relations | None = None,
        positions: Int[Array, "positions"] | None = None,
    ) -> KeysValues:
        """Return keys and values of the positions that will be attended to."""
        key, value, bias = (self._spread(jnp.asarray(p.get_value())) for p in (self.key, self.value, self.value_bias))
        keys = self._grouped(jnp.matmul(states, key))
        values = jnp.matmul(states, value)
        values = self._grouped(values + jnp.broadcast_to(bias, values.shape))
        if relations is not None and positions is not None:
            keys = relations.turn(keys, positions, self.heads)
        return KeysValues(keys, values)

    def queries(
        self,
        states: Float[Array, "batch queries query"],
        relations: Relations | None = None,
        positions: Int[Array, "queries"] | None = None,
    ) -> Float[Array, "batch queries groups granule"]:
        """Return the queries, their columns in groups."""
        q = jnp.matmul(states, self.query)
        q = self._grouped(q + jnp.broadcast_to(self.query_bias, q.shape))
        return q if relations is None or positions is None else relations.turn(q, positions, self.heads)

    def projected(
        self,
        states: Float[Array, "batch positions query"],
        relations: Relations | None = None,
        positions: Int[Array, "positions"] | None = None,
    ) -> tuple[Float[Array, "batch positions groups granule"], KeysValues]:
        """Return queries, keys and values of the same positions, by one product."""
        query, bias = jnp.asarray(self.query.get_value()), jnp.asarray(self.query_bias.get_value())
        key, value, shift = (self._spread(jnp.asarray(p.get_value())) for p in (self.key, self.value, self.value_bias))
        found = jnp.matmul(states, jnp.concatenate([query, key, value], axis=1))
        added = jnp.concatenate([each[None] for each in (bias, jnp.zeros_like(shift), shift)], axis=1)
        found = found + jnp.broadcast_to(added, found.shape)
        ends = query.shape[1], query.shape[1] + key.shape[1]
        queries, keys, values = map(self._grouped, jnp.split(found, ends, axis=-1))
        if relations is not None and positions is not None:
            queries, keys = (relations.turn(each, positions, self.heads) for each in (queries, keys))
        return queries, KeysValues(keys, values)

    def __call__(
        self,
        queries: Float[Array, "batch queries groups granule"],
        attended: KeysValues,
        mask: Bool[Array, "#batch #queries positions"],
        bias: Float[Array, "groups queries positions"] | None = None,
        noise: Noise | None = None,
    ) -> tuple[Float[Array, "batch queries query"], Float[Array, "batch queries positions"]]:
        """Return one vector a query, and the weights, averaged over heads.

        The mask says which positions each query may see; the bias is added to the scores.
        """
        keys, values = self._for_each_query(attended.keys), self._for_each_query(attended.values)
        weights = self._weights(jnp.einsum("bqgd,bpgd->bgqp", queries, keys), mask, bias)
        head = self.heads.of_groups(weights.shape[1])
        dropped = drop_weights(weights, noise, head.astype(jnp.uint32))
        context = jnp.einsum("bgqp,bpgd->bqgd", dropped, values)
        return self._mapped(context.reshape(*context.shape[:2], -1)), self._mean(weights)

    def once(
        self,
        queries: Float[Array, "batch 1 groups granule"],
        cache: Cache,
        mask: Bool[Array, "#batch positions"],
        bias: Float[Array, "groups 1 positions"] | None = None,
    ) -> tuple[Float[Array, "batch 1 query"], Float[Array, "batch 1 positions"]]:
        """Return what `__call__` does, for one query a row.

        Heads that share keys and values are rows of one product with them.
        """
        rows, _, groups, granule = queries.shape
        shared, positions = cache.keys.shape[1:3]
        together = queries.reshape(rows, shared, groups // shared, granule)
        products = jnp.matmul(cache.keys, jnp.swapaxes(together, 2, 3))
        scores = jnp.swapaxes(products, 2, 3).reshape(rows, groups, 1, positions)
        weights = self._weights(scores, mask[:, None], bias)
        context = jnp.matmul(weights.reshape(rows, shared, groups // shared, positions), cache.values)
        return self._mapped(context.reshape(rows, 1, groups * granule)), self._mean(weights)

    def _weights(
        self,
        scores: Float[Array, "batch groups queries positions"],
        mask: Bool[Array, "#batch #queries positions"],
        bias: Float[Array, "groups queries positions"] | None,
    ) -> Float[Array, "batch groups queries positions"]:
        scores = self._summed(scores)
        size = jnp.maximum(jnp.asarray(self.heads.size, scores.dtype), 1)
        scores = scores * jax.lax.rsqrt(size)
        if bias is not None:
            scores = scores + bias[None]
        return masked_softmax(scores, mask[:, None])

    def _mapped(self, context: Float[Array, "batch queries columns"]) -> Float[Array, "batch queries query"]:
        out = jnp.matmul(within(context, number(self.size)) if self.grouped else context, self.out)
        return out + jnp.broadcast_to(self.out_bias, out.shape)

    def _grouped(self, x: Float[Array, "batch positions columns"]) -> Float[Array, "batch positions groups granule"]:
        return x.reshape(*x.shape[:2], -1, self.granule)

    def _summed(self, scores: Float[Array, "batch groups queries positions"]) -> Array:
        """Give each group the scores of its whole head."""
        per_head = self.heads.per_head
        if isinstance(per_head, int) and per_head == 1:
            return scores

        def summed(scores: Float[Array, "batch groups queries positions"]) -> Array:
            head = self.heads.of_groups(scores.shape[1])
            same = (head[:, None] == head[None, :]).astype(scores.dtype)
            return jnp.einsum("bgqp,gh->bhqp", scores, same)

        if isinstance(per_head, int):
            return summed(scores)
        chosen: Array = jax.lax.cond(per_head <= 1, lambda same: same, summed, scores)
        return chosen

    def _spread(self, columns: Float[Array, "*input shared"]) -> Float[Array, "*input spread"]:
        """Give each group of a query's columns the columns of a key's or value's matrix that it shares.

        Where heads are data, so is what they share; to move columns of a matrix costs less than those of a batch.
        """
        if not (self.grouped and self.several):
            return columns
        groups = columns.reshape(*columns.shape[:-1], -1, self.granule)
        return jnp.take(groups, self._sources(), axis=-2, mode="clip").reshape(*columns.shape[:-1], -1)

    def _for_each_query(
        self, x: Float[Array, "batch positions shared granule"]
    ) -> Float[Array, "batch positions groups granule"]:
        """Give each group of a query's columns those of the keys or values that it shares."""
        return jnp.take(x, self._sources(), axis=2, mode="clip") if self.grouped and not self.several else x

    def _sources(self) -> Int[Array, "groups"]:
        """Return for each group of a query's columns the group of keys and values that it looks at."""
        heads, shared = self.heads, jnp.maximum(jnp.asarray(number(self.key_value_heads)), 1)
        per_head = jnp.maximum(jnp.asarray(heads.per_head), 1)
        place = jnp.arange(self.query.shape[1] // self.granule)
        return place // per_head // jnp.maximum(jnp.asarray(heads.count) // shared, 1) * per_head + place % per_head

    def _mean(self, weights: Float[Array, "batch groups queries positions"]) -> Float[Array, "batch queries positions"]:
        true = jnp.asarray(number(self.size)) // self.granule
        real = (jnp.arange(weights.shape[1]) < true).astype(weights.dtype)
        return jnp.einsum("bgqp,g->bqp", weights, real / jnp.maximum(true, 1).astype(weights.dtype))


class Attended(NamedTuple):
    """What one query found: the mean of the memory under the weights (or of its values), and the weights."""

    context: Float[Array, "batch size"]
    weights: Float[Array, "batch source"]


class AdditiveAttention(nnx.Module):
    """`softmax(v · tanh(W_q q + W_k k + b))` over the source (Bahdanau et al., 2015, section 3.1), for one query a row.

    Without the bias it is Luong's `concat` (Luong et al., 2015, section 3.1).
    """

    def __init__(self, query_size: int, size: int, *, bias: bool) -> None:
        self.query = Linear(query_size, size, bias=bias)
        self.key = Linear(query_size, size, bias=False)
        self.score = parameter((size,), normal(size**-0.5))

    def keys(self, memory: Memory) -> Float[Array, "batch source size"]:
        """Return what can be computed once a source."""
        return self.key(memory.states)

    def __call__(
        self, query: Float[Array, "batch query"], keys: Array, memory: Memory, place: Int[Array, ""]
    ) -> Attended:
        """Look at the memory with a query."""
        del place
        return looked_at(jnp.tanh(self.query(query)[:, None, :] + keys) @ self.score, memory.mask, memory)


class ProductAttention(nnx.Module):
    """`softmax(q · W k)` over the source (Luong et al., 2015, section 3.1), for one query a row.

    Args:
        size: Size of queries and memory.
        general: Whether there is a `W` (`general`), or none (`dot`).
        window: How far from the place of the target token a position may be (section 3.2, local-m), or any.
    """

    def __init__(self, size: int, *, general: bool = True, window: int | None = None) -> None:
        self.key = Linear(size, size, bias=False) if general else None
        self.window = None if window is None else fact(window)

    def keys(self, memory: Memory) -> Float[Array, "batch source size"]:
        """Return what can be computed once a source."""
        return memory.states if self.key is None else self.key(memory.states)

    def __call__(
        self, query: Float[Array, "batch query"], keys: Array, memory: Memory, place: Int[Array, ""]
    ) -> Attended:
        """Look at the memory with a query; with a window past the end of the source, at its end."""
        mask = memory.mask
        if self.window is not None:
            centre = jnp.minimum(place, mask.sum(axis=1) - 1)
            mask &= jnp.abs(jnp.arange(keys.shape[1])[None, :] - centre[:, None]) <= number(self.window)
        return looked_at(jnp.einsum("bd,bsd->bs", query, keys), mask, memory)


class MultiHeadContext(nnx.Module):
    """Scaled dot products in several heads over the source (Vaswani et al., 2017, section 3.2), for one query a row."""

    def __init__(self, heads: Sequence[tuple[kinds.MultiHead, int]], size: int) -> None:
        self.attention = MultiHeadAttention(heads, size)

    def keys(self, memory: Memory) -> Cache:
        """Return what can be computed once a source."""
        return cached(self.attention.keys_values(memory.states))

    def __call__(
        self, query: Float[Array, "batch query"], keys: Cache, memory: Memory, place: Int[Array, ""]
    ) -> Attended:
        """Look at the memory with a query."""
        del place
        queries = self.attention.queries(query[:, None, :])
        context, weights = self.attention.once(queries, keys, memory.mask)
        return Attended(context[:, 0], weights[:, 0])


def looked_at(scores: Float[Array, "batch source"], mask: Bool[Array, "batch source"], memory: Memory) -> Attended:
    """Return the mean of the memory under the softmax of scores."""
    weights = masked_softmax(scores, mask)
    return Attended(jnp.einsum("bs,bsm->bm", weights, memory.states), weights)


class SourceAttention(nnx.Module):
    """How a recurrent decoder looks at the source: any kind of attention, for one query a row."""

    def __init__(self, heads: Sequence[tuple[kinds.Attention, int]], size: int) -> None:
        of_kind: dict[type, list[tuple[Any, int]]] = {}
        for head in heads:
            of_kind.setdefault(type(head[0]), []).append(head)
        self.one = OneOf({kind.__name__: _module(members, size) for kind, members in of_kind.items()})

    def keys(self, memory: Memory) -> dict[str, Any]:
        """Return what can be computed once a source, by kind; of the kinds that are not meant, nothing but 0."""
        members = self.one.members()
        if len(members) == 1:
            return {name: member.keys(memory) for name, member in members.items()}
        found = {}
        for index, (name, member) in enumerate(members.items()):
            shapes = jax.eval_shape(member.keys, memory)
            nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
            meant = jnp.asarray(number(self.one.kind)) == index
            found[name] = jax.lax.cond(meant, lambda m=member: m.keys(memory), lambda n=nothing: n)
        return found

    def __call__(
        self, query: Float[Array, "batch query"], keys: dict[str, Any], memory: Memory, place: Int[Array, ""]
    ) -> Attended:
        """Look at the memory with a query for the target token at a place."""
        members = self.one.members()
        by_kind = {id(member): name for name, member in members.items()}
        found: Attended = self.one.pick(lambda member: member(query, keys[by_kind[id(member)]], memory, place))
        return found


def _module(heads: Sequence[tuple[Any, int]], size: int) -> nnx.Module:
    first: kinds.Attention = heads[0][0]
    match first:
        case kinds.Additive():
            return AdditiveAttention(size, max(kind.size for kind, _ in heads), bias=True)
        case kinds.Concat():
            return AdditiveAttention(size, max(kind.size for kind, _ in heads), bias=False)
        case kinds.Dot():
            return ProductAttention(size, general=False)
        case kinds.General():
            return ProductAttention(size)
        case kinds.Local():
            return ProductAttention(size, window=max(kind.window for kind, _ in heads))
        case kinds.MultiHead():
            return MultiHeadContext(heads, size)
        case other:
            assert_never(other)


def window_mask(
    queries: Int[Array, "queries"], keys: Int[Array, "positions"], window: Number
) -> Bool[Array, "queries positions"]:
    """Say which positions each query may see: those at most `window` away, or all if it is 0."""
    if isinstance(window, int) and window == 0:
        return jnp.ones((queries.shape[0], keys.shape[0]), bool)
    near = jnp.abs(keys[None, :] - queries[:, None]) <= window
    return near | (jnp.asarray(window) == 0)
