"""Headers: first rows that name columns rather than being a pair."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from automl.errors import InputError

SOURCE_NAMES = ("source", "src", "input", "text", "sentence", "document", "article", "question", "prompt", "word")
TARGET_NAMES = (
    *("target", "tgt", "output", "label", "class", "category", "summary", "answer", "response", "translation"),
    *("phones", "pronunciation"),
)
OTHER_NAMES = ("id", "index", "weight", "title", "context", "history", "sentiment", "language", "split", "headline")
WEIGHT_NAMES = ("weight", "weights", "count", "frequency")
PEEKED = 1_000
"""Rows that are compared with a first row that may be a header."""
FEWEST_NUMBERS, FEWEST_OF_CLASSES, ROWS_PER_CLASS = 5, 20, 10
MOST_NAME_WORDS, FEWEST_TEXT_WORDS = 3, 4
NO_NUMBERS = ("nan", "na", "n/a", "none", "null", "inf", "-inf", "+inf", "infinity")
"""What stands among numbers where there is none."""

_ROW_NAME = re.compile(r"(?i:id|idx|index|uid|uuid|guid|split|.*_id)|.*[a-z]I[dD]")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def is_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a first row names columns: by usual names, as it stands over numbers, or as it is unlike what follows.

    Half of its texts are usual names, and none is a value of its column; or one that is no number stands over nothing
    but numbers; or one stands over classes and is none of them, and the others are short beside texts.
    """
    return _has_names(first, rows) or stands_over_numbers(first, rows) or _stands_over_classes(first, rows)


def without_header(path: Path, first: Sequence[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """Return the rows after a first one that nothing says is a header.

    Raises:
        InputError: It is one all the same: its names are all usual, or one is over numbers.
    """
    following = list(islice(rows, PEEKED))
    if stands_over_numbers(first, following) or (_has_usual_names(first) and is_header(first, following)):
        raise InputError(
            f"{path}: its first row looks like names of columns ({', '.join(first)}); say which are a pair by [data] "
            "source and target, or leave the row out; if it is a pair, by source = 0 and target = 1"
        )
    return chain(following, rows)


def _has_usual_names(first: Sequence[str]) -> bool:
    return {*SOURCE_NAMES, *TARGET_NAMES, *OTHER_NAMES}.issuperset(name.strip().casefold() for name in first)


def numbers_rows(name: str) -> bool:
    """Whether a column of some name numbers, labels or weighs rows rather than being a part of them."""
    return bool(_ROW_NAME.fullmatch(name.strip())) or name.strip().casefold() in WEIGHT_NAMES


def are_labels(texts: Sequence[str]) -> bool:
    """Whether texts label rows: no two are the same, and each is one word with a digit."""
    labels = all(len(text.split()) == 1 and any(map(str.isdigit, text)) for text in texts)
    return labels and len(texts) > 1 and len(set(texts)) == len(texts)


def stands_over_numbers(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a text of a first row, or none as pandas writes it, is over numbers alone, or the name of labels."""
    return _are_distinct(first) and any(
        _is_number_like(name, list(_below(rows, index))) for index, name in enumerate(first)
    )


def _is_number_like(name: str, below: Sequence[str]) -> bool:
    filled = [text for text in below if text]
    if len(filled) < FEWEST_NUMBERS or (name.strip() and not any(map(str.isalpha, name))):
        return False
    if _NUMBER.fullmatch(name.strip()) or name.strip().casefold() in NO_NUMBERS:
        return False
    if not name.strip() and len(filled) < len(below):  # a row that lacks its number is no header
        return False
    return all(map(_NUMBER.fullmatch, filled)) or (numbers_rows(name) and are_labels(below))


def _has_names(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    names = [name.strip().casefold() for name in first]
    usual = sum(name in SOURCE_NAMES + TARGET_NAMES + OTHER_NAMES for name in names)
    if not _are_distinct(first) or 2 * usual < len(names):
        return False
    return not any(row[index : index + 1] == [name] for row in rows for index, name in enumerate(first))


def _stands_over_classes(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    if not _are_distinct(first) or not all(_is_short(name) for name in first):
        return False
    columns = [[text for text in _below(rows, index) if text] for index in range(len(first))]
    if any(name.strip() in column for name, column in zip(first, columns, strict=True)):
        return False
    classed = [_has_classes(column) for column in columns]
    texts = (column for column, few in zip(columns, classed, strict=True) if not few)
    return any(classed) and any(_mean_words(column) >= FEWEST_TEXT_WORDS for column in texts)


def _has_classes(texts: Sequence[str]) -> bool:
    return len(texts) >= FEWEST_OF_CLASSES and len(set(texts)) * ROWS_PER_CLASS <= len(texts)


def _is_short(name: str) -> bool:
    return 1 <= len(name.split()) <= MOST_NAME_WORDS


def _are_distinct(first: Sequence[str]) -> bool:
    names = [name.strip().casefold() for name in first]
    return 2 <= len(names) == len(set(names))


def _below(rows: Iterable[Sequence[str]], index: int) -> Iterator[str]:
    return (row[index].strip() if index < len(row) else "" for row in rows if any(map(str.strip, row)))


def _mean_words(texts: Sequence[str]) -> float:
    return sum(len(text.split()) for text in texts) / max(len(texts), 1)
