"""The way of one segment: what is trained next, and when it is over."""

import math
import time
from collections.abc import Iterator
from typing import Any, assert_never

import jax
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from automl.data.batching import BatchPlan, Bucket, Run
from automl.errors import FailureReason, TrialFailure
from automl.models.dropout import Noise
from automl.segments import Beat, Report, Segment, Stop
from automl.training.arrays import DeviceSplit
from automl.training.augmentation import NO_BOXES, Variation
from automl.training.dataset import CHUNK
from automl.training.optimizers import Recipe
from automl.training.privacy import Guard
from automl.training.sampling import PoissonPlan
from automl.training.schedules import Cooldown, pace
from automl.training.steps import Chunk
from automl.training.stopwatch import Stopwatch
from search_spaces.seq2seq import Seq2Seq

REPORT_SECONDS = 1.0
FILLED = 0.92
"""Share of its seconds that a cooldown fills: the rest is for what surrounds its steps, and for trying blends."""


class Course:
    """The way of one segment: the inputs of each chunk, and when it is over."""

    def __init__(
        self,
        segment: Segment,
        configuration: Seq2Seq,
        order: BatchPlan | PoissonPlan,
        tokens: int,
        variation: Variation | None = None,
    ) -> None:
        """Begin where `tokens` have been seen; images and boxes are varied by `variation`, else by their dial."""
        self.segment = segment
        self.configuration = configuration
        self.order = order
        self.tokens = tokens
        self._trained = 0
        self._computed = self._needed = 0.0
        self.noise = noise_of(configuration, order.draws.dropout if isinstance(order, PoissonPlan) else segment.seed)
        self.recipe = Recipe.of(configuration)
        self.variation = variation or Variation.of(configuration.augmentation, NO_BOXES)
        self.cooldown: Cooldown | None = None
        if segment.cooldown and segment.to_tokens is not None:
            per_step = order.tokens_per_epoch / order.steps_per_epoch
            steps = max(round((segment.to_tokens - tokens) / per_step), 1)
            self.cooldown = Cooldown(segment.from_step, segment.from_step + int(min(steps, self.most_steps)))

    @property
    def most_steps(self) -> float:
        """Steps of the segment, at most."""
        return math.inf if self.segment.most_steps is None else float(self.segment.most_steps)

    def runs(
        self, feed: Iterator[tuple[Run, DeviceSplit]], stop: Stop, watch: Stopwatch
    ) -> Iterator[tuple[Run, DeviceSplit]]:
        """Yield what is trained next, and on which pairs, until the segment is over; whoever trains it counts tokens.

        Raises:
            TrialFailure: It shall stop before its first step (`STOPPED`).
        """
        for run, pairs in feed:
            begun, stopped = run.first_step > self.segment.from_step, stop()
            if stopped and not begun:
                raise TrialFailure(FailureReason.STOPPED, "stopped before its first step")
            if begun:
                self._plan(run.first_step, watch)
            if stopped or (begun and self.over(run.first_step, watch)):
                return
            yield run.upto(self.segment.from_step + self.most_steps), pairs

    def _plan(self, step: int, watch: Stopwatch) -> None:
        """Let a cooldown that is to fill its seconds end with them, by how fast its steps have been so far."""
        if self.cooldown is not None and self.segment.fills and self.segment.seconds is not None:
            pace = (step - self.segment.from_step) / max(watch.seconds["training"], 1e-3)
            left = max(int(pace * self.seconds_left(watch)), 1)
            self.cooldown = self.cooldown._replace(last=step + left)

    def expected_seconds(self, watch: Stopwatch) -> float:
        """Return for how long the segment will still train, at its speed so far; 0 before its first step."""
        if not self._trained:
            return 0.0
        missing = math.inf if self.segment.to_tokens is None else self.segment.to_tokens - self.tokens
        return min(self.seconds_left(watch), missing * watch.seconds["training"] / self._trained)

    def count(self, run: Run, bucket: Bucket) -> None:
        """Note that a run was trained, its rows in some shape."""
        tokens = int(run.tokens.sum())
        self.tokens += tokens
        self._trained += tokens
        computed, needed = self.order.work(run, bucket)
        self._computed, self._needed = self._computed + computed, self._needed + needed

    @property
    def padding(self) -> float:
        """Work at the shapes of batches, source and target, for each unit of what their rows need."""
        return round(self._computed / max(self._needed, 1.0), 4)

    def over(self, step: int, watch: Stopwatch) -> bool:
        """Say whether the next chunk is beyond the segment."""
        out_of_time = self.seconds_left(watch) <= 0 or step - self.segment.from_step >= self.most_steps
        if self.cooldown is not None:
            return out_of_time or step >= self.cooldown.last
        return out_of_time or (self.segment.to_tokens is not None and self.tokens >= self.segment.to_tokens)

    def seconds_left(self, watch: Stopwatch) -> float:
        """Return the seconds left to the segment; what a new trial compiles is not counted."""
        spent = watch.seconds["training"]
        if self.segment.from_step > 0:
            spent += watch.seconds["compiling"]
        if self.segment.seconds is None:
            return math.inf
        return (FILLED if self.segment.fills else 1.0) * self.segment.seconds - spent

    def chunk(self, run: Run) -> Chunk:
        """Return the inputs of a run's steps."""
        of = self.configuration
        numbers = pace(of.optimizer, of.schedule, of.averaging, run.first_step, CHUNK, self.cooldown)
        present: NDArray[np.bool_] = np.any(run.rows >= 0, axis=2)
        rows = np.full((self.order.capacity(int(present.sum())), self.order.batch_size), -1, np.int32)
        rows[: present.sum()] = run.rows[present]
        bounds, tokens = np.zeros(CHUNK + 1, np.int32), np.ones(CHUNK, np.float32)
        bounds[1 : len(present) + 1] = present.sum(axis=1).cumsum()
        tokens[: len(present)] = self.order.losses(run)
        single = jax.tree.map(np.float32, numbers)
        inputs: tuple[Any, ...] = (
            rows,
            bounds,
            tokens,
            single,
            np.int32(len(present)),
            self.noise,
            self.recipe,
            self.variation,
            self._guard(run.first_step),
        )
        return Chunk(*jax.device_put(inputs))

    def _guard(self, first_step: int) -> Guard | None:
        match self.order:
            case BatchPlan():
                return None
            case PoissonPlan() as order:
                return order.guard(first_step, CHUNK, self.configuration.clipping)
            case other:
                assert_never(other)


