"""Documents with a budget of time, and how often their first trial sees train within it."""

from pathlib import Path
from typing import Any

import pytest

from automl.data.corpus import build_corpus
from automl.data.table import TokenTable, tokenized, tokens_of
from automl.passes import SPEED, expected_passes
from automl.planning import space_of
from automl.tasks.document import TaskDocument, document_from_mapping
from search_spaces.spaces import Space

Given = tuple[TaskDocument, Space, TokenTable]


def given(folder: Path, length: int = 3, pairs: int = 1000, **budget: Any) -> Given:
    """Return a document with so many pairs of a length, its space and their table."""
    lines = [f"{number:0{length}}\t{number:0{length}}\n" for number in range(pairs)]
    (folder / "train.tsv").write_text("".join(lines))
    data = {"train": "train.tsv", "source_tokens": "characters", "target_tokens": "characters"}
    document = document_from_mapping({"name": "times", "data": data, "budget": budget}, folder)
    corpus = build_corpus(document, folder / "cache")
    space = space_of(document, corpus)
    return document, space, tokenized(corpus, tokens_of(space.default()))


def slower(document: Given, monkeypatch: pytest.MonkeyPatch, passes: float) -> Given:
    """Let the first trial see train so many times."""
    monkeypatch.setattr("automl.passes.SPEED", SPEED * passes / (expected_passes(*document) or 0.0))
    return document
