"""The work of the sublayers of Transformer blocks, and of what several families share."""

from dataclasses import dataclass
from typing import assert_never

from search_spaces import decoders, encoders
from search_spaces.attention import MultiHead
from search_spaces.costs.work import NONE, Work, dropout, each, linear, norm, product
from search_spaces.embeddings import ALiBi, Learned, NoPositions, Positions, RelativeBias, Rotary, Sinusoidal

SelfAttentive = encoders.Transformer | decoders.Transformer
SourceAttentive = decoders.Transformer | decoders.SimpleRecurrent
Block = SelfAttentive | SourceAttentive

ACTIVATIONS = {"relu": (1, 2, 1), "gelu": (8, 14, 2), "swiglu": (5, 8, 2)}
"""Operations for each hidden value, forwards and backwards, and values kept."""


@dataclass(frozen=True)
class Pairs:
    """Queries that look at keys, in each row; of the keys only the `fresh` ones must be computed."""

    rows: int
    queries: int
    keys: int
    fresh: int

    @property
    def count(self) -> int:
        """Number of pairs."""
        return self.rows * self.queries * self.keys


def embedding(positions: Positions, entries: int) -> Work:
    """Return looking up tokens, scaling them, and adding positions."""
    return each(entries, 2, 2, 2) + placed(positions, entries)


def placed(positions: Positions, entries: int) -> Work:
    """Return adding positions to vectors, and dropping some."""
    found = dropout(entries) + each(entries, 0, 2)
    match positions:
        case Sinusoidal():
            return found + each(entries, 1, 0)
        case Learned():
            return found + each(entries, 1, 1)
        case NoPositions() | Rotary() | RelativeBias() | ALiBi():
            return found
        case other:
            assert_never(other)


def relations(positions: Positions, heads: MultiHead, size: int, pairs: Pairs) -> Work:
    """Return turning queries and keys, or what is added to the scores."""
    scores, table = heads.num_heads * pairs.count, pairs.queries * pairs.keys
    match positions:
        case Rotary():
            entries = pairs.rows * (pairs.queries * size + pairs.fresh * shared_size(heads, size))
            return each(entries, 3.3, 4.5, 1)
        case ALiBi():
            return each(scores, 1, 0) + each(table, 4 + heads.num_heads, 0)
        case RelativeBias():
            return each(scores, 1, 1) + each(table, 20 + heads.num_heads, 2 * heads.num_heads)
        case NoPositions() | Sinusoidal() | Learned():
            return NONE
        case other:
            assert_never(other)


def shared_size(kind: MultiHead, size: int) -> int:
    """Return the size of keys and of values."""
    return kind.key_value_heads * (size // kind.num_heads)


def keys_values(kind: MultiHead, size: int, positions: int) -> Work:
    """Return keys, which have no bias, and values."""
    shared = shared_size(kind, size)
    return product(positions, size, shared) + linear(positions, size, shared)


def looking(kind: MultiHead, size: int, pairs: Pairs) -> Work:
    """Return attention of queries to keys that are there, their own map and that of the outcome included."""
    maps = linear(pairs.rows * pairs.queries, size, size) * 2
    products = each(2 * pairs.count * size, 1, 2) * 2 + each(pairs.rows * pairs.queries * size, 0, 0, 1)
    scores = kind.num_heads * pairs.count
    spread = each(pairs.rows * pairs.keys * size, 0, 2) if kind.key_value_heads < kind.num_heads else NONE
    return maps + products + each(scores, 6, 10, 3) + dropout(scores) + spread


def self_attention(kind: SelfAttentive, pairs: Pairs) -> Work:
    """Return positions that look at each other; where it comes first, the norm is taken for queries and for keys."""
    size, queries, fresh = kind.model_size, pairs.rows * pairs.queries, pairs.rows * pairs.fresh
    normed = norm(kind.norm, queries + fresh if kind.norm_first else queries, size)
    own = keys_values(kind.attention, size, fresh) + each(fresh * size, 0, 2)
    window = each(pairs.count, 1, 0) + each(pairs.queries * pairs.keys, 4 if kind.window else 0, 0)
    seen = relations(kind.positions, kind.attention, size, pairs) + looking(kind.attention, size, pairs)
    return normed + own + window + seen + added(queries * size)


def source_attention(kind: SourceAttentive, pairs: Pairs) -> Work:
    """Return target positions that look at the source."""
    size, queries = kind.model_size, pairs.rows * pairs.queries
    own = keys_values(kind.attention, size, pairs.rows * pairs.fresh) + each(pairs.rows * pairs.fresh * size, 0, 2)
    return norm(kind.norm, queries, size) + own + looking(kind.attention, size, pairs) + added(queries * size)


def feed_forward(kind: Block, positions: int) -> Work:
    """Return a feed-forward network over each position."""
    size, hidden = kind.model_size, kind.feed_forward_ratio * kind.model_size
    widened = linear(positions, size, hidden) * (2 if kind.activation == "swiglu" else 1)
    inner = each(positions * hidden, *ACTIVATIONS[kind.activation]) + each(positions * hidden, 0, 2)
    mapped = widened + inner + dropout(positions * hidden) + linear(positions, hidden, size)
    return norm(kind.norm, positions, size) + mapped + added(positions * size)


def simple_recurrent(kind: decoders.SimpleRecurrent, positions: int) -> Work:
    """Return a simpler simple recurrent unit over each position."""
    size = kind.model_size
    gates = product(positions, size, 2 * size) + each(positions * size, 14, 28, 8)
    return norm(kind.norm, positions, size) + gates + added(positions * size)


def final(kind: Block, positions: int) -> Work:
    """Return the norm after blocks that normalise first."""
    return norm(kind.norm, positions, kind.model_size) if kind.norm_first else NONE


def added(entries: int) -> Work:
    """Return dropping what a sublayer gave and adding it to what came in."""
    return dropout(entries) + each(entries, 1, 3, 1)
