"""Answers: what decoding takes and returns as arrays, and sources in batches of few shapes.

Nothing here needs a model, so that programs that are found compiled run without one being built.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32
from numpy.typing import NDArray

from automl.data.advance import tell
from automl.data.pixels import ids, is_image
from automl.data.tokenizers import PAD, Said
from automl.hardware import cores

T = TypeVar("T")

LENGTHS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
MOST_TOKENS = 2**15
"""Source tokens of a batch, its padding included, at most: longer sources come in smaller batches."""
MOST_VALUES = 2**21
"""The same of images, of which many values make a position."""
MOST_BATCH_BYTES = 2**30
"""What a batch of several rows makes meanwhile, about, at most; a row alone is held to `footprint.MOST_ROW_BYTES`."""
ROWS = (1, 8, 64)
POSSIBLE = -1e8
"""Log-probabilities below it are of what cannot be said."""
MANY = 1024
"""From so many sources on, full batches have lengths between `LENGTHS`, too: less padding pays for more programs."""


class Likeliest(NamedTuple):
    """The likeliest tokens in place of each that was said, the likeliest first, and the log-probability of each."""

    tokens: Int[Array, "batch target likeliest"]
    scores: Float[Array, "batch target likeliest"]


class Decoded(NamedTuple):
    """Tokens of each row, without begin and end, padded with `PAD`; the log-probability of the whole, and of each.

    Where there is doubt (`Request`), that of each is of the token and of the target not having ended before it, and
    there may be the likeliest in place of each.
    """

    tokens: Int[Array, "batch target"]
    scores: Float[Array, "batch"]
    each: Float[Array, "batch target"] | None = None
    likeliest: Likeliest | None = None


class Hypotheses(NamedTuple):
    """The best targets of each row, the best first, as `Decoded`; `ranks` are what they are compared by."""

    tokens: Int[Array, "batch beam target"]
    scores: Float[Array, "batch beam"]
    ranks: Float[Array, "batch beam"]


class Thoughts(NamedTuple):
    """What a model makes of known targets: of each token, what it gives to it after those before.

    Attributes:
        scores: Log-probability of the token, of all that might be said.
        likeliest: What was likeliest in its place.
        highest: Log-probability of that.
        copied: Share of its probability that is from copying it.
        weights: Where the decoder looked.
    """

    scores: Float[Array, "batch target"]
    likeliest: Int[Array, "batch target"]
    highest: Float[Array, "batch target"]
    copied: Float[Array, "batch target"]
    weights: Float[Array, "batch target source"]


class Request(NamedTuple):
    """What a target has to be, beside likely.

    Attributes:
        most: Most tokens, of each row or of all.
        prefix: Tokens that it begins with, then `PAD`.
        allowed: Which tokens may be said after the prefix; none says all but the special ones.
        stops: Sequences of tokens of which each ends a target, `PAD` before them.
        doubt: Whether the unknown token, which is not said either, keeps its share of probability; none says no. Where
            it is not none, the end comes late in greedy decoding, and what is said of each token holds how likely it is
            that the target has not ended before.
    """

    most: Int[Array, "*batch"]
    prefix: Int[Array, "batch target"] | None = None
    allowed: Bool[Array, "vocabulary"] | None = None
    stops: Int[Array, "stops width"] | None = None
    doubt: Bool[Array, ""] | None = None


class Bounds(NamedTuple):
    """What all targets of a call have to be, whatever their sources: see `Request`."""

    prefix: Sequence[int]
    allowed: NDArray[np.bool_]


class Draw(NamedTuple):
    """How tokens are drawn; the seeds are one a row, so that no row depends on the others of its batch."""

    seeds: UInt32[Array, "batch"]
    temperature: Float[Array, ""]
    top_k: Int[Array, ""]
    top_p: Float[Array, ""]


class Penalty(NamedTuple):
    """How a beam compares targets, and how many of the best are asked for."""

    power: Float[Array, ""]
    wanted: Int[Array, ""]


class Answer(NamedTuple):
    """One source's target tokens, their log-probability, and where they are known that of each, and the likeliest."""

    tokens: list[int]
    score: float
    each: Sequence[float] = ()
    likeliest: tuple[NDArray[np.int32], NDArray[np.float32]] | None = None

    @property
    def said(self) -> Said:
        """What a tokenizer makes a text of."""
        instead = None if self.likeliest is None else (self.likeliest[0].tolist(), self.likeliest[1].tolist())
        return Said(self.tokens, self.each, instead)


Run = Callable[[Mapping[str, Float[Array, "..."]], Int[Array, "batch source"], Int[Array, "source_vocabulary"]], Any]
"""Takes parameters, sources, and for each source token the target token that it could be copied as."""


def _little(_: int) -> int:
    return 1


@dataclass(frozen=True)
class Program:
    """A way to decode batches, and about how many bytes a row of so many source tokens takes meanwhile."""

    run: Run
    row_bytes: Callable[[int], int] = _little


