"""Signatures: the few facts about a trial that a compiled program must know; all else is data to it."""

import dataclasses
from dataclasses import dataclass

from search_spaces.seq2seq import RECIPE, Seq2Seq


@dataclass(frozen=True)
class Signature:
    """What must be static: kinds, sizes, vocabularies, batch.

    Two trials with equal signatures share every compiled program. The recipe and the seed are arrays, so the
    configuration here has the default recipe. `batch_size` are the rows of a batch, of which a step may take several.
    """

    configuration: Seq2Seq
    source_vocabulary: int
    target_vocabulary: int
    batch_size: int


def signature(configuration: Seq2Seq, source_vocabulary: int, target_vocabulary: int, batch_size: int) -> Signature:
    """Return the signature of a configuration on a task."""
    static = dataclasses.replace(configuration, **{name: getattr(Seq2Seq(), name) for name in RECIPE})
    return Signature(static, source_vocabulary, target_vocabulary, batch_size)
