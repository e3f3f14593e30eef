"""Headers: first rows that name columns rather than being a pair."""

from collections.abc import Sequence

SOURCE_NAMES = ("source", "src", "input", "text", "sentence", "document", "article", "question", "prompt", "word")
TARGET_NAMES = (
    *("target", "tgt", "output", "label", "class", "category", "summary", "answer", "response", "translation"),
    *("phones", "pronunciation"),
)
OTHER_NAMES = ("id", "index", "weight", "title", "context", "history", "sentiment", "language", "split", "headline")
PEEKED = 1_000
"""Rows that are compared with a first row that may be a header."""


def is_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a first row names columns: most of its texts are usual names, and none is a value of its column."""
    names = [name.strip().casefold() for name in first]
    usual = sum(name in SOURCE_NAMES + TARGET_NAMES + OTHER_NAMES for name in names)
    if len(names) < 2 or len(set(names)) < len(names) or 2 * usual < len(names):
        return False
    return not any(row[index : index + 1] == [name] for row in rows for index, name in enumerate(first))


def has_usual_names(first: Sequence[str]) -> bool:
    """Whether all texts of a first row are usual names of columns."""
    return {*SOURCE_NAMES, *TARGET_NAMES, *OTHER_NAMES}.issuperset(name.strip().casefold() for name in first)
