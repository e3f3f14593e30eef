"""Evaluation: a trial's scores on valid or test."""

from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from automl.data.advance import tell
from automl.data.batching import FEW, Bucket, Shapes, plan, rounded
from automl.data.pixels import is_image
from automl.data.table import Split, TokenTable
from automl.decoding.answers import Program, decode, rows_for
from automl.decoding.footprint import Footprint
from automl.metrics import Likelihood, LikelihoodMetric, Metric, TextMetric
from automl.models.parameters import Parameters
from automl.training.arrays import BATCHES, DeviceSplit, capacity, filled, on_device
from automl.training.executables import evaluate_program
from automl.training.losses import TokenCounts
from automl.training.programs import Programs
from automl.training.signature import Signature
from search_spaces.tokenizers import LEARNT

BATCH_SIZE = 64
"""Rows of a batch, unless they would take too much memory."""
FEW_PLACES = 2**17
"""Places of rows padded to the longest, both sides together, up to which a second shape is not worth compiling."""
RESAMPLES = 20
"""So often rows are drawn anew to see how far a score is off by chance."""
RESAMPLED_ROWS = 300
"""So many at most."""
BY_EXACT_MATCH = {"sequence_error_rate": False, "exact_match": True, "accuracy": True}
"""Metrics that count rows without an error → whether the count is of the right rows."""


Shape = tuple[Bucket, NDArray[np.int32]]
"""A shape that rows are padded to at least, and their numbers."""
Forced = Callable[[DeviceSplit, NDArray[np.int32], Bucket], TokenCounts]
"""Counts what is right in some rows of a split, padded to a shape at least."""


class Counts(NamedTuple):
    """Teacher-forced sums over a split; the likelihood is of what a model can say, and so is that of each source."""

    loss: float
    token_accuracy: float
    right: NDArray[np.bool_]
    likelihood: Likelihood
    each: NDArray[np.float64]


