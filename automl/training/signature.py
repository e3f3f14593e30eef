"""Signatures: the few facts about a trial that a compiled program must know; all else is data to it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from automl.decoding.footprint import Footprint
from search_spaces.seq2seq import READING, RECIPE, Seq2Seq

DATA = (*RECIPE, *READING)
"""The fields that are no part of a program; of the tokenizers it knows the sizes."""


@dataclass(frozen=True)
class Signature:
    """What must be static: kinds, sizes, vocabularies, batch.

    Two trials with equal signatures share every compiled program. The recipe and the seed are arrays, and of the
    tokenizers only the sizes matter, so the configuration here has their defaults. `batch_size` are the rows of a
    batch, of which a step may take several. `others` are the further members of an ensemble.
    """

    configuration: Seq2Seq
    source_vocabulary: int
    target_vocabulary: int
    batch_size: int
    others: tuple[Seq2Seq, ...] = ()

    def footprint(self, *, refuses: bool = False) -> Footprint:
        """Return what rows of a batch take; a trainer, whose memory is watched, refuses none."""
        models = (self.configuration, *self.others)
        return Footprint(models, self.source_vocabulary, self.target_vocabulary, refuses)


def signature(
    configuration: Seq2Seq,
    source_vocabulary: int,
    target_vocabulary: int,
    batch_size: int,
    others: Sequence[Seq2Seq] = (),
) -> Signature:
    """Return the signature of a configuration on a task, or of several that speak as one."""
    static, *rest = (
        dataclasses.replace(each, **{name: getattr(Seq2Seq(), name) for name in DATA})
        for each in (configuration, *others)
    )
    return Signature(static, source_vocabulary, target_vocabulary, batch_size, tuple(rest))
