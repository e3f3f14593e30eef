"""A data set: the pairs of a task in the tokens of one configuration, ready to be trained and scored on."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property

import numpy as np

from automl.data.batching import BATCH_TOKENS, FEW, BatchPlan, Run, Shapes, filling, plan, rows_of
from automl.data.table import TokenTable
from automl.data.tokenizers import SPECIAL_TOKENS
from automl.errors import FailureReason, TrialFailure
from automl.metrics import Metric
from automl.training.arrays import DeviceSplit, on_device
from automl.training.augmentation import NO_BOXES, Scene, Variation
from automl.training.evaluation import Evaluator
from automl.training.losses import SoftTargets
from automl.training.programs import Programs
from automl.training.sampling import PoissonPlan
from automl.training.stream import most_bytes, streamed
from search_spaces.augmentation import Varied
from search_spaces.seq2seq import Seq2Seq

CHUNK = 16
"""Batches of a chunk, at most."""


def _here(pairs: DeviceSplit) -> DeviceSplit:
    return pairs


class Dataset:
    """Pairs on the device, the order of batches and the evaluators, each from when it is first asked for.

    Tokens are counted as those of the search's base table wherever trials are compared: a trial has seen so many of
    them when it has seen the share of train that they are.
    """

    def __init__(
        self,
        table: TokenTable,
        base: TokenTable,
        metrics: Sequence[Metric],
        programs: Programs,
        resident: int | None = None,
        soft: Callable[[], SoftTargets | None] = lambda: None,
        shapes: Shapes = FEW,
    ) -> None:
        """Train on a table; its train is streamed where it has more than `resident` bytes, by default of the device.

        Where there are soft targets, which are held whole, train is as well.
        """
        self.table = table
        self._resident = resident
        self._base = base
        self._soft, self._shapes = soft, shapes
        self.evaluator = cache(
            lambda split, slack=2.0: Evaluator(
                table, split, metrics, programs, self._rate(split), slack, shapes if split == "valid" else FEW
            )
        )

    @cached_property
    def data(self) -> DeviceSplit:
        """The training pairs on the device, with what a teacher expects of them, where there is one."""
        soft = self._soft()
        if soft is not None and len(soft.tokens) != self.table.said_tokens("train"):
            raise TrialFailure(FailureReason.BAD_DATA, "the soft targets are of other tokens")
        return on_device(self.table.split("train"), self.table.copies, soft=soft)

    @cached_property
    def is_streamed(self) -> bool:
        """Whether train is brought to the device a few batches at a time."""
        most = most_bytes() if self._resident is None else self._resident
        return self._soft() is None and self.table.split("train").bytes > most

    def runs(
        self,
        order: BatchPlan | PoissonPlan,
        seed: int,
        from_step: int,
        place: Callable[[DeviceSplit], DeviceSplit] = _here,
    ) -> Iterator[tuple[Run, DeviceSplit]]:
        """Yield the runs of an order from a step on, each with the pairs that its rows are of, put in a place."""
        if self.is_streamed:
            train = self.table.split("train")
            return ((run, place(own)) for run, own in streamed(order, train, self.table.copies, seed, from_step))
        pairs = place(self.data)
        if isinstance(order, PoissonPlan):  # the program is then that of streamed pairs, to the bit
            pairs = pairs.known_by(np.arange(order.rows, dtype=np.int32))
        return ((run, pairs) for run in order.runs(seed, from_step))

    @cached_property
    def plan(self) -> BatchPlan:
        """The order of batches, a batch a step."""
        train = self.table.split("train")
        return plan(train, rows_of(train, BATCH_TOKENS), CHUNK, shapes=self._shapes)

    @cached_property
    def filled(self) -> BatchPlan:
        """The order of batches with room for objects that are none."""
        train = self.table.split("train")
        return plan(train, rows_of(train, BATCH_TOKENS), CHUNK, filling(train), self._shapes)

    def order(self, configuration: Seq2Seq) -> BatchPlan:
        """Return the order of batches of a configuration."""
        varied = configuration.augmentation
        fills = isinstance(varied, Varied) and varied.noise_objects and self.bins > 0
        return (self.filled if fills else self.plan).of_tokens(configuration.batch_tokens)

    def variation(self, configuration: Seq2Seq) -> Variation:
        """Return how the images and boxes of a configuration are varied."""
        classes = self.table.meta["vocabulary"]["target"] - len(SPECIAL_TOKENS) - self.bins
        scene = Scene(self.bins, classes, self.order(configuration).objects)
        return Variation.of(configuration.augmentation, scene if self.bins else NO_BOXES)

    @cached_property
    def bins(self) -> int:
        """The steps along a side of boxes; 0 where targets are none."""
        return getattr(self.table.target_tokenizer, "bins", 0)

    def own_tokens(self, base_tokens: int) -> int:
        """Return the fewest of its own tokens that are at least so many of the base table's."""
        return -(-base_tokens * self.table.said_tokens("train") // self._base.said_tokens("train"))

    def base_tokens(self, own_tokens: int) -> int:
        """Return how many of the base table's tokens so many of its own are."""
        return own_tokens * self._base.said_tokens("train") // self.table.said_tokens("train")

    def _rate(self, split: str) -> float:
        return self.table.said_tokens(split) / self._base.said_tokens(split)