class Evaluator:
    """Scores parameters on one split.

    Greedy output equals a reference exactly where the teacher-forced argmax does at every position, so metrics that
    count exact matches need no decoding: each reference of a source is forced, and one that comes out right will do.
    """

    def __init__(
        self,
        table: TokenTable,
        split: str,
        metrics: Sequence[Metric],
        programs: Programs | None = None,
        rate: float = 1.0,
        slack: float = 2.0,
        worth: Shapes = FEW,
    ) -> None:
        """Score on a split.

        `rate` is the number of the table's target tokens for one that losses are given for, `slack` how much longer
        than in train outputs may be, and `worth` how many shapes are worth compiling.
        """
        self.limits = table.limits(slack)
        self.table = table
        self.rate = rate
        self.split = split
        self.metrics = metrics
        self.programs = programs or Programs()
        self.arrays: Split = table.split(split)
        self.worth = worth
        self._shapes = cache(lambda fitting: shapes(self.forced, self.bucket, fitting, worth))

    @cached_property
    def references(self) -> list[list[str]]:
        """The acceptable targets of each source."""
        return self.table.references(self.split)

    @cached_property
    def forced(self) -> Split:
        """A row for each reference of each source; those of one source follow each other."""
        counts = [len(acceptable) for acceptable in self.references]
        if max(counts) == 1:
            return self.arrays
        texts = [text for acceptable in self.references for text in acceptable]
        sources = [row for row, count in zip(self.sources(), counts, strict=True) for _ in range(count)]
        targets = self.table.target_tokenizer.encode_batch(texts)
        return Split(*flat(sources), *flat(targets), rows=len(texts))

    @cached_property
    def firsts(self) -> NDArray[np.int64]:
        """Which row of `forced` holds the first reference of each source."""
        counts = [len(acceptable) for acceptable in self.references]
        return np.cumsum([0, *counts[:-1]])

    @cached_property
    def weights(self) -> NDArray[np.float64] | None:
        """How much each source counts; none where all count the same."""
        return None if self.arrays.weights is None else np.asarray(self.arrays.weights, np.float64)

    @cached_property
    def device(self) -> DeviceSplit:
        """The forced rows on the device."""
        return on_device(self.forced, self.table.copies)

    @property
    def needs_decoding(self) -> bool:
        """Whether some metric cannot be had from teacher-forced counts."""
        learnt = self.table.target_tokenizer.kind in LEARNT  # one text may then be said in several ways
        return any(learnt or metric.name not in BY_EXACT_MATCH for metric in self.text_metrics)

    @property
    def text_metrics(self) -> list[TextMetric]:
        """The metrics that score outputs."""
        return [metric for metric in self.metrics if isinstance(metric, TextMetric)]

    @property
    def bucket(self) -> Bucket:
        """The shape that every row fits in that a model can read and say."""
        source, target = np.diff(self.forced.source_offsets), np.diff(self.forced.target_offsets)
        longest = min(int(source.max()), self.table.meta["max_source_length"])
        return Bucket(max(longest, 1), min(int(target.max()), self.limits.of(longest)) + 1)

    def shapes(self, signature: Signature) -> Sequence[Shape]:
        """Return the shapes that rows are forced in by a model, and the rows of each."""
        return self._shapes(batch_fits(signature, self.bucket))

    def counts(self, signature: Signature, parameters: Parameters, forced: Forced | None = None) -> Counts:
        """Score each token given the true target before it; loss and token accuracy are of the first references."""
        count = forced or partial(forced_sums, self.programs, signature, parameters)
        loss, right, tokens = np.zeros(self.forced.rows), *np.zeros((2, self.forced.rows), np.int64)
        for shape, rows in self.shapes(signature):
            for whole, part in zip((loss, right, tokens), count(self.device, rows, shape), strict=True):
                whole[rows] = np.asarray(part)[: len(rows)]
            tell("scoring", len(rows) / self.forced.rows)
        lengths = np.diff(self.forced.source_offsets)
        fits = np.diff(self.forced.target_offsets) <= [self.limits.of(length) for length in lengths.tolist()]
        fits &= lengths <= self.bucket.source
        matched = np.logical_or.reduceat((right == tokens) & fits, self.firsts)
        first, weights = self.firsts, self.weights
        counted = [np.array([len(texts[0]) + 1 for texts in self.references]), tokens[first], loss[first], right[first]]
        if weights is not None:
            counted = [weights * each for each in counted]
        said = fits[first]
        characters, said_tokens, nats = (float(each[said].sum()) for each in counted[:3])
        likelihood = Likelihood(nats, said_tokens, characters)
        total, each = counted[1].sum() or 1.0, np.stack([counted[place][said] for place in (2, 1, 0)])
        return Counts(float(counted[2].sum() / total), float(counted[3].sum() / total), matched, likelihood, each)

    def prepare(self, signature: Signature, parameters: Parameters) -> None:
        """Get the programs of `counts` ready, by a row of each shape."""
        for shape, rows in self.shapes(signature):
            forced_sums(self.programs, signature, parameters, self.device, rows[:1], shape)

    def outputs(self, program: Program, parameters: Parameters) -> list[str]:
        """Decode every source of the split; one that is too long to read has no output."""
        longest = self.table.meta["max_source_length"]
        answers = decode(program, parameters, self.sources(), self.table.copies, BATCH_SIZE, longest)
        return self.table.target_tokenizer.said(answer.said for answer in answers)

    def sources(self) -> list[Any]:
        """Return the tokens of each source; of an image its bytes."""
        flat, offsets = self.arrays.source, self.arrays.source_offsets
        rows = (flat[begin:end] for begin, end in pairwise(offsets))
        return [row if is_image(row) else row.tolist() for row in rows]

    def forced_scores(
        self, signature: Signature, parameters: Parameters, forced: Forced | None = None, *, spread: bool = False
    ) -> dict[str, float]:
        """Return `loss`, `token_accuracy` and every metric that can be had without decoding.

        `forced` counts what is right given the true target, where the program of the whole model does not; with
        `spread` also `deviation`, where the first metric is of likelihoods.
        """
        counts = self.counts(signature, parameters, forced)
        scores = {"loss": counts.loss * self.rate, "token_accuracy": counts.token_accuracy, **self._likely(counts)}
        first = next(iter(self.metrics), None)
        if spread and isinstance(first, LikelihoodMetric) and counts.each.shape[1] > 1:
            scores["deviation"] = deviation(lambda *each: first.function(Likelihood(*map(sum, each))), *counts.each)
        if self.needs_decoding:
            return scores
        share = float(np.average(counts.right, weights=self.weights))
        return scores | {m.name: share if BY_EXACT_MATCH[m.name] else 1 - share for m in self.text_metrics}

    def final_scores(self, signature: Signature, parameters: Parameters, program: Program) -> dict[str, float]:
        """Return every metric, those of texts from decoded outputs."""
        scores = self.decoded_scores(parameters, program) if self.text_metrics else {}
        if len(self.text_metrics) == len(self.metrics):
            return scores
        return scores | self._likely(self.counts(signature, parameters))

    def decoded_scores(self, parameters: Parameters, program: Program, *, spread: bool = False) -> dict[str, float]:
        """Return every metric of the decoded outputs; with `spread` also `deviation`, where the first is of texts."""
        outputs = self.outputs(program, parameters)
        tokenize: Any = self.table.target_tokenizer.tokens
        weights = None if self.weights is None else self.weights.tolist()
        scores = {m.name: m.score(outputs, self.references, tokenize, weights) for m in self.text_metrics}
        first = self.metrics[0]
        if spread and isinstance(first, TextMetric):

            def score(outputs: Any, references: Any, weights: Any = None) -> float:
                return first.score(outputs, references, tokenize, weights)

            scores["deviation"] = deviation(score, outputs, self.references, weights)
        return scores

    def _likely(self, counts: Counts) -> dict[str, float]:
        return {m.name: m.function(counts.likelihood) for m in self.metrics if isinstance(m, LikelihoodMetric)}


