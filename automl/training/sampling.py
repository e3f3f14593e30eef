"""Batches of a private search: each pair is in a step's by itself with one probability (Poisson sampling).

Which pairs they are and what noise is added follows from a key, by HMAC-SHA256 over what the parameters depend on: the
same steps of the same trial are the same to the bit however often they were interrupted, and steps that could differ
share neither.
"""

import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.batching import BatchPlan, Bucket, Run
from automl.segments import Mechanism, Segment
from automl.training.privacy import Guard

EXAMPLES = 8
"""Pairs whose gradients are held at the same time."""
RUN = 4
"""Steps of a run, which are drawn together."""
SPARE = 6.0
"""Standard deviations of the pairs of a step that an array has room for; where there are more, it is made larger."""


@dataclass(frozen=True)
class Draws:
    """What is random in the steps of a trial."""

    key: bytes

    @staticmethod
    def of(key: bytes, segment: Segment) -> "Draws":
        """Return those of a segment; a cooldown leaves the way of its trial, so that it has others."""
        left = [segment.from_step, segment.checkpoint, segment.to_tokens, segment.most_steps]
        way = [segment.trial, segment.seed, segment.configuration, left if segment.cooldown else None]
        return Draws(_derived(key, json.dumps(way, sort_keys=True)))

    def batches(self, run: int) -> np.random.Generator:
        """Return what draws the batches of a run."""
        return np.random.default_rng(int.from_bytes(_derived(self.key, f"batches {run}")))

    @property
    def dropout(self) -> int:
        """Seed of what is dropped, a secret: a pair's would else follow from how many pairs stand before it."""
        return int.from_bytes(_derived(self.key, "dropout")[:4])

    def noise(self, first_step: int, count: int) -> NDArray[np.uint32]:
        """Return the keys of the noise of some steps, `[steps, 2]`."""
        digests = [_derived(self.key, f"noise {step}")[:8] for step in range(first_step, first_step + count)]
        return np.frombuffer(b"".join(digests), ">u4").reshape(count, 2).astype(np.uint32)


def _derived(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), "sha256")


@dataclass(frozen=True)
class PoissonPlan:
    """Batches without end, all of one shape.

    Nothing that is counted of them says how many pairs a step had: tokens and padding are those of the mean.

    Attributes:
        hull: The shape that every row fits in.
        rows: Number of pairs.
        tokens_per_epoch: Their target tokens.
        costs: What a pair costs in that shape, and at its own lengths in the mean.
        rate: Chance of a pair to be in a step.
        noise_multiplier: See `Mechanism`.
        draws: What decides.
    """

    hull: Bucket
    rows: int
    tokens_per_epoch: int
    costs: tuple[float, float]
    rate: float
    noise_multiplier: float
    draws: Draws

    batch_size = EXAMPLES

    @staticmethod
    def of(order: BatchPlan, mechanism: Mechanism, segment: Segment) -> "PoissonPlan":
        """Return the batches of a segment, from the rows of a plan."""
        draws = Draws.of(mechanism.key, segment)
        numbers = (mechanism.rate, mechanism.noise_multiplier)
        costs = order.cost(order.hull), float(order.costs.mean())
        return PoissonPlan(order.hull, len(order.lengths), order.tokens_per_epoch, costs, *numbers, draws)

    def roomy(self, bucket: Bucket) -> Bucket:
        """Return the only shape."""
        del bucket
        return self.hull

    def within_reach(self, bucket: Bucket) -> list[Bucket]:
        """Return the only shape."""
        return [self.roomy(bucket)]

    @property
    def steps_per_epoch(self) -> float:
        """Steps in which a pair is drawn once, in the mean."""
        return 1 / self.rate

    @property
    def tokens_per_step(self) -> int:
        """Target tokens of a step, in the mean."""
        return max(round(self.rate * self.tokens_per_epoch), 1)

    def capacity(self, batches: int) -> int:
        """Return the batches that the arrays of a run have room for: the same for nearly all runs."""
        mean = self.rate * self.rows
        room = RUN * ceil((mean + SPARE * sqrt(mean)) / EXAMPLES + 1)
        while room < batches:
            room *= 2
        return room

    def guard(self, first_step: int, steps: int, clipping: float) -> Guard:
        """Return what keeps the pairs of some steps private."""
        numbers = map(np.float32, (clipping, self.noise_multiplier * clipping, self.rate * self.rows))
        values: tuple[Any, ...] = (*numbers, self.draws.noise(first_step, steps))
        return Guard(*values)

    def work(self, run: Run, bucket: Bucket) -> tuple[float, float]:
        """Return what a run costs, and what its pairs would cost at their own lengths, both in the mean."""
        del bucket
        pairs = len(run.rows) * self.rate * self.rows
        return pairs * self.costs[0], pairs * self.costs[1]

    def losses(self, run: Run) -> NDArray[np.int64]:
        """Return the target tokens of each step, whose losses nobody adds up here."""
        return run.tokens

    def runs(self, seed: int, from_step: int) -> Iterator[Run]:
        """Yield the runs from a step on, without end; the seed decides nothing here, since it is no secret."""
        del seed
        number = from_step // RUN
        while True:
            first = max(from_step, number * RUN)
            rows = self._drawn(number)[first - number * RUN :]
            yield Run(self.hull, rows, first, np.full(len(rows), self.tokens_per_step, np.int64))
            number += 1

    def _drawn(self, run: int) -> NDArray[np.int32]:
        from jax_privacy.batch_selection import CyclicPoissonSampling

        sampling = CyclicPoissonSampling(sampling_prob=self.rate, iterations=RUN)
        drawn = list(sampling.batch_iterator(self.rows, self.draws.batches(run)))
        batches = max(1, *(-(-len(rows) // EXAMPLES) for rows in drawn))
        filled = np.full((RUN, batches * EXAMPLES), -1, np.int32)
        for step, rows in zip(filled, drawn, strict=True):
            step[: len(rows)] = rows
        return filled.reshape(RUN, batches, EXAMPLES)
