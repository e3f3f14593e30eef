"""Constraints: what every model of a search must keep to, counted on the search's data before anything is trained.

Latency alone is measured, on what is trained; before that it is foretold by what was measured of others.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from automl.data.batching import BATCH_TOKENS, filling, plan, rows_of
from automl.data.table import TokenTable, tokenized, tokens_of
from automl.latencies import OPERATIONS_A_SECOND, Latencies
from search_spaces import costs, tokenizers
from search_spaces.costs import Extent
from search_spaces.seq2seq import Seq2Seq


class Shapes(NamedTuple):
    """What a model is given on some data: a row of median lengths, and the largest batch of training."""

    row: Extent
    batch: Extent

    @staticmethod
    def of(table: TokenTable) -> "Shapes":
        """Return the shapes of train; a target's tokens include its begin or end."""
        split, sizes = table.split("train"), table.meta["vocabulary"]
        offsets = (split.source_offsets, split.target_offsets)
        source, target = (int(np.median(np.diff(each))) for each in offsets)
        objects = filling(split) if table.target_tokenizer.kind is tokenizers.Boxes else 0
        batches = plan(split, rows_of(split, BATCH_TOKENS), 1, objects)
        longest = [max(bucket.source for bucket in batches.buckets), max(bucket.target for bucket in batches.buckets)]
        vocabularies = sizes["source"], sizes["target"]
        return Shapes(
            Extent(*vocabularies, 1, max(source, 1), target + 1), Extent(*vocabularies, batches.batch_size, *longest)
        )


class Cost(NamedTuple):
    """What can be limited: what it is called, and how it is computed."""

    called: str
    measure: Callable[[Seq2Seq, Shapes], int]


COSTS: Mapping[str, Cost] = {
    "parameters": Cost(
        "parameters", lambda c, shapes: costs.parameters(c, shapes.row.source_vocabulary, shapes.row.target_vocabulary)
    ),
    "operations": Cost(
        "floating-point operations a forward pass", lambda c, shapes: costs.forward_operations(c, shapes.row)
    ),
    "memory": Cost("bytes in training", lambda c, shapes: costs.step_memory(c, shapes.batch)),
}


class Constraints:
    """The limits of a search; also knows which of the configurations it was asked about came nearest to them."""

    def __init__(self, limits: Mapping[str, int], table: TokenTable, latency: float | None = None) -> None:
        """Take the limits.

        Args:
            limits: The most of each of `COSTS` that is limited.
            table: Of the search's corpus.
            latency: Seconds that a greedy decode may take.
        """
        self._limits = limits
        self._latency = latency
        self._shapes = cache(lambda tokens: Shapes.of(tokenized(table.corpus, tokens)))
        self._nearest: tuple[float, str] | None = None
        self._latencies = Latencies()
        self._refused: set[Seq2Seq] = set()

    @property
    def refused(self) -> int:
        """Number of different configurations that were drawn and are over a limit."""
        return len(self._refused)

    def admit(self, configuration: Seq2Seq) -> bool:
        """Say whether a configuration keeps to all limits."""
        within = all(self._within(name, limit, configuration) for name, limit in self._limits.items())
        if within and self._is_fast(configuration):
            return True
        self._refused.add(configuration)
        return False

    def learn(self, configuration: Seq2Seq, scores: Mapping[str, float]) -> None:
        """Take note of what was measured of a configuration."""
        if "latency" in scores:
            self._latencies.learn(configuration, self._row(configuration), scores["latency"])

    def seconds_a_token(self, configuration: Seq2Seq) -> float:
        """Return the training seconds that are expected of a target token, from counts alone."""
        return self.operations_a_token(configuration) / OPERATIONS_A_SECOND

    def operations_a_token(self, configuration: Seq2Seq) -> float:
        """Return the floating-point operations of training for a target token."""
        batch = self._shapes(tokens_of(configuration)).batch
        return costs.step_operations(configuration, batch) / (batch.rows * batch.target)

    def costs(self, names: Collection[str], configuration: Seq2Seq) -> dict[str, float]:
        """Return what a configuration costs, of the costs that are counted."""
        shapes = self._shapes(tokens_of(configuration))
        return {name: float(cost.measure(configuration, shapes)) for name, cost in COSTS.items() if name in names}

    def explain(self) -> str:
        """Say in one sentence that nothing keeps to the limits, and what comes nearest."""
        said = "no configuration is within the constraints"
        return said if self._nearest is None else f"{said}; the nearest that was found, {self._nearest[1]}"

    def _is_fast(self, configuration: Seq2Seq) -> bool:
        if self._latency is None:
            return True
        expected = self._latencies.predict(configuration, self._row(configuration))
        return expected is None or expected <= self._latency

    def _row(self, configuration: Seq2Seq) -> Extent:
        return self._shapes(tokens_of(configuration)).row

    def _within(self, name: str, limit: int, configuration: Seq2Seq) -> bool:
        tokens = tokens_of(configuration)
        most = tokenizers.most(tokens.source, tokens.target)
        if name == "parameters" and most is not None and costs.parameters(configuration, *most) <= limit:
            return True  # whatever the vocabulary is, so that no table is built
        found = COSTS[name].measure(configuration, self._shapes(tokens))
        if found > limit and (self._nearest is None or found / limit < self._nearest[0]):
            families = " → ".join(type(kind).__name__ for kind in (configuration.encoder, configuration.decoder))
            self._nearest = found / limit, f"{families}, has {found:,} {COSTS[name].called}, and {limit:,} are allowed"
        return found <= limit
