"""Decoding: from an encoded source to target tokens, in one compiled loop that stops when every row has ended."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import NDArray

from automl.data.tokenizers import BOS, EOS, PAD, UNK
from automl.models.attention import MASKED, Memory
from automl.models.decoders import Decoder
from automl.models.facts import bind
from automl.models.parameters import Parameters
from automl.models.seq2seq import Seq2Seq

NEVER = (PAD, BOS, UNK)
LENGTHS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class Decoded(NamedTuple):
    """Tokens of each row, without begin and end, padded with `PAD`; and the log-probability of the whole."""

    tokens: Int[Array, "batch target"]
    scores: Float[Array, "batch"]


class _Greedy(NamedTuple):
    position: Int[Array, ""]
    last: Int[Array, "batch"]
    ended: Bool[Array, "batch"]
    carry: Any
    decoded: Decoded


def sayable(logits: Float[Array, "*batch vocabulary"]) -> Float[Array, "*batch vocabulary"]:
    """Rule out padding, begin and unknown, which no output may hold."""
    return logits.at[..., jnp.array(NEVER)].set(MASKED)


def greedy(
    model: Seq2Seq,
    source: Int[Array, "batch source"],
    copies: Int[Array, "batch source"],
    length: int,
    most: int | Int[Array, ""] | None = None,
) -> Decoded:
    """Take the likeliest token at each step, until the end token or `most` tokens.

    A row of padding alone ends at once. The tokens come in an array of `length`, which is `most` where that is absent.
    `copies` holds the target token that each source token could be copied as.
    """
    memory, last = model.encode(source, copies=copies), length if most is None else most
    decoded: Decoded = model.decoder.pick(lambda decoder: _likeliest(decoder, memory, source, length, last))
    return decoded


def _likeliest(
    decoder: Decoder, memory: Memory, source: Int[Array, "batch source"], length: int, most: int | Int[Array, ""]
) -> Decoded:
    def step(state: _Greedy) -> _Greedy:
        carry, logits = decoder.step(memory, state.carry, state.last, state.position)
        scores = jax.nn.log_softmax(sayable(logits), axis=-1)
        chosen = scores.argmax(axis=-1).astype(jnp.int32)
        gained = jnp.take_along_axis(scores, chosen[:, None], axis=-1)[:, 0]
        ended = state.ended | (chosen == EOS)
        tokens = state.decoded.tokens.at[:, state.position].set(jnp.where(ended, PAD, chosen))
        total = state.decoded.scores + jnp.where(state.ended, 0.0, gained)
        return _Greedy(state.position + 1, jnp.where(ended, EOS, chosen), ended, carry, Decoded(tokens, total))

    rows = source.shape[0]
    begin = _Greedy(
        jnp.zeros((), jnp.int32),
        jnp.full((rows,), BOS, jnp.int32),
        (source == PAD).all(axis=1),
        decoder.start(memory, length),
        Decoded(jnp.full((rows, length), PAD, jnp.int32), jnp.zeros((rows,))),
    )
    final = jax.lax.while_loop(lambda s: (s.position < most) & ~s.ended.all(), step, begin)
    return final.decoded


Program = Callable[[Parameters, Int[Array, "batch source"], Int[Array, "source_vocabulary"]], Decoded]
"""Takes parameters, sources, and for each source token the target token that it could be copied as."""


def greedy_program(model: Seq2Seq, length: int) -> Callable[..., Decoded]:
    """Return `greedy` under `jax.jit`: of what a `Program` takes, and the most tokens, where less than `length`."""

    def program(
        parameters: Parameters,
        source: Int[Array, "batch source"],
        copies: Int[Array, "source_vocabulary"],
        most: Int[Array, ""] | None = None,
    ) -> Decoded:
        return greedy(bind(model, parameters), source, copies[source], length, most)

    return jax.jit(program)


def allotted(length: int) -> int:
    """Return the length of arrays for sequences of up to so many tokens: one of few."""
    return next((size for size in LENGTHS if size >= length), length)


class Answer(NamedTuple):
    """One source's target tokens, and their log-probability."""

    tokens: list[int]
    score: float


def decode(
    program: Program,
    parameters: Parameters,
    sources: Sequence[Sequence[int]],
    copies: NDArray[np.int32],
    batch_size: int,
    longest: int,
) -> list[Answer]:
    """Decode any number of sources, sorted by length into batches of few shapes; answers come in the order given.

    A source of more than `longest` tokens is not read: its answer is empty, with the score of the impossible.
    """
    order = sorted((i for i in range(len(sources)) if len(sources[i]) <= longest), key=lambda i: len(sources[i]))
    answers = {i: Answer([], -math.inf) for i in range(len(sources)) if len(sources[i]) > longest}
    for start in range(0, len(order), batch_size):
        members = order[start : start + batch_size]
        batch = padded([sources[i] for i in members], batch_size)
        tokens, scores = map(np.asarray, program(parameters, *jax.device_put((batch, copies))))
        for row, index in enumerate(members):
            answers[index] = Answer([int(t) for t in tokens[row] if t != PAD], float(scores[row]))
    return [answers[i] for i in range(len(sources))]


def padded(sources: Sequence[Sequence[int]], rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    """Return the sources as one array, padded to one of a few lengths and to `rows` rows."""
    longest = max(1, *map(len, sources)) if sources else 1
    batch = np.full((rows, allotted(longest)), PAD, np.int32)
    for row, source in enumerate(sources):
        batch[row, : len(source)] = source
    return batch
