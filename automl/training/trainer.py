"""The trainer: runs segments and evaluations in one process, one after another, and keeps its programs between them."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, assert_never

import jax
import numpy as np
from numpy.typing import NDArray

from automl.data.batching import FEW, MANY, BatchPlan, Run
from automl.data.table import Tokens, open_table, tokenized, tokens_of
from automl.decoding.answers import decode
from automl.errors import FailureReason, TrialFailure
from automl.lengths import constant
from automl.metrics import metric
from automl.models.parameters import Parameters, initialise
from automl.segments import (
    Beat,
    Evaluation,
    EvaluationResult,
    Job,
    Member,
    Preparation,
    PreparationResult,
    Report,
    Result,
    Segment,
    SegmentResult,
    Stop,
    Teaching,
    TeachingResult,
    Workload,
)
from automl.training import checkpoints, soft_targets
from automl.training.adaptation import initial_factors, rank_of, start_of
from automl.training.checkpoints import Checkpoint
from automl.training.compiler import BackgroundCompiler, Source
from automl.training.course import Course, finite_mean, said_of
from automl.training.dataset import Dataset
from automl.training.decoders import Decoders
from automl.training.ensembles import Candidate, chosen
from automl.training.evaluation import Evaluator, Forced
from automl.training.executables import added_program, model_of, train_program
from automl.training.exposure import exposures
from automl.training.latency import median_seconds, of_median_length
from automl.training.losses import SoftTargets
from automl.training.membership import membership
from automl.training.optimizers import Recipe
from automl.training.programs import Program as Compiled
from automl.training.programs import Programs
from automl.training.sampling import PoissonPlan
from automl.training.sharding import core_mesh, on_all, on_first
from automl.training.signature import Signature, signature
from automl.training.signs import in_parts
from automl.training.soups import is_cheap, soup
from automl.training.steps import TrainState, new_state
from automl.training.stopwatch import Stopwatch
from automl.weights import averaged, together
from search_spaces.decoding import Greedy, decoding_from
from search_spaces.dials import from_dict
from search_spaces.optimizers import alike
from search_spaces.seq2seq import DRAWN, Seq2Seq
from storage import objects

MOST_DATASETS = 4
MOST_BASES = 2
LONG_LOOK = 4
"""Times as long as a compilation a new trial has to train from then on, for its other shapes to be worth theirs."""
QUICK_COMPILATION = 5.0
"""Seconds that a compilation takes at least; those that were found on disk say nothing about the next one."""
LEAST_ROWS = 8
"""Rows of a batch for each of several cores."""


class Trainer:
    """Runs the jobs of one search.

    The data lies on the device from the first job on that needs it in its tokens; a program is compiled once for all
    trials of its signature.
    """

    def __init__(self, workload: Workload) -> None:
        self.table = open_table(Path(workload.table))
        self.metrics = [metric(name) for name in workload.metrics]
        self.resident, self.shapes = workload.resident, MANY if workload.is_long else FEW
        self.measures_latency, self.single = workload.latency, workload.threads == 1
        self.cores = max(workload.threads, 1) if jax.default_backend() == "cpu" else 1
        self.checkpoints, self.starts = objects.place(workload.checkpoints), workload.starts
        self.taught, self.doubts = workload.soft_targets, self.table.corpus.tokens[1] == "boxes"
        self.programs, self.mechanism = Programs(workload.cache), workload.privacy
        self.datasets = lru_cache(MOST_DATASETS)(self._tokenized)
        self.bases = lru_cache(MOST_BASES)(lambda *beginning: jax.device_put(self._start_values(*beginning)))
        self.decoders = cache(lambda static, limits: Decoders(self.programs, static, limits, doubts=self.doubts))
        self.compiled: dict[Any, Callable[..., Any]] = {}
        self.slowest_compilation, self.is_timed = 0.0, workload.is_timed
        beside = self.is_timed and jax.default_backend() != "cpu"  # what compiles is then not what trains
        self.compiler = BackgroundCompiler(self.programs, None) if beside else None
        self.awaited: dict[Any, Future[Compiled]] = {}

    def dataset(self, configuration: Seq2Seq) -> Dataset:
        """Return the data in a configuration's tokens; their table is built if no search has needed it before."""
        return self.datasets(tokens_of(configuration))

    def _tokenized(self, tokens: Tokens) -> Dataset:
        table = tokenized(self.table.corpus, tokens)
        given = (self.resident, self._soft_targets, self.shapes)
        return Dataset(table, self.table, self.metrics, self.programs, *given)

    def _soft_targets(self) -> SoftTargets | None:
        return None if self.taught is None else soft_targets.read(self.checkpoints, self.taught)

    def run(self, job: Job, report: Report, stop: Stop) -> Result:
        """Run one job.

        Raises:
            TrialFailure: The trial cannot go on.
        """
        try:
            with in_parts(report) as told:
                match job:
                    case Segment():
                        return self._segment(job, told, stop)
                    case Evaluation():
                        return self._evaluation(job, told)
                    case Teaching():
                        return self._teaching(job, told, stop)
                    case Preparation():
                        return self._preparation(job, told, stop)
                    case other:
                        assert_never(other)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):
                raise TrialFailure(FailureReason.OUT_OF_MEMORY, "the device ran out of memory") from error
            raise

    def _static(self, configuration: Seq2Seq, *others: Seq2Seq) -> Signature:
        dataset = self.dataset(configuration)
        sizes = dataset.table.meta["vocabulary"]
        return signature(configuration, sizes["source"], sizes["target"], dataset.plan.batch_size, others)

    def _segment(self, segment: Segment, report: Report, stop: Stop) -> SegmentResult:
        configuration = from_dict(Seq2Seq, segment.configuration)
        watch, before = Stopwatch(), self.programs.counts
        report(Beat("tokenizing", segment.from_step))
        with watch.part("tokenizing"):
            dataset, static = self.dataset(configuration), self._static(configuration)
        if segment.to_tokens is not None:
            segment = replace(segment, to_tokens=dataset.own_tokens(segment.to_tokens))
        end, execution = self._train(segment, static, watch, report, stop)
        report(Beat("evaluating", int(end.state.step)))
        with watch.part("evaluating"):
            last = self._latest(segment, static, end.state) if segment.cooldown else None
            end, scores = self._scored(end, segment, static, dataset, last, stop)
            if self.measures_latency:
                scores = {**scores, "latency": self._latency(static, dataset, end.state.average)}
        if not math.isfinite(scores["loss"]):
            raise TrialFailure(
                FailureReason.NAN_LOSS, f"the loss on valid is {scores['loss']} at step {end.state.step}"
            )
        report(Beat("writing", int(end.state.step)))
        with watch.part("writing"):
            digest = checkpoints.write(self.checkpoints, end)
        return SegmentResult(
            trial=segment.trial,
            from_step=segment.from_step,
            step=int(end.state.step),
            tokens=dataset.base_tokens(end.tokens),
            scores=scores,
            checkpoint=digest,
            parameters=sum(value.size for value in end.state.average.values()),
            seconds=watch.seconds,
            programs=self.programs.counts.since(before),
            execution=execution,
        )

    def _evaluation(self, job: Evaluation, report: Report) -> EvaluationResult:
        members = (Member(job.configuration, job.checkpoint), *job.others)
        configurations = [from_dict(Seq2Seq, member.configuration) for member in members]
        report(Beat("tokenizing"))
        dataset = self.dataset(configurations[0])
        report(Beat("evaluating", note=f"decoding {job.split}"))
        candidates = self._candidates(members)
        slack = configurations[0].length_slack
        evaluator, places = dataset.evaluator(job.split, slack), tuple(range(len(members)))
        if job.choose:
            places = chosen(evaluator, candidates, job.most)
            if len(places) == 1:
                return EvaluationResult(job.trial, {}, evaluator.arrays.rows)
        static = self._static(*(configurations[place] for place in places))
        average = together([candidates[place].parameters for place in places])
        decoding = Greedy() if job.decoding is None else decoding_from(job.decoding)
        program = self.decoders(static, evaluator.limits).program(decoding)
        scores = evaluator.final_scores(static, average, program)
        known = membership(dataset.evaluator("valid"), static, average) if job.membership else None
        exposed = exposures(dataset.table, self.programs, static, average) if job.exposure else ()
        others = tuple(place - 1 for place in places[1:])
        return EvaluationResult(job.trial, scores, evaluator.arrays.rows, known, exposed, others)

    def _candidates(self, members: Sequence[Member]) -> list[Candidate]:
        """Return models as they stand at their checkpoints."""
        found = []
        for member in members:
            configuration = from_dict(Seq2Seq, member.configuration)
            static = self._static(configuration)
            fresh = self._fresh(static, 0, rank_of(configuration))
            found.append(Candidate(static, checkpoints.read(self.checkpoints, member.checkpoint, fresh).state.average))
        return found

    def _teaching(self, job: Teaching, report: Report, stop: Stop) -> TeachingResult:
        began = time.monotonic()
        report(Beat("tokenizing"))
        dataset = self.dataset(from_dict(Seq2Seq, job.members[0].configuration))
        report(Beat("evaluating", note="teaching"))

        def over() -> bool:
            return stop() or (job.seconds is not None and time.monotonic() - began > job.seconds)

        found = soft_targets.soft_targets(dataset, self._candidates(job.members), self.programs, over)
        taught = int(np.asarray(found.probabilities).any(axis=-1).sum())
        return TeachingResult(job.trial, soft_targets.write(self.checkpoints, found), taught)

    def _preparation(self, job: Preparation, report: Report, stop: Stop) -> PreparationResult:
        """Compile what a trial is scored with, and trains with beyond its first look, shapes of most rows first."""
        segment, before, watch = Segment(job.trial, job.configuration, seed=0), self.programs.counts, Stopwatch()
        configuration = from_dict(Seq2Seq, job.configuration)
        report(Beat("tokenizing"))
        dataset, static = self.dataset(configuration), self._static(configuration)
        begin = self._begin(segment, static)
        report(Beat("compiling"))
        dataset.evaluator("valid", configuration.length_slack).prepare(static, begin.state.average)
        state, added, place = self._placed(begin, segment, static, dataset)
        order = dataset.order(configuration)
        course = Course(segment, configuration, order, 0, dataset.variation(configuration))
        _, pairs = next(dataset.runs(order, segment.seed, 0, place))
        for run in order.examples():
            inputs = (state, pairs, course.chunk(run), *added)
            key = self._own_key(static, run, course, inputs)
            if stop():
                break
            if not self.programs.is_compiled_elsewhere(_name(key), inputs):
                self._compiled(key, inputs, watch, report)
        return PreparationResult(job.trial, self.programs.counts.since(before))

    def _scored(
        self,
        end: Checkpoint,
        segment: Segment,
        static: Signature,
        dataset: Dataset,
        last: Parameters | None,
        stop: Stop,
    ) -> tuple[Checkpoint, Mapping[str, float]]:
        """Return the scores on valid of the average of the parameters, which is what a trial is judged by.

        At the end of a trial the `last` parameters take the place of the average where they are better: by the loss,
        where the metric would have both decoded. Then what the model had at other times is blended in (see `soups`).
        """
        evaluator = dataset.evaluator("valid", from_dict(Seq2Seq, segment.configuration).length_slack)

        def forced(of: Parameters) -> dict[str, float]:
            return evaluator.forced_scores(static, of, self._forced(of, static), spread=last is not None)

        found = forced(end.state.average)
        if last is not None and self._better(others := forced(last), found):
            end, found = end._replace(state=end.state._replace(average=last)), others
        if segment.blends and self.metrics[0].name in found:
            times = self._other_times(segment, end.state.average, evaluator, stop)
            average, found = soup(end.state.average, found, times, forced, self._is_worse)
            end = end._replace(state=end.state._replace(average=average))
        if evaluator.needs_decoding and segment.decodes:
            decoder = self.decoders(static, evaluator.limits).program(Greedy())
            found |= evaluator.decoded_scores(end.state.average, decoder, spread=last is not None)
        return end, found

    def _other_times(
        self, segment: Segment, average: Parameters, evaluator: Evaluator, stop: Stop
    ) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        """Yield what the model of a trial had at other times, as long as nobody waits for its end.

        What cannot be read, or is another model, is left out.
        """
        whole, shapes = evaluator.bucket, {name: value.shape for name, value in average.items()}
        if not is_cheap(average, evaluator.forced.rows, whole.source + whole.target):
            return
        for digest in segment.blends:
            if stop():
                return
            try:
                found = averaged(checkpoints.read_tensors(self.checkpoints, digest))
            except TrialFailure:
                continue
            if {name: value.shape for name, value in found.items()} == shapes:
                yield found

    def _latest(self, segment: Segment, static: Signature, state: TrainState) -> Parameters:
        """Return the parameters of the model as they are, what was trained to be added to them included."""
        base = self._base(segment, static)
        if base is None:
            return state.parameters
        inputs = (base, state.parameters, Recipe.of(from_dict(Seq2Seq, segment.configuration)).scale)
        program = self.programs.get(repr(("adapted", static)), partial(added_program, static), inputs)
        found: Parameters = program(*inputs)
        return found

    def _forced(self, parameters: Parameters, static: Signature) -> Forced | None:
        """Return what counts right tokens where the program of the model alone does not."""
        del parameters, static
        return None

    def _better(self, scores: Mapping[str, float], than: Mapping[str, float]) -> bool:
        first = self.metrics[0]
        if scores.get(first.name) == than.get(first.name):
            return scores["loss"] < than["loss"]
        return first.better(scores[first.name], than[first.name])

    def _is_worse(self, scores: Mapping[str, float], than: Mapping[str, float]) -> bool:
        """Say whether the metric is worse, whatever the loss is."""
        first = self.metrics[0]
        return first.better(than[first.name], scores[first.name])

    def _latency(self, static: Signature, dataset: Dataset, parameters: Parameters) -> float:
        """Return the median seconds of a greedy decode of one source of valid, of median length."""
        valid, copies, meta = dataset.evaluator("valid"), dataset.table.copies, dataset.table.meta
        sources, longest = valid.sources(), meta["max_source_length"]
        chosen = of_median_length([len(source) for source in sources], longest)
        said = int(np.diff(valid.arrays.target_offsets)[chosen].max()) + 1
        limits = valid.limits if self.doubts else constant(min(said, valid.limits.usual))  # ends may be late
        program = self.decoders(static, limits).program(Greedy())

        def decoded(source: Any) -> None:
            decode(program, parameters, [source], copies, 1, longest)

        return median_seconds(decoded, [sources[place] for place in chosen], pin=not self.single)

    def _fresh(self, static: Signature, seed: int, rank: int | None = None) -> TrainState:
        """Return the state at step 0 from drawn parameters, those of factors where they have a rank."""
        model = model_of(static)
        own = None if rank is None else initial_factors(model, seed, rank)
        return new_state(initialise(model, seed), own)

    def _begin(self, segment: Segment, static: Signature) -> Checkpoint:
        rank = rank_of(from_dict(Seq2Seq, segment.configuration))
        if segment.checkpoint is None:
            values = self._start_values(static, segment.seed, start_of(segment))
            own = None if rank is None else initial_factors(model_of(static), segment.seed, rank)
            return Checkpoint(new_state(values, own), 0)
        begin = checkpoints.read(self.checkpoints, segment.checkpoint, self._fresh(static, segment.seed, rank))
        if int(begin.state.step) != segment.from_step:
            raise TrialFailure(FailureReason.CORRUPT_CHECKPOINT, "the checkpoint is of another step")
        return begin

    def _base(self, segment: Segment, static: Signature) -> Parameters | None:
        """Return the parameters that the factors of a trial are added to; nothing where it trains its parameters."""
        if rank_of(from_dict(Seq2Seq, segment.configuration)) is None:
            return None
        start = start_of(segment)
        found: Parameters = self.bases(static, segment.seed if start == DRAWN else 0, start)
        return found

    def _start_values(self, static: Signature, seed: int, start: str) -> Mapping[str, NDArray[np.float32]]:
        """Return what a trial begins with: drawn parameters, those of the bundle, or those of a pre-training."""
        fresh = initialise(model_of(static), seed)
        if start == DRAWN:
            return fresh
        if start in self.starts:
            values = averaged(checkpoints.read_tensors(self.checkpoints, self.starts[start]))
        else:
            values = self.table.corpus.parameters
        shapes = ({name: value.shape for name, value in each.items()} for each in (fresh, values))
        if next(shapes) != next(shapes):
            raise TrialFailure(FailureReason.BAD_DATA, f"the parameters of start {start!r} are of another model")
        return values

    def _train(
        self, segment: Segment, static: Signature, watch: Stopwatch, report: Report, stop: Stop
    ) -> tuple[Checkpoint, Mapping[str, Any]]:
        """Return where training ended, and how it was computed."""
        begin, configuration = self._begin(segment, static), from_dict(Seq2Seq, segment.configuration)
        dataset, reported = self.dataset(configuration), -math.inf
        state, added, place = self._placed(begin, segment, static, dataset)
        order = self._order(dataset, segment)
        course = Course(segment, configuration, order, begin.tokens, dataset.variation(configuration))
        feed = dataset.runs(order, segment.seed, segment.from_step, place)
        for run, pairs in course.runs(feed, stop, watch):
            chunk = course.chunk(run)
            inputs = (state, pairs, chunk, *added)
            key = self._key(static, run, course, inputs, watch)
            if run.first_step > segment.from_step and not self._fits(course, key, inputs, watch):
                at_hand = [each for each in self._larger(key, order) if self._is_at_hand(each, inputs)]
                if not at_hand:
                    break
                key = at_hand[0]
            program = self._compiled(key, inputs, watch, report)
            with watch.part("training"):
                state, losses = program(*inputs)
                losses.block_until_ready()  # or the seconds would be those of whoever waits next
                loss = None if self.mechanism else finite_mean(losses, len(run.rows))
            course.count(run, key[1])
            reported = said_of(run, dataset.base_tokens(course.tokens), loss, reported, report)
        cores = self._cores(dataset)
        return Checkpoint(state if cores == 1 else on_first(state), course.tokens), {
            "program": "alone",
            "slots": 1,
            "cores": cores,
            "padding": course.padding,
        }

    def _placed(
        self, begin: Checkpoint, segment: Segment, static: Signature, dataset: Dataset
    ) -> tuple[TrainState, tuple[Parameters, ...], Callable[[Any], Any]]:
        """Return a state and what it is added to where they are computed with, and what puts other arrays there."""
        base, mesh = self._base(segment, static), core_mesh(self._cores(dataset))
        place: Callable[[Any], Any] = (lambda tree: tree) if mesh is None else partial(on_all, mesh=mesh)
        state, *added = place((begin.state, *(() if base is None else (base,))))
        return state, tuple(added), place

    def _cores(self, dataset: Dataset) -> int:
        """Return the cores that share the rows of a batch; each has enough to be worth it."""
        if self.mechanism is not None:
            return 1
        rows = dataset.plan.batch_size
        return max(n for n in range(1, self.cores + 1) if n == 1 or (rows % n == 0 and rows // n >= LEAST_ROWS))

    def _order(self, dataset: Dataset, segment: Segment) -> BatchPlan | PoissonPlan:
        """Return the batches of a segment."""
        order = dataset.order(from_dict(Seq2Seq, segment.configuration))
        return order if self.mechanism is None else PoissonPlan.of(order, self.mechanism, segment)

    def _key(self, static: Signature, run: Run, course: Course, inputs: tuple[Any, ...], watch: Stopwatch) -> Any:
        """Return what the program of a run is known by.

        A new trial takes the rows of a shape in the largest that does not cost far more, unless their own was compiled
        in this process before: for a first look one compilation is enough, if it is not long, and padding changes no
        number but by rounding. One that goes on, or looks for long, does so as long as their own is being compiled by
        another process, or beside it.
        """
        own, order = self._own_key(static, run, course, inputs), course.order
        roomy = order.roomy(run.bucket) if self.compiler is None else order.hull  # compiling there costs most of all
        if own in self.compiled or run.bucket == roomy:
            return own
        is_long = self.is_timed and self._is_long(course, watch)
        waits = (course.segment.from_step == 0 and not is_long) or self._is_awaited(own, inputs)
        return (static, roomy, *own[2:]) if waits else own

    def _is_long(self, course: Course, watch: Stopwatch) -> bool:
        """Say whether a segment will train for so long that it is worth compiling for it."""
        return course.expected_seconds(watch) > LONG_LOOK * max(self.slowest_compilation, QUICK_COMPILATION)

    def _own_key(self, static: Signature, run: Run, course: Course, inputs: tuple[Any, ...]) -> Any:
        """Return what the program of a run in its own shape is known by."""
        of, room = course.configuration, (len(inputs[2].rows), len(inputs[1].weights))
        dataset = self.dataset(of)
        rest = (alike(of.optimizer), self._cores(dataset), of.tuned == "lora", dataset.table.digest, room)
        return (static, run.bucket, *rest)

    def _is_awaited(self, key: Any, inputs: tuple[Any, ...]) -> bool:
        """Say whether a program is being compiled beside training; on an accelerator, asking for it begins that."""
        if self.compiler is None:
            return self.is_timed and self.programs.is_compiled_elsewhere(_name(key), inputs)
        if key not in self.awaited:
            source = Source("automl.training.executables:train_program", key[:5])
            self.awaited[key] = self.compiler.submit(_name(key), source, inputs)
        return not self.awaited[key].done()

    def _fits(self, course: Course, key: Any, inputs: tuple[Any, ...], watch: Stopwatch) -> bool:
        """Say whether a program is compiled, or could be within the seconds of the segment."""
        return self._is_at_hand(key, inputs) or course.seconds_left(watch) > self.slowest_compilation

    def _is_at_hand(self, key: Any, inputs: tuple[Any, ...]) -> bool:
        return key in self.compiled or self.programs.at_hand(_name(key), inputs)

    def _larger(self, key: Any, order: BatchPlan | PoissonPlan) -> list[Any]:
        """Return by what the programs are known that could take the rows of another, the cheapest first."""
        static, bucket, *rest = key
        return [(static, shape, *rest) for shape in order.within_reach(bucket)]

    def _compiled(self, key: Any, inputs: tuple[Any, ...], watch: Stopwatch, report: Report) -> Callable[..., Any]:
        if key not in self.compiled:
            report(Beat("compiling"))
            with watch.part("compiling"):
                begun = time.monotonic()
                build = partial(train_program, *key[:5])
                self.compiled[key] = self.programs.get(_name(key), build, inputs)
                self.slowest_compilation = max(self.slowest_compilation, time.monotonic() - begun)
            report(Beat("training"))
        return self.compiled[key]


def _name(key: Any) -> str:
    """Return by what the cache knows the program of a key."""
    return repr(("train", *key[:5]))
