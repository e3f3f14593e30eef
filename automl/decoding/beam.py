"""Beam search: several partial targets of a row grow side by side; those that have ended compete by their length."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from automl.data.tokenizers import BOS, EOS, PAD
from automl.decoding.answers import Hypotheses, Penalty, Request
from automl.decoding.steps import forced, likely, rooms
from automl.models.attention import MASKED, Memory
from automl.models.ensemble import Memories, Speaker

IMPOSSIBLE = -1e30


class Alive(NamedTuple):
    """Targets that have not ended: their tokens, the last of them, and their log-probabilities."""

    tokens: Int[Array, "batch beam target"]
    last: Int[Array, "batch beam"]
    scores: Float[Array, "batch beam"]


class Search(NamedTuple):
    """How far a search has come; `changing` is what of the decoder's carry is each partial target's own."""

    position: Int[Array, ""]
    alive: Alive
    ended: Hypotheses
    changing: Any


def beam_search(
    decoder: Speaker,
    memory: Memory | Memories,
    source: Int[Array, "batch source"],
    length: int,
    beam: int,
    penalty: Penalty,
    request: Request,
) -> Hypotheses:
    """Return the best targets of each row, of which the first `penalty.wanted` are as good as the search can make them.

    A target that ends counts if it is among the `beam` best of its step. The search of a row is over when nothing that
    is alive could still come before the last one wanted. Where too few have ended by `request.most`, those that are
    alive follow them. A row whose limit is reached stays as it is.
    """
    rows = source.shape[0]
    most = jnp.broadcast_to(request.most, (rows,))
    speaking: Any = decoder  # of the kind that its memory is for
    changing, constant = jax.tree.map(lambda leaf: _repeated(leaf, beam), speaking.start(memory, length))
    repeated = jax.tree.map(lambda leaf: _repeated(leaf, beam), memory)

    def step(state: Search) -> Search:
        last = state.alive.last.reshape(-1)
        (after, _), logits = speaking.step(repeated, (state.changing, constant), last, state.position)
        scores = likely(logits.reshape(rows, beam, -1), request, state.position)
        alive, ended, origin = _extended(state, _prefixed(scores, request, state.position), penalty)
        flat = (jnp.arange(rows)[:, None] * beam + origin).reshape(-1)
        alive, ended = _where(state.position < most, (alive, ended), (state.alive, state.ended))
        return Search(state.position + 1, alive, ended, jax.tree.map(lambda leaf: _taken(leaf, flat), after))

    def goes_on(last: int, state: Search) -> Bool[Array, ""]:
        attainable = _rank(state.alive.scores[:, 0], most, penalty)
        last_wanted = jnp.take(state.ended.ranks, penalty.wanted - 1, axis=1)
        return ((state.position < jnp.minimum(most, last)) & (last_wanted < attainable)).any()

    found = _begin(source, length, beam, changing)
    for size in rooms(decoder, length):
        found = found._replace(changing=speaking.resized(found.changing, size))
        found = jax.lax.while_loop(partial(goes_on, size), step, found)
    return _with_alive(found, most, penalty)


def _begin(source: Int[Array, "batch source"], length: int, beam: int, changing: Any) -> Search:
    """Return the search before the first token: of each row one target; of a row of padding, one that has ended."""
    rows, nothing = source.shape[0], (source == PAD).all(axis=1)[:, None]
    tokens = jnp.full((rows, beam, length), PAD, jnp.int32)
    only = jnp.broadcast_to(jnp.where(jnp.arange(beam) == 0, 0.0, IMPOSSIBLE), (rows, beam))
    ranks = jnp.where(jnp.broadcast_to(nothing, only.shape), 0.0, IMPOSSIBLE)
    alive = Alive(tokens, jnp.full((rows, beam), BOS, jnp.int32), jnp.where(nothing, IMPOSSIBLE, only))
    ended = Hypotheses(tokens, jnp.where(nothing, only, IMPOSSIBLE), ranks)
    return Search(jnp.zeros((), jnp.int32), alive, ended, changing)


def _extended(
    state: Search, scores: Float[Array, "batch beam vocabulary"], penalty: Penalty
) -> tuple[Alive, Hypotheses, Int[Array, "batch beam"]]:
    """Return what is alive and what has ended after one more token, and which partial target each of the alive was."""
    beam, vocabulary = scores.shape[1:]
    totals = (state.alive.scores[:, :, None] + scores).reshape(scores.shape[0], -1)
    best, places = jax.lax.top_k(totals, 2 * beam)
    origin, token = places // vocabulary, (places % vocabulary).astype(jnp.int32)
    said = jnp.take_along_axis(state.alive.tokens, origin[:, :, None], axis=1)
    ends = token == EOS
    counts = ends & (jnp.arange(2 * beam) < beam)[None]
    rank = jnp.where(counts & (best > MASKED / 2), _rank(best, state.position + 1, penalty), IMPOSSIBLE)
    ended = _best(Hypotheses(said, best, rank), state.ended, beam)
    left, kept = jax.lax.top_k(jnp.where(ends, IMPOSSIBLE, best), beam)
    last = jnp.take_along_axis(token, kept, axis=1)
    tokens = jnp.take_along_axis(said, kept[:, :, None], axis=1).at[:, :, state.position].set(last)
    return Alive(tokens, last, left), ended, jnp.take_along_axis(origin, kept, axis=1)


def _where(rows: Bool[Array, "batch"], new: Any, old: Any) -> Any:
    """Take the new arrays of some rows, and the old ones of the others."""

    def chosen(first: Array, second: Array) -> Array:
        return jnp.where(rows.reshape(-1, *(1,) * (first.ndim - 1)), first, second)

    return jax.tree.map(chosen, new, old)


def _with_alive(state: Search, most: Int[Array, "batch"], penalty: Penalty) -> Hypotheses:
    """Let what is alive at the end follow on what has ended, in its own order."""
    alive, ended = state.alive, state.ended
    possible = alive.scores > MASKED / 2
    unended = Hypotheses(
        alive.tokens, alive.scores, jnp.where(possible, _rank(alive.scores, most[:, None], penalty), IMPOSSIBLE)
    )
    beam = alive.scores.shape[1]
    count = (ended.ranks > IMPOSSIBLE / 2).sum(axis=1, keepdims=True)
    place = jnp.arange(beam)[None]
    after = jnp.clip(place - count, 0, beam - 1)

    def merged(first: Array, then: Array) -> Array:
        shape = (*place.shape, *(1,) * (first.ndim - 2))
        taken = jnp.take_along_axis(then, after.reshape(after.shape + shape[2:]), axis=1)
        has = (place < count).reshape((*count.shape[:1], beam, *shape[2:]))
        return jnp.where(jnp.broadcast_to(has, first.shape), first, taken)

    merged_all: Hypotheses = jax.tree.map(merged, ended, unended)
    return merged_all


def _best(new: Hypotheses, old: Hypotheses, beam: int) -> Hypotheses:
    """Return the best of both, the best first."""
    ranks, places = jax.lax.top_k(jnp.concatenate([old.ranks, new.ranks], axis=1), beam)
    tokens = jnp.concatenate([old.tokens, new.tokens], axis=1)
    scores = jnp.concatenate([old.scores, new.scores], axis=1)
    return Hypotheses(
        jnp.take_along_axis(tokens, places[:, :, None], axis=1), jnp.take_along_axis(scores, places, axis=1), ranks
    )


def _rank(scores: Float[Array, "*shape"], length: Int[Array, "*sizes"], penalty: Penalty) -> Float[Array, "*shape"]:
    return scores / jnp.maximum(length, 1).astype(scores.dtype) ** penalty.power


def _prefixed(
    scores: Float[Array, "batch beam vocabulary"], request: Request, position: Int[Array, ""]
) -> Float[Array, "batch beam vocabulary"]:
    """Rule out all but the token of the prefix, where there is one."""
    if request.prefix is None:
        return scores
    token = forced(request.prefix, position)[:, None, None]
    open_ = (token == PAD) | (jnp.arange(scores.shape[-1], dtype=token.dtype)[None, None] == token)
    return jnp.where(open_, scores, IMPOSSIBLE)


def _repeated(leaf: Array, beam: int) -> Array:
    return jnp.repeat(leaf, beam, axis=0) if leaf.ndim else leaf


def _taken(leaf: Array, places: Int[Array, "rows"]) -> Array:
    return leaf[places] if leaf.ndim else leaf