def allotted(length: int) -> int:
    """Return the length of arrays for sequences of up to so many tokens: one of few."""
    beyond = -(-length // LENGTHS[-1]) * LENGTHS[-1]
    return next((size for size in LENGTHS if size >= length), beyond)


class Lot(NamedTuple):
    """Which sources go into a batch, and its shape."""

    members: list[int]
    rows: int
    length: int


def batches(
    sources: Sequence[Any], longest: int, rows: int | None = None, row_bytes: Callable[[int], int] = _little
) -> Iterator[Lot]:
    """Yield batches of sources sorted by length.

    Args:
        sources: Those of more than `longest` tokens are in no batch.
        longest: Most tokens that are read.
        rows: Rows of every batch, fewer where they would take too much; where absent one of `ROWS`, and fewer where
            sources are long as well.
        row_bytes: What a row of so many source tokens takes, about.
    """
    order = sorted((i for i in range(len(sources)) if len(sources[i]) <= longest), key=lambda i: -len(sources[i]))
    many = rows is None and len(order) >= MANY
    while order:
        first = sources[order[0]]
        length = allotted(len(first))
        most = (MOST_VALUES if is_image(first) else MOST_TOKENS) // length
        taken = row_bytes(length)
        size = min(rows, rows_for(rows, taken)) if rows else rows_for(len(order), taken, most)
        wasteful = length > LENGTHS[0] and len(first) * 4 <= length * 3
        closely = many and wasteful and size == ROWS[-1] and not is_image(first)
        yield Lot(order[:size], size, length * 3 // 4 if closely else length)
        order = order[size:]


def rows_for(count: int, row_bytes: int, most: int = ROWS[-1]) -> int:
    """Return the rows of a batch for some sources: one of `ROWS`, or a power of two where fewer fit."""
    fitting = max(MOST_BATCH_BYTES // row_bytes, 1)
    largest = min(1 << (fitting.bit_length() - 1), ROWS[-1])
    within = sorted({size for size in (*ROWS, largest) if size <= min(max(most, 1), largest)})
    return next((size for size in within if size >= count), within[-1])


def decode(
    program: Program,
    parameters: Mapping[str, Float[Array, "..."]],
    sources: Sequence[Any],
    copies: NDArray[np.int32],
    batch_size: int,
    longest: int,
) -> list[Answer]:
    """Decode any number of sources, sorted by length into batches of few shapes; answers come in the order given.

    Batches have `batch_size` rows, or as many as do not take too much memory. A source of more than `longest` tokens is
    not read: its answer is empty, with the score of the impossible.
    """
    answers = [Answer([], -math.inf)] * len(sources)
    placed = jax.device_put(copies)
    done = 0
    for members, rows, length in batches(sources, longest, batch_size, program.row_bytes):
        batch = jax.device_put(padded([sources[i] for i in members], rows, length))
        for index, found in zip(members, answered(program.run(parameters, batch, placed)), strict=False):
            answers[index] = found[0]
        done += len(members)
        tell("decoding", done / len(sources))
    return answers


def side_by_side(run: Callable[[Lot], T], lots: Sequence[Lot]) -> Iterator[T]:
    """Yield what each batch gives, in their order; on processors as many are run at a time as there are cores.

    The operations of one are too small to be shared among cores.
    """
    workers = min(cores(), len(lots)) if jax.default_backend() == "cpu" else 1
    if workers <= 1:
        yield from map(run, lots)
        return
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(run, lots)


def answered(decoded: Decoded | Hypotheses) -> list[list[Answer]]:
    """Return the answers of each row, the best first; of `Decoded` there is one, of `Hypotheses` what is possible."""
    if isinstance(decoded, Decoded) and decoded.each is not None:
        rows = zip(*map(np.asarray, decoded[:3]), _instead(decoded), strict=True)
        return [[_answer(*row)] for row in rows]
    tokens, scores = np.asarray(decoded.tokens), np.asarray(decoded.scores)
    if tokens.ndim == 2:
        tokens, scores = tokens[:, None], scores[:, None]
    return [
        [
            Answer([token for token in one if token != PAD], score)
            for place, (one, score) in enumerate(zip(many, of_row, strict=True))
            if place == 0 or score > POSSIBLE
        ]
        for many, of_row in zip(tokens.tolist(), scores.tolist(), strict=True)
    ]


def _instead(decoded: Decoded) -> list[tuple[NDArray[np.int32], NDArray[np.float32]] | None]:
    """Return for each row the likeliest in place of each token, where they are kept."""
    if decoded.likeliest is None:
        return [None] * decoded.tokens.shape[0]
    return list(zip(*map(np.asarray, decoded.likeliest), strict=True))


def _answer(
    tokens: NDArray[np.int32],
    score: Any,
    each: NDArray[np.float32],
    likeliest: tuple[NDArray[np.int32], NDArray[np.float32]] | None,
) -> Answer:
    real = tokens != PAD
    kept = None if likeliest is None else (likeliest[0][real], likeliest[1][real])
    return Answer(tokens[real].tolist(), float(score), each[real].tolist(), kept)


def padded(sources: Sequence[Any], rows: int, length: int | None = None) -> NDArray[np.int32]:
    """Return the sources as one array, padded to one of a few lengths and to `rows` rows."""
    longest = max(1, *map(len, sources)) if sources else 1
    batch = np.full((rows, length or allotted(longest)), PAD, np.int32)
    for row, source in enumerate(sources):
        batch[row, : len(source)] = ids(source)
    return batch
