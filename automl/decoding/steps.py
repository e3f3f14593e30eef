"""Steps: one token a row at a time, by whatever rule chooses it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from automl.data.tokenizers import BOS, EOS, PAD, UNK
from automl.decoding.answers import Decoded, Likeliest, Request
from automl.models.attention import MASKED, Memory
from automl.models.ensemble import Memories, Speaker

NEVER = (PAD, BOS, UNK)

LEAST_ROOM = 8
LEAST_GOING = 0.05
"""Where there is doubt a target goes on for as long as it is no less likely than this that it has not ended yet."""

Going = Float[Array, "batch"] | None
"""Log-probability that a target has not ended yet, where ends may be late."""
Choice = Callable[[Float[Array, "batch vocabulary"], Int[Array, ""], Going], Int[Array, "batch"]]
"""Takes the log-probabilities of a step, its position and whether targets go on, and returns a token a row."""


class Walk(NamedTuple):
    """How far the rows have come: the next position, the last tokens, which rows have ended, and what was said.

    `going` is the log-probability that a row has not ended before; it stays 0 where there is no doubt.
    """

    position: Int[Array, ""]
    last: Int[Array, "batch"]
    ended: Bool[Array, "batch"]
    going: Float[Array, "batch"]
    carry: Any
    decoded: Decoded


def sayable(logits: Float[Array, "*batch vocabulary"]) -> Float[Array, "*batch vocabulary"]:
    """Rule out padding, begin and unknown, which no output may hold."""
    return jnp.where(np.isin(np.arange(logits.shape[-1]), NEVER), MASKED, logits)


def likely(
    logits: Float[Array, "*batch vocabulary"], request: Request, position: Int[Array, ""]
) -> Float[Array, "*batch vocabulary"]:
    """Return log-probabilities among the tokens that may be said, and the unknown one where there is doubt.

    In a prefix whatever is no special token may be said.
    """
    said = sayable(logits)
    if request.allowed is not None:
        allowed = jnp.broadcast_to(request.allowed, said.shape)
        if request.prefix is not None:
            given = (forced(request.prefix, position) != PAD).reshape(-1, *(1,) * (said.ndim - 1))
            allowed = allowed | jnp.broadcast_to(given, said.shape)
        said = jnp.where(allowed, said, MASKED)
    if request.doubt is None:
        return jax.nn.log_softmax(said, axis=-1)
    unknown = jnp.broadcast_to((jnp.arange(logits.shape[-1]) == UNK) & request.doubt, logits.shape)
    scores = jax.nn.log_softmax(jnp.where(unknown, logits, said), axis=-1)
    return jnp.where(unknown, MASKED, scores)


def forced(prefix: Int[Array, "batch target"], position: Int[Array, ""]) -> Int[Array, "batch"]:
    """Return the tokens of prefixes at a position, `PAD` behind their end."""
    found: Array = jax.lax.dynamic_index_in_dim(prefix, position, axis=1, keepdims=False)
    return found


def likeliest(scores: Float[Array, "batch vocabulary"], position: Int[Array, ""], going: Going) -> Int[Array, "batch"]:
    """Choose the likeliest token of each row, of several the first.

    Where ends may be late the end is chosen by `going` alone: what may come next are many tokens, of which each can be
    less likely than the end though all together are likelier.
    XLA's `argmax` looks at one token after another on a processor; this takes a third of its time.
    """
    del position
    if going is not None:
        end = jnp.where(going < np.log(LEAST_GOING), 0.0, MASKED)[:, None]
        scores = jnp.where(np.arange(scores.shape[-1]) == EOS, end, scores)
    last = scores.shape[-1] - 1
    best = scores == scores.max(axis=-1, keepdims=True)
    return jnp.where(best, jnp.arange(last + 1, dtype=jnp.int32), last).min(axis=-1)


def begin(
    decoder: Speaker, memory: Memory | Memories, source: Int[Array, "batch source"], length: int, likeliest: int = 0
) -> Walk:
    """Return where every row stands before its first token; a row of padding alone has ended.

    So many of the likeliest in place of each token are kept.
    """
    rows = source.shape[0]
    places = (rows, length, likeliest)
    kept = Likeliest(jnp.full(places, PAD, jnp.int32), jnp.zeros(places)) if likeliest else None
    speaking: Any = decoder  # of the kind that its memory is for
    return Walk(
        jnp.zeros((), jnp.int32),
        jnp.full((rows,), BOS, jnp.int32),
        (source == PAD).all(axis=1),
        jnp.zeros((rows,)),
        speaking.start(memory, length),
        Decoded(jnp.full((rows, length), PAD, jnp.int32), jnp.zeros((rows,)), jnp.zeros((rows, length)), kept),
    )


def walk(
    decoder: Speaker,
    memory: Memory | Memories,
    begun: Walk,
    choose: Choice,
    request: Request,
    until: int | Int[Array, ""] | None = None,
) -> Walk:
    """Say one token a row after another, until every row has ended or has `until` tokens.

    A row ends where it has `request.most` tokens. What begins at the first token and is not interrupted keeps its
    caches as small as the tokens so far allow.
    """
    speaking: Any = decoder

    def step(state: Walk) -> Walk:
        carry, logits = speaking.step(memory, state.carry, state.last, state.position)
        scores = likely(logits, request, state.position)
        going = _going(state, scores, request)
        chosen = choose(scores, state.position, None if request.doubt is None else going)
        chosen = _prefixed(chosen, request, state.position)
        gained = jnp.take_along_axis(scores, chosen[:, None], axis=-1)[:, 0]
        ended = state.ended | (chosen == EOS)
        tokens = state.decoded.tokens.at[:, state.position].set(jnp.where(ended, PAD, chosen))
        each = state.decoded.each
        each = each if each is None else each.at[:, state.position].set(state.going + gained)
        total = state.decoded.scores + jnp.where(state.ended, 0.0, gained)
        stopped = ended | (state.position + 1 >= request.most) | _stopped(tokens, request, state.position)
        last, decoded = jnp.where(stopped, EOS, chosen), Decoded(tokens, total, each, _kept(state, scores))
        return Walk(state.position + 1, last, stopped, going, carry, decoded)

    length, most = begun.decoded.tokens.shape[1], request.most.max()
    if until is not None:
        return _until(jnp.minimum(most, until), step, begun)
    state = begun
    for size in rooms(decoder, length):
        changing, constant = state.carry
        state = state._replace(carry=(speaking.resized(changing, size), constant))
        state = _until(jnp.minimum(most, size), step, state)
    return state


def _until(last: Int[Array, ""], step: Callable[[Walk], Walk], state: Walk) -> Walk:
    return jax.lax.while_loop(lambda s: (s.position < last) & ~s.ended.all(), step, state)


def rooms(decoder: Speaker, length: int) -> list[int]:
    """Return for how many tokens caches have room, one size after another, until they have room for `length`."""
    smaller = [length // part for part in (4, 2) if length // part >= LEAST_ROOM]
    return [*smaller, length] if decoder.grows else [length]


def _going(state: Walk, scores: Float[Array, "batch vocabulary"], request: Request) -> Float[Array, "batch"]:
    """Return the log-probability that rows have not ended by the next token; of a prefix nothing is in doubt."""
    if request.doubt is None:
        return state.going
    going = state.going + jnp.log1p(-jnp.exp(jnp.minimum(scores[:, EOS], 0.0)))
    if request.prefix is None:
        return going
    return jnp.where(forced(request.prefix, state.position) == PAD, going, state.going)


def _kept(state: Walk, scores: Float[Array, "batch vocabulary"]) -> Likeliest | None:
    """Return the likeliest tokens of each position so far, and of this one."""
    kept = state.decoded.likeliest
    if kept is None:
        return None
    count = min(kept.tokens.shape[-1], scores.shape[-1])
    best, tokens = jax.lax.top_k(scores, count)
    return Likeliest(
        kept.tokens.at[:, state.position, :count].set(tokens),
        kept.scores.at[:, state.position, :count].set(state.going[:, None] + best),
    )


def _prefixed(chosen: Int[Array, "batch"], request: Request, position: Int[Array, ""]) -> Int[Array, "batch"]:
    """Take the token of the prefix in place of the chosen one, where there is one."""
    if request.prefix is None:
        return chosen
    given = forced(request.prefix, position)
    return jnp.where(given == PAD, chosen, given)


def _stopped(
    tokens: Int[Array, "batch target"], request: Request, position: Int[Array, ""]
) -> bool | Bool[Array, "batch"]:
    """Say which rows have just said one of the sequences that end them."""
    if request.stops is None:
        return False
    width = request.stops.shape[1]
    before = jnp.full((tokens.shape[0], width - 1), PAD, tokens.dtype)
    recent = jax.lax.dynamic_slice_in_dim(jnp.concatenate([before, tokens], axis=1), position, width, axis=1)
    matters = request.stops != PAD
    same = (recent[:, None, :] == request.stops[None]) | ~matters[None]
    return (same.all(axis=-1) & matters.any(axis=-1)[None]).any(axis=-1)