def deviation(score: Callable[..., float], *columns: Sequence[Any] | NDArray[np.float64] | None) -> float:
    """Return the standard deviation of a score of columns over resampled rows: a bootstrap (Koehn, 2004).

    Of many rows fewer are drawn, since a score may take seconds for thousands, and the deviation is made smaller by as
    much (m out of n: Bickel et al., 1997).
    """
    draw = np.random.default_rng(0)
    given = [column for column in columns if column is not None]
    count = len(given[0])
    drawn = min(count, RESAMPLED_ROWS)
    found = []
    for _ in range(RESAMPLES):
        rows = draw.integers(count, size=drawn)
        found.append(score(*([column[row] for row in rows] for column in given)))
    return float(np.std(found, ddof=1) * np.sqrt(drawn / count))


def forced_sums(
    programs: Programs,
    signature: Signature,
    parameters: Parameters,
    device: DeviceSplit,
    rows: NDArray[np.int32],
    bucket: Bucket,
) -> TokenCounts:
    """Return what the evaluation program counts in some rows of a split, in their order."""
    shape = padded(bucket)
    inputs = (parameters, device, *in_batches(rows, forced_rows(signature.footprint(), shape)))
    build = partial(evaluate_program, signature, shape)
    sums: TokenCounts = programs.get(repr(("evaluate", signature, shape)), build, inputs)(*inputs)
    return sums


def shapes(split: Split, whole: Bucket, fitting: bool, worth: Shapes = FEW) -> list[Shape]:
    """Return the shapes that the rows of a split are forced in, none larger than one that holds all of them.

    That is the only one where a batch of it is `fitting`, and rows are few or a program costs more than padding.
    """
    few = jax.default_backend() != "cpu" or split.rows * (whole.source + whole.target) <= FEW_PLACES
    if few and fitting:
        return [(whole, all_rows(split.rows))]
    order = plan(split, BATCH_SIZE, 1, shapes=worth)
    least = (Bucket(min(b.source, whole.source), min(b.target, whole.target)) for b in order.buckets)
    return list(zip(least, order.members, strict=True))


def batch_fits(signature: Signature, shape: Bucket) -> bool:
    """Say whether a batch of a shape may have as many rows as batches have."""
    return forced_rows(signature.footprint(), padded(shape)) == BATCH_SIZE


def forced_rows(footprint: Footprint, shape: Bucket) -> int:
    """Return the rows of a batch of a shape: `BATCH_SIZE`, fewer where these would take too much memory."""
    return rows_for(BATCH_SIZE, footprint.scoring(shape.source, shape.target))


def padded(shape: Bucket) -> Bucket:
    """Return the shape that arrays have for rows of another one."""
    return Bucket(rounded(shape.source), rounded(shape.target))


def in_batches(rows: NDArray[np.int32], size: int) -> tuple[NDArray[np.int32], np.int32]:
    """Return numbers of rows as batches of a size, -1 for none, and how many batches have any."""
    batches = -(-len(rows) // size)
    return filled(rows, capacity(batches, BATCHES) * size, -1).reshape(-1, size), np.int32(batches)


def all_rows(count: int) -> NDArray[np.int32]:
    """Return the numbers of so many rows."""
    return np.arange(count, dtype=np.int32)


def flat(rows: Sequence[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return rows of ids end to end, and where each begins; of images, bytes."""
    lengths = [len(row) for row in rows]
    if rows and is_image(rows[0]):
        return np.concatenate(rows), np.cumsum([0, *lengths], dtype=np.int64)
    return np.array([token for row in rows for token in row], np.int32), np.cumsum([0, *lengths], dtype=np.int64)
