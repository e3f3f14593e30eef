"""The configurations, drawn once from preset `base` by a seed and kept as a list; what they have in common."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from search_spaces.costs import Extent, step_operations
from search_spaces.dials import from_dict
from search_spaces.seq2seq import Seq2Seq

LIST = Path(__file__).parents[1] / "configurations" / "heterogeneous.jsonl"
ROWS = 64
"""Rows of a batch."""


class Drawn(NamedTuple):
    """A configuration, and the numbers of tokens and the shape of the batches that it has on the data."""

    configuration: Seq2Seq
    extent: Extent


def configurations() -> list[Seq2Seq]:
    """Read the list."""
    return [from_dict(Seq2Seq, json.loads(line)) for line in LIST.read_text(encoding="utf-8").splitlines()]


def named(configuration: Seq2Seq) -> str:
    """Return the kinds of a configuration in a few words."""
    encoder, decoder = configuration.encoder, configuration.decoder
    cells = [f" {part.cell}" if hasattr(part, "cell") else "" for part in (encoder, decoder)]
    kinds = [type(part).__name__ for part in (encoder, decoder, decoder.attention, configuration.optimizer)]
    return f"{kinds[0]}{cells[0]} → {kinds[1]}{cells[1]}, {kinds[2]}, {kinds[3]}"


def without_dropout(configuration: Seq2Seq) -> Seq2Seq:
    """Return a configuration that drops nothing."""
    return replace(configuration, dropout=0.0, token_dropout=0.0, attention_dropout=0.0)


def signatures(found: Sequence[Drawn]) -> int:
    """Return how many programs there are, where trials of one signature share theirs."""
    from automl.training.signature import signature
    from search_spaces.optimizers import alike

    return len(
        {
            (
                signature(own, extent.source_vocabulary, extent.target_vocabulary, ROWS),
                extent.source,
                extent.target,
                alike(own.optimizer),
            )
            for own, extent in found
        }
    )


def hulls(found: Sequence[Drawn]) -> tuple[int, float]:
    """Return how many hulls the configurations would train in, and the waste of padding there.

    The waste are operations at the sizes of the hulls divided by those at the true sizes, over all steps.
    """
    from automl.training.hulls import Hull

    own = [Hull.of(each, extent.source_vocabulary, extent.target_vocabulary) for each, extent in found]
    true = sum(step_operations(*each) for each in found)
    padded = sum(step_operations(hull.members[-1], each.extent) for hull, each in zip(own, found, strict=True))
    return len(set(own)), padded / true
