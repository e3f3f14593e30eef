"""Evaluation: a trial's scores on valid or test."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from automl.data.batching import Bucket
from automl.data.table import Split, TokenTable
from automl.decoding import Program, decode
from automl.metrics import Metric
from automl.models.parameters import Parameters
from automl.training.executables import DeviceSplit, evaluate_program, on_device
from automl.training.signature import Signature

BATCH_SIZE = 64
BY_EXACT_MATCH = {"sequence_error_rate": False, "exact_match": True, "accuracy": True}
"""Metrics that count rows without an error → whether the count is of the right rows."""


class Counts(NamedTuple):
    """Teacher-forced sums over a split."""

    loss: float
    token_accuracy: float
    right: NDArray[np.bool_]


class Evaluator:
    """Scores parameters on one split.

    With one reference a source, greedy output equals it exactly where the teacher-forced argmax does
    at every position, so metrics that count exact matches need no decoding.
    """

    def __init__(self, table: TokenTable, split: str, metrics: Sequence[Metric]) -> None:
        self.table = table
        self.split = split
        self.metrics = metrics
        self.arrays: Split = table.split(split)

    @cached_property
    def device(self) -> DeviceSplit:
        """The split on the device."""
        return on_device(self.arrays)

    @cached_property
    def references(self) -> list[list[str]]:
        """The acceptable targets of each source."""
        return self.table.references(self.split)

    @property
    def needs_decoding(self) -> bool:
        """Whether some metric cannot be had from teacher-forced counts."""
        by_match = all(metric.name in BY_EXACT_MATCH for metric in self.metrics)
        return not by_match or any(len(acceptable) > 1 for acceptable in self.references)

    @property
    def bucket(self) -> Bucket:
        """The shape that every row fits in."""
        source, target = np.diff(self.arrays.source_offsets), np.diff(self.arrays.target_offsets)
        return Bucket(max(int(source.max()), 1), int(target.max()) + 1)

    def rows(self) -> NDArray[np.int32]:
        """Return the row numbers as whole batches, -1 for none."""
        batches = -(-self.arrays.rows // BATCH_SIZE)
        rows = np.full(batches * BATCH_SIZE, -1, np.int32)
        rows[: self.arrays.rows] = np.arange(self.arrays.rows)
        return rows.reshape(batches, BATCH_SIZE)

    def counts(self, signature: Signature, parameters: Parameters) -> Counts:
        """Score each token given the true target before it."""
        sums = evaluate_program(signature, self.bucket)(parameters, self.device, jnp.asarray(self.rows()))
        loss, right, tokens = (np.asarray(x)[: self.arrays.rows] for x in sums)
        sayable = np.diff(self.arrays.target_offsets) <= self.table.meta["max_target_length"]
        total = tokens.sum()
        return Counts(float(loss.sum() / total), float(right.sum() / total), (right == tokens) & sayable)

    def outputs(self, program: Program, parameters: Parameters) -> list[str]:
        """Decode every source of the split."""
        flat, offsets = self.arrays.source, self.arrays.source_offsets
        sources = [flat[offsets[i] : offsets[i + 1]].tolist() for i in range(self.arrays.rows)]
        answers = decode(program, parameters, sources, BATCH_SIZE)
        return self.table.target_tokenizer.decode_batch([answer.tokens for answer in answers])

    def scores(self, signature: Signature, parameters: Parameters, program: Program) -> Mapping[str, float]:
        """Return `loss`, `token_accuracy` and every metric; decode only where a metric needs it."""
        counts = self.counts(signature, parameters)
        scores = {"loss": counts.loss, "token_accuracy": counts.token_accuracy}
        if self.needs_decoding:
            return scores | self.decoded_scores(parameters, program)
        share = float(counts.right.mean())
        return scores | {m.name: share if BY_EXACT_MATCH[m.name] else 1 - share for m in self.metrics}

    def decoded_scores(self, parameters: Parameters, program: Program) -> dict[str, float]:
        """Return every metric of the decoded outputs."""
        outputs = self.outputs(program, parameters)
        tokenize: Any = self.table.target_tokenizer.tokens
        return {m.name: m.function(outputs, self.references, tokenize) for m in self.metrics}
