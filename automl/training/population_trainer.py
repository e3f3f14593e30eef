"""The trainer of an accelerator: many segments at a time, those of like models by one program."""

import math
from collections.abc import Mapping
from functools import cache, lru_cache, partial
from threading import Lock
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from automl.data.batching import BatchPlan, Bucket
from automl.decoding.footprint import Footprint
from automl.errors import FailureReason, TrialFailure
from automl.models.parameters import Parameters
from automl.segments import Beat, Report, Segment, Stop, Workload
from automl.training.adaptation import start_of
from automl.training.arrays import DeviceSplit
from automl.training.checkpoints import Checkpoint
from automl.training.course import Course, finite_mean, said_of
from automl.training.evaluation import Forced, forced_rows, in_batches, padded
from automl.training.executables import evaluating
from automl.training.hulls import Hull
from automl.training.losses import TokenCounts
from automl.training.population import Lane, Population
from automl.training.signature import Signature
from automl.training.slots import Kind
from automl.training.stopwatch import Stopwatch
from automl.training.trainer import MOST_DATASETS, Trainer
from search_spaces.costs import Extent, step_operations
from search_spaces.dials import from_dict
from search_spaces.optimizers import alike
from search_spaces.seq2seq import DRAWN, Seq2Seq


class PopulationTrainer(Trainer):
    """Runs jobs that are given to it by several threads at the same time, a thread a job.

    A trial computes what it would alone, but for rounding, so it may go on with any other trainer.
    """

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        if workload.privacy is not None:
            raise ValueError("a private trial is trained alone")
        self.population = _once(lambda kind, _, own: Population(self.programs, kind, workload.slots, own_pairs=own))
        self.datasets = _once(lru_cache(MOST_DATASETS)(self._tokenized))
        self.lanes: list[Lane] = []

    def _train(
        self, segment: Segment, static: Signature, watch: Stopwatch, report: Report, stop: Stop
    ) -> tuple[Checkpoint, Mapping[str, Any]]:
        configuration = from_dict(Seq2Seq, segment.configuration)
        dataset, reported = self.dataset(configuration), -math.inf
        order, base = dataset.order(configuration), self._base(segment, static)
        kind = Kind(_hull(static), order.hull, alike(configuration.optimizer), base is not None)
        population = self.population(kind, dataset.table.digest, dataset.is_streamed)
        wide = _widening(kind, static, order)
        begin = cache(partial(self._begin, segment, static))
        if segment.checkpoint is not None or start_of(segment) != DRAWN:
            begin()  # may be read from far away: nobody waits for it
        with population.lane(lambda: begin().state, static.configuration, base, report) as lane:
            course = Course(segment, configuration, order, begin().tokens, dataset.variation(configuration))
            feed = dataset.runs(order, segment.seed, segment.from_step)
            for run, pairs in course.runs(feed, stop, watch):
                begun = run.first_step > segment.from_step
                if not begun:
                    report(Beat("compiling"))
                with watch.part("training" if begun else "compiling"):
                    losses = self._taken(population, lane, pairs, course.chunk(run))
                if begun:
                    watch.move(lane.compiling, "training", "compiling")
                loss = finite_mean(losses, len(run.rows))
                course.count(run, kind.bucket)
                reported = said_of(run, dataset.base_tokens(course.tokens), loss, reported, report)
            execution = {"program": "hull", "slots": population.slots(lane), "padding": course.padding * wide}
            return Checkpoint(jax.device_put(population.state(lane), may_alias=False), course.tokens), execution

    def _taken(self, population: Population, lane: Lane, split: DeviceSplit, chunk: Any) -> Any:
        self.lanes.append(lane)
        try:
            return population.train(lane, split, chunk)
        except jax.errors.JaxRuntimeError as error:
            beside = max(lane.crowd, len(self.lanes)) > 1
            if beside and "RESOURCE_EXHAUSTED" in str(error):  # not this trial was too large, but all together
                raise TrialFailure(FailureReason.STOPPED, "the device ran out of memory") from error
            raise
        finally:
            self.lanes.remove(lane)

    def _forced(self, parameters: Parameters, static: Signature) -> Forced:
        """Count by the program of the hull, so that a new model of a known kind compiles none."""
        hull = _hull(static)
        laid = hull.padded(parameters, static.configuration)
        given = hull.given(static.configuration)
        widest = Footprint(hull.members[-1:], hull.source_vocabulary, hull.target_vocabulary, refuses=False)

        def counted(split: DeviceSplit, rows: NDArray[np.int32], shape: Bucket) -> TokenCounts:
            own = padded(shape)
            inputs = (laid, split, *in_batches(rows, forced_rows(widest, own)), given)
            build = partial(_evaluate_program, hull, own)
            found: TokenCounts = self.programs.get(repr(("evaluate hull", hull, own)), build, inputs)(*inputs)
            return found

        return counted


@cache
def _hull(static: Signature) -> Hull:
    return Hull.of(static.configuration, static.source_vocabulary, static.target_vocabulary)


def _widening(kind: Kind, static: Signature, order: BatchPlan) -> float:
    """Return the operations of a step of the hull for each of the model alone."""
    vocabularies = (static.source_vocabulary, static.target_vocabulary)
    extent = Extent(*vocabularies, order.batch_size, kind.bucket.source, kind.bucket.target)
    return step_operations(kind.hull.members[-1], extent) / step_operations(static.configuration, extent)


@cache
def _evaluate_program(hull: Hull, bucket: Bucket) -> Any:
    return jax.jit(evaluating(hull.model, bucket))


def _once(function: Any) -> Any:
    """Return a function of hashable arguments that is computed once for each, by whichever thread comes first."""
    lock, held = Lock(), cache(function)

    def locked(*arguments: Any) -> Any:
        with lock:
            return held(*arguments)

    return locked
