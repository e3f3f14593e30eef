"""Batches: which rows are trained on together, in which order; a function of the seed and the step alone.

Rows of like length share a batch, since a batch costs what its longest row costs. There are at most
`MOST_BUCKETS` shapes, because each is compiled by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from automl.data.table import Split

MOST_BUCKETS = 2
MULTIPLE = 4


@dataclass(frozen=True, order=True)
class Bucket:
    """A shape: source and target are padded to so many tokens (the target's begin or end included)."""

    source: int
    target: int


@dataclass(frozen=True)
class Run:
    """A few batches of one shape in a row.

    Attributes:
        rows: `[batches, batch]` row numbers; -1 fills up the last batch of a shape.
        first_step: Step of the first batch, counted from the start of training.
        tokens: Target tokens of each batch, ends included.
    """

    bucket: Bucket
    rows: NDArray[np.int32]
    first_step: int
    tokens: NDArray[np.int64]


@dataclass(frozen=True)
class BatchPlan:
    """The order of batches over all epochs.

    Attributes:
        buckets: The shapes.
        members: The row numbers of each shape.
        lengths: Target tokens of each row, its end included.
        batch_size: Rows of a batch.
        run_length: Batches of a run, at most.
    """

    buckets: tuple[Bucket, ...]
    members: tuple[NDArray[np.int32], ...]
    lengths: NDArray[np.int64]
    batch_size: int
    run_length: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the rows."""
        return sum(-(-len(rows) // self.batch_size) for rows in self.members)

    @property
    def tokens_per_epoch(self) -> int:
        """Target tokens in one pass over the rows."""
        return int(self.lengths.sum())

    def runs(self, seed: int, from_step: int) -> Iterator[Run]:
        """Yield the runs from a step on, without end; the first may be the rest of one that had begun."""
        epoch = from_step // self.steps_per_epoch
        while True:
            first = epoch * self.steps_per_epoch
            for run in self._epoch(np.random.default_rng((seed, epoch)), first):
                skipped = from_step - run.first_step
                if skipped < len(run.rows):
                    yield run if skipped <= 0 else _rest(run, skipped)
            epoch += 1

    def _epoch(self, generator: np.random.Generator, first_step: int) -> Iterator[Run]:
        pieces = []
        for bucket, members in zip(self.buckets, self.members, strict=True):
            batches = _batches(generator.permutation(members), self.batch_size)
            pieces += [(bucket, batches[i : i + self.run_length]) for i in range(0, len(batches), self.run_length)]
        for index in generator.permutation(len(pieces)):
            bucket, rows = pieces[index]
            tokens = np.where(rows >= 0, self.lengths[rows], 0).sum(axis=1)
            yield Run(bucket, rows, first_step, tokens)
            first_step += len(rows)


def plan(split: Split, batch_size: int, run_length: int) -> BatchPlan:
    """Sort the rows of a split into shapes that pad little."""
    source = np.maximum(np.diff(split.source_offsets), 1)
    target = np.diff(split.target_offsets) + 1
    buckets, members = _buckets(source, target)
    return BatchPlan(buckets, members, target, min(batch_size, split.rows), run_length)


def _buckets(
    source: NDArray[np.int64], target: NDArray[np.int64]
) -> tuple[tuple[Bucket, ...], tuple[NDArray[np.int32], ...]]:
    order = np.argsort(source + target, kind="stable").astype(np.int32)
    cuts = [round(len(order) * k / 20) for k in range(10, 20)] if MOST_BUCKETS > 1 else []
    choices = [(0, cut, len(order)) for cut in cuts] + [(0, len(order))]
    best = min(choices, key=lambda edges: _cost(source, target, order, edges) * (1 + 0.1 * len(edges)))
    parts = [order[a:b] for a, b in pairwise(best) if b > a]
    return tuple(_shape(source, target, rows) for rows in parts), tuple(np.sort(rows) for rows in parts)


def _cost(
    source: NDArray[np.int64], target: NDArray[np.int64], order: NDArray[np.int32], edges: tuple[int, ...]
) -> int:
    shapes = [(b - a, _shape(source, target, order[a:b])) for a, b in pairwise(edges) if b > a]
    return sum(rows * (shape.source + 2 * shape.target) for rows, shape in shapes)


def _shape(source: NDArray[np.int64], target: NDArray[np.int64], rows: NDArray[np.int32]) -> Bucket:
    return Bucket(rounded(int(source[rows].max())), rounded(int(target[rows].max())))


def rounded(length: int) -> int:
    """Return the length that rows of a length are padded to."""
    return -(-length // MULTIPLE) * MULTIPLE


def _batches(rows: NDArray[np.int32], batch_size: int) -> NDArray[np.int32]:
    count = -(-len(rows) // batch_size)
    filled = np.full(count * batch_size, -1, np.int32)
    filled[: len(rows)] = rows
    return filled.reshape(count, batch_size)


def _rest(run: Run, skipped: int) -> Run:
    return Run(run.bucket, run.rows[skipped:], run.first_step + skipped, run.tokens[skipped:])
