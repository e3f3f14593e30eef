"""A small trial, and what varies it."""

from dataclasses import replace
from typing import Any

from automl.data.batching import plan
from automl.errors import TrialFailure
from automl.segments import Beat, Report, Segment, SegmentResult, Workload
from automl.training.trainer import Trainer
from search_spaces.attention import Additive
from search_spaces.decoders import Recurrent as Decoder
from search_spaces.dials import to_dict
from search_spaces.encoders import Recurrent as Encoder
from search_spaces.optimizers import AdamW
from search_spaces.schedules import WarmupStableDecay
from search_spaces.seq2seq import Seq2Seq

CONFIGURATION = Seq2Seq(
    encoder=Encoder("gru", 24, 1, True),
    decoder=Decoder("gru", 32, 1, Additive(24)),
    optimizer=AdamW(learning_rate=0.01, weight_decay=0.01),
    schedule=WarmupStableDecay(20),
    dropout=0.1,
    label_smoothing=0.1,
)
ROWS, EPOCH, CHUNK = 64, 10, 4
"""Rows of a batch, steps in an epoch (of 600 rows) and batches of its longest chunks."""


def new_trainer(workload: Workload) -> Trainer:
    """A trainer whose chunks are so short that a trial can be left in the middle of an epoch."""
    trainer = Trainer(workload)
    trainer.dataset(CONFIGURATION).plan = plan(trainer.table.split("train"), ROWS, CHUNK)
    return trainer


def segment(configuration: Seq2Seq = CONFIGURATION, **values: Any) -> Segment:
    defaults: dict[str, Any] = {"trial": 3, "configuration": to_dict(configuration), "seed": 5, "to_tokens": 20_000}
    return Segment(**defaults | values)


def onward(begin: SegmentResult, **values: Any) -> Segment:
    return segment(from_step=begin.step, checkpoint=begin.checkpoint, **values)


def varied(**dials: Any) -> Seq2Seq:
    return replace(CONFIGURATION, **dials)


def silent(beat: Beat) -> None:
    """Stands for a report that nobody reads."""


def never() -> bool:
    return False


class After:
    """Stops a trial after so many chunks."""

    def __init__(self, chunks: int) -> None:
        self.left = chunks

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def trained(trainer: Trainer, job: Segment, report: Report = silent, stop: Any = never) -> SegmentResult:
    result = trainer.run(job, report, stop)
    assert isinstance(result, SegmentResult)
    return result


def failure(trainer: Trainer, job: Any, report: Report = silent) -> TrialFailure:
    try:
        trainer.run(job, report, After(9))
    except TrialFailure as failed:
        return failed
    raise AssertionError("the trial did not fail")
