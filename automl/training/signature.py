"""Signatures: the few facts about a trial that a compiled program must know; all else is data to it."""

import dataclasses
from dataclasses import dataclass

from search_spaces.optimizers import AdamW
from search_spaces.seq2seq import Seq2Seq


@dataclass(frozen=True)
class Signature:
    """What must be static: kinds, sizes, vocabularies, batch.

    Two trials with equal signatures share every compiled program. Learning rate, weight decay,
    dropout, label smoothing, schedule and seed are arrays, so the configuration here has their
    defaults.
    """

    configuration: Seq2Seq
    source_vocabulary: int
    target_vocabulary: int
    batch_size: int


def signature(configuration: Seq2Seq, source_vocabulary: int, target_vocabulary: int, batch_size: int) -> Signature:
    """Return the signature of a configuration on a task."""
    static = dataclasses.replace(configuration, optimizer=AdamW(), dropout=0.0, label_smoothing=0.0)
    return Signature(static, source_vocabulary, target_vocabulary, batch_size)