def said_of(run: Run, tokens: int, loss: float | None, reported: float, report: Report) -> float:
    """Report that a run was trained, unless one was reported a moment ago; return when the last one was.

    A loss that is none is that of rows which are private.
    """
    now = time.monotonic()
    if now - reported <= REPORT_SECONDS:
        return reported
    said = "" if loss is None else f", training loss {loss:.2f}"
    report(Beat("training", run.first_step + len(run.rows), f"{tokens:,} tokens{said}"))
    return now


def noise_of(configuration: Seq2Seq, seed: int) -> Noise:
    """Return the dropout of a trial."""
    locked = np.uint32(configuration.dropout_kind == "locked")
    rates = (configuration.dropout, configuration.token_dropout, configuration.attention_dropout)
    rate, tokens, attention = map(np.float32, rates)
    dials: tuple[Any, ...] = (np.uint32(seed & 0xFFFFFFFF), rate, locked, tokens, attention)
    return Noise(*dials)


def finite_mean(losses: Float[Array | np.ndarray, "taken"], steps: int) -> float:
    """Return the mean loss of the steps of a chunk, which are its first ones.

    Raises:
        TrialFailure: One is not a finite number (`NAN_LOSS`).
    """
    values = np.asarray(losses)[:steps]
    if not np.isfinite(values).all():
        raise TrialFailure(FailureReason.NAN_LOSS, "the training loss is no longer a finite number")
    return float(values.mean())
