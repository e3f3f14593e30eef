"""Texts to go on with: a language model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from automl.data.forms import Form
from automl.data.lines import lines
from automl.data.sources import NO_SOURCE, Columns, Pairs, Row, check_file, collect
from automl.errors import InputError
from automl.tasks.profile import Profile
from automl.tasks.task import Task
from search_spaces.dials import Value

EMPTY = "empty"


def read_texts(path: Path, columns: Columns) -> Pairs:
    """Read a file of one text a line; each stands for its source too, by which it is told from the others.

    Raises:
        InputError: The file cannot be read, or holds no text, or columns are named.
    """
    check_file(path, GENERATION.suffixes)
    if columns != Columns():
        raise InputError(f"{path}: a .txt file has no columns; leave [data] source, target and weight out")
    pairs = collect(path, (Row(number, [line], [line]) for number, line in enumerate(lines(path), start=1)))
    dropped, first = (
        {EMPTY if reason == NO_SOURCE else reason: count for reason, count in counts.items()}
        for counts in (pairs.dropped, pairs.first_dropped)
    )
    return replace(pairs, dropped=dropped, first_dropped=first)


GENERATION = Form("texts", read_texts, suffixes=(".txt",), has_sources=False)


class Generation(Task):
    """Language modelling (Bengio et al., 2003): a decoder without an encoder, scored by what a character costs."""

    kind: ClassVar[str] = "generation"
    metrics: ClassVar[tuple[str, ...]] = ("bits_per_character", "perplexity")
    form: ClassVar[Form] = GENERATION
    tokens: ClassVar[Mapping[str, str]] = {"source_tokens": "characters"}
    preferred: ClassVar[Mapping[str, Value]] = {
        "decoder.Recurrent.hidden_size": 256,
        "optimizer.AdamW.learning_rate": 0.001,
        "target_tokens.BytePairs.vocabulary_size": 1000,
    }

    @classmethod
    def suits(cls, profile: Profile) -> str | None:
        """Say that there is one column only."""
        return "texts without a source, one a line" if profile.source is None and profile.suffix == ".txt" else None
