"""Batches: which rows are trained on together, in which order; a function of the seed and the step alone.

Rows of like length share a batch, since a batch costs what its longest row costs. There are few shapes, because each is
compiled by itself. A step takes as many batches of one shape as come nearest to the target tokens that its recipe asks
for; so the shape is the same for every number of tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, pairwise
from operator import itemgetter, mul
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl.data.boxes import PER_OBJECT
from automl.data.table import Split

ROWS_OF_MOST = 1_000
"""Fewer rows have two shapes at most."""
CUTS = (*(k / 20 for k in range(6, 20)), 0.97, 0.98, 0.99)
"""Shares of the rows, the shortest first, after which another shape may begin."""
WEIGHT_OF_PAIRS = 1 / 8
"""What a place of the source costs for each place of the target, by attention, against a place of either side alone."""
ROOMY = 3.0
"""Times that a batch in a larger shape may cost what it would in its own, where that spares a compilation."""
MULTIPLE = 4
SHORTEST = 2
"""Places of a class and its end: to pad them would double what a decoder has to do."""
BATCH_TOKENS = 512
"""Target tokens of a batch, about; steps of more take several."""
BATCH_VALUES = 2**19
"""Values of the images of a batch, at most."""


class Shapes(NamedTuple):
    """How many shapes there may be, and what a further one has to spare of everything to be worth a compilation."""

    most: int
    price: float


FEW, MANY = Shapes(3, 0.1), Shapes(6, 0.01)
"""Where trials train for minutes, and for longer."""


@dataclass(frozen=True, order=True)
class Bucket:
    """A shape: source and target are padded to so many tokens (the target's begin or end included)."""

    source: int
    target: int

    def fits(self, other: "Bucket") -> bool:
        """Say whether whatever has this shape can be padded to another one."""
        return self.source <= other.source and self.target <= other.target


@dataclass(frozen=True)
class Run:
    """A few steps in a row, all of one shape.

    Attributes:
        rows: `[steps, batches, batch]` row numbers; -1 fills up the last batch of a shape, and a step of fewer batches.
        first_step: The first step, counted from the start of training.
        tokens: Target tokens of each step, ends included.
    """

    bucket: Bucket
    rows: NDArray[np.int32]
    first_step: int
    tokens: NDArray[np.int64]

    def upto(self, step: float) -> "Run":
        """Return its steps before another one."""
        if step >= self.first_step + len(self.rows):
            return self
        count = int(step) - self.first_step
        return replace(self, rows=self.rows[:count], tokens=self.tokens[:count])


@dataclass(frozen=True)
class BatchPlan:
    """The order of batches over all epochs.

    Attributes:
        buckets: The shapes.
        members: The row numbers of each shape.
        lengths: Target tokens of each row, its end included.
        costs: What each row costs at its own lengths (see `costs_of`).
        batch_size: Rows of a batch.
        run_length: Batches of a run, at most.
        step_tokens: Target tokens of a step, as nearly as whole batches give them; each step has one, at most a run's.
        objects: To how many objects targets of boxes are filled up with such as are none.
        pairs: What a place of the source costs for each place of the target (see `WEIGHT_OF_PAIRS`).
    """

    buckets: tuple[Bucket, ...]
    members: tuple[NDArray[np.int32], ...]
    lengths: NDArray[np.int64]
    costs: NDArray[np.float64]
    batch_size: int
    run_length: int
    step_tokens: int = 1
    objects: int = 0
    pairs: float = WEIGHT_OF_PAIRS

    def of_tokens(self, step_tokens: int) -> "BatchPlan":
        """Return the plan whose steps have so many target tokens."""
        return replace(self, step_tokens=step_tokens)

    @cached_property
    def batches_per_step(self) -> tuple[int, ...]:
        """Batches of a step of each shape."""
        per_batch = (self.lengths[rows].mean() * self.batch_size for rows in self.members)
        return tuple(min(max(round(self.step_tokens / tokens), 1), self.run_length) for tokens in per_batch)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Steps in one pass over the rows."""
        counts = zip(self.members, self.batches_per_step, strict=True)
        return sum(-(-len(rows) // (self.batch_size * batches)) for rows, batches in counts)

    def losses(self, run: Run) -> NDArray[np.int64]:
        """Return of how many tokens each step of a run has a loss: of objects that fill up, the class as well."""
        if not self.objects:
            return run.tokens
        objects = np.where(run.rows >= 0, (self.lengths[run.rows] - 1) // PER_OBJECT, self.objects)
        found: NDArray[np.int64] = run.tokens + np.maximum(self.objects - objects, 0).sum(axis=(1, 2))
        return found

    @property
    def tokens_per_epoch(self) -> int:
        """Target tokens in one pass over the rows."""
        return int(self.lengths.sum())

    def roomy(self, bucket: Bucket) -> Bucket:
        """Return the largest shape that rows of another one can be padded to without costing `ROOMY` times as much."""
        return max(self.within_reach(bucket), key=self.cost, default=bucket)

    def within_reach(self, bucket: Bucket) -> list[Bucket]:
        """Return the shapes that rows of one can be padded to at less than `ROOMY` times the cost, cheapest first."""
        fitting = [b for b in self.buckets if bucket.fits(b) and self.cost(b) < ROOMY * self.cost(bucket)]
        return sorted(fitting, key=self.cost)

    def cost(self, bucket: Bucket) -> float:
        """Return what a row of a shape costs, in places of a source."""
        return _cost(bucket, self.pairs)

    @property
    def hull(self) -> Bucket:
        """The least shape that every row fits in."""
        return Bucket(max(b.source for b in self.buckets), max(b.target for b in self.buckets))

    def capacity(self, batches: int) -> int:
        """Return the batches that the arrays of a run have room for."""
        return max(self.run_length, batches)

    def work(self, run: Run, bucket: Bucket) -> tuple[float, float]:
        """Return what a run costs, its rows in some shape, and what its rows would cost at their own lengths."""
        batches = int(np.any(run.rows >= 0, axis=2).sum())
        return batches * self.batch_size * self.cost(bucket), float(self.costs[run.rows[run.rows >= 0]].sum())

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

    def examples(self) -> Iterator[Run]:
        """Yield a run of each shape, those of most rows first."""
        of_each = {run.bucket: run for run in self._epoch(np.random.default_rng(0), 0)}
        sizes = dict(zip(self.buckets, map(len, self.members), strict=True))
        yield from sorted(of_each.values(), key=lambda run: -sizes[run.bucket])

    def _epoch(self, generator: np.random.Generator, first_step: int) -> Iterator[Run]:
        pieces = []
        for bucket, members, batches in zip(self.buckets, self.members, self.batches_per_step, strict=True):
            steps = _steps(generator.permutation(members), self.batch_size, batches)
            length = self.run_length // batches
            pieces += [(bucket, steps[i : i + length]) for i in range(0, len(steps), length)]
        for index in generator.permutation(len(pieces)):
            bucket, rows = pieces[index]
            tokens = np.where(rows >= 0, self.lengths[rows], 0).sum(axis=(1, 2))
            yield Run(bucket, rows, first_step, tokens)
            first_step += len(rows)


def plan(split: Split, batch_size: int, run_length: int, objects: int = 0, shapes: Shapes = FEW) -> BatchPlan:
    """Sort the rows of a split into shapes that pad little; a step is one batch.

    Each has room for so many objects in its targets, and their end.
    """
    source = np.maximum(np.diff(split.source_offsets), 1)
    target = np.diff(split.target_offsets) + 1
    pairs = 0.0 if split.source.dtype == np.uint8 else WEIGHT_OF_PAIRS  # a stem makes few places of many values
    buckets, members = _buckets(source, np.maximum(target, PER_OBJECT * objects + 1), pairs, shapes)
    costs, rows = costs_of(source, target, pairs), min(batch_size, split.rows)
    return BatchPlan(buckets, members, target, costs, rows, run_length, objects=objects, pairs=pairs)


def filling(split: Split) -> int:
    """Return to how many objects targets of boxes are filled up: half as many again as nearly all have, and one."""
    objects = np.diff(split.target_offsets) // PER_OBJECT
    return int(np.ceil(1.5 * np.quantile(objects, 0.95))) + 1


def rows_of(split: Split, tokens: int) -> int:
    """Return the rows of a batch that has about so many target tokens: a power of two between 8 and 128."""
    per_row = np.diff(split.target_offsets).mean() + 1
    rows = int(2 ** np.clip(np.round(np.log2(tokens / per_row)), 3, 7))
    return _of_images(split, rows) if split.source.dtype == np.uint8 else rows


def _of_images(split: Split, rows: int) -> int:
    """Return the rows of a batch of images: fewer where they are large, since a stem holds many values of a pixel."""
    values = len(split.source) // split.rows
    return min(rows, max(int(2 ** np.floor(np.log2(BATCH_VALUES / values))), 8))


def _buckets(
    source: NDArray[np.int64], target: NDArray[np.int64], pairs: float, worth: Shapes
) -> tuple[tuple[Bucket, ...], tuple[NDArray[np.int32], ...]]:
    orders = [np.argsort(key, kind="stable").astype(np.int32) for key in (source + target, np.maximum(source, target))]
    _, shapes, parts = min((_divided(source, target, order, pairs, worth) for order in orders), key=itemgetter(0))
    return shapes, parts


def _divided(
    source: NDArray[np.int64], target: NDArray[np.int64], order: NDArray[np.int32], pairs: float, worth: Shapes
) -> tuple[float, tuple[Bucket, ...], tuple[NDArray[np.int32], ...]]:
    """Return what the best division of sorted rows costs, its shapes, and the rows of each.

    The rows of every shape fit in the last.
    """
    places = sorted({0, *(round(len(order) * share) for share in CUTS)} - {len(order)})
    longest = [np.maximum.reduceat(lengths[order], places) for lengths in (source, target)]
    most = worth.most if len(order) >= ROWS_OF_MOST else 2

    def shapes(inner: tuple[int, ...]) -> list[Bucket]:
        ends = [*pairwise((0, *inner)), (0, len(places))]
        return [Bucket(*(rounded(int(part[a:b].max())) for part in longest)) for a, b in ends]

    def edges(inner: tuple[int, ...]) -> list[tuple[int, int]]:
        return list(pairwise((0, *(places[place] for place in inner), len(order))))

    def cost(inner: tuple[int, ...]) -> float:
        rows, each = [b - a for a, b in edges(inner)], [_cost(shape, pairs) for shape in shapes(inner)]
        return (1 + worth.price * (len(rows) + 1)) * sum(map(mul, rows, each), 0.0)

    choices = [inner for count in range(most) for inner in combinations(range(1, len(places)), count)]
    best = min(choices, key=cost)
    return cost(best), tuple(shapes(best)), tuple(np.sort(order[a:b]) for a, b in edges(best))


def _cost(shape: Bucket, pairs: float) -> float:
    """Return what a row of a shape costs, in places of a source, of which each costs so much for each of the target."""
    return shape.source + 2 * shape.target + pairs * shape.source * shape.target


def costs_of(source: NDArray[np.int64], target: NDArray[np.int64], pairs: float) -> NDArray[np.float64]:
    """Return what rows of such lengths cost, as `_cost` does."""
    return source + 2 * target + np.float64(pairs) * source * target


def rounded(length: int) -> int:
    """Return the length that rows of a length are padded to; a class and its end stay as short as they are."""
    return length if length <= SHORTEST else -(-length // MULTIPLE) * MULTIPLE


def _steps(rows: NDArray[np.int32], batch_size: int, batches_per_step: int) -> NDArray[np.int32]:
    """Cut rows into batches, and deal these out to steps evenly, so that no step is a small rest."""
    batches = -(-len(rows) // batch_size)
    filled = np.full((batches + 1, batch_size), -1, np.int32)
    filled[:-1].reshape(-1)[: len(rows)] = rows
    parts = np.array_split(np.arange(batches), -(-batches // batches_per_step))
    dealt = np.full((len(parts), max(map(len, parts))), -1)
    for step, part in zip(dealt, parts, strict=True):
        step[: len(part)] = part
    return np.asarray(filled[dealt], np.int32)


def _rest(run: Run, skipped: int) -> Run:
    return Run(run.bucket, run.rows[skipped:], run.first_step + skipped, run.tokens[skipped:])
