"""Fields: several columns of a row as one source, each behind a mark of its own."""

import json
import re
from collections.abc import Mapping, Sequence
from math import isnan

from automl.data.tokenizers import normalise
from automl.errors import InputError

MOST = 16
"""Columns of a source, at most."""
_FIRST = 0xE010
MARKS = re.compile(f"[{chr(_FIRST)}-{chr(_FIRST + MOST - 1)}]")
"""The marks of columns."""

Raw = str | Mapping[str, object]
"""What a prediction is asked for: a text, or texts by the names of the columns."""


def mark(index: int) -> str:
    """Return the mark before a column: a character of private use, one token whatever tokens are but bytes."""
    return chr(_FIRST + index)


def joined(texts: Sequence[str]) -> str:
    """Return the texts of several columns as one source; a column without text keeps its mark.

    One column alone is its text. Where no column has a text there is none.
    """
    if len(texts) == 1:
        return normalise(texts[0])
    clean = [normalise(MARKS.sub("", text)) for text in texts]
    return normalise(" ".join(f"{mark(i)} {text}" for i, text in enumerate(clean))) if any(clean) else ""


def source_of(raw: Raw, columns: Sequence[str | int]) -> str:
    """Return the source that a row of `columns` stands for, in the order in which a document names them.

    A text is a source already where it begins with a mark; else it is a JSON object with the columns as keys, or has
    tabs between the columns. Columns that are absent are empty.

    Raises:
        InputError: It has a column that the task does not have, or more columns.
    """
    if isinstance(raw, str) and (len(columns) == 1 or raw.startswith(mark(0))):
        return normalise(raw)
    named = raw if isinstance(raw, Mapping) else object_in(raw)
    if named is not None:
        return joined(_by_name(named, columns))
    texts = str(raw).rstrip("\r\n").split("\t")
    if len(texts) > len(columns):
        raise InputError(f"a source of {len(texts)} columns; this model reads {_listed(columns)}, divided by tabs")
    return joined([*texts, *[""] * (len(columns) - len(texts))])


def in_digits(value: object) -> object:
    """Return a whole number, also as pandas has it beside gaps, or a truth value as its text, and NaN as nothing."""
    if isinstance(value, float) and (isnan(value) or value.is_integer()):
        return None if isnan(value) else str(int(value))
    return json.dumps(value) if isinstance(value, int) else value


def object_in(raw: str) -> Mapping[str, object] | None:
    """Return the JSON object that a text is, if it is one."""
    if not raw.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _by_name(values: Mapping[str, object], columns: Sequence[str | int]) -> list[str]:
    names = [str(column) for column in columns]
    unknown = [key for key in values if key not in names]
    if unknown and len(unknown) == len(values):
        raise InputError(
            f"a source has the column {unknown[0]!r} and none of those that this model reads: {_listed(names)}"
        )
    return [_text(name, values.get(name)) for name in names]


def _text(name: str, value: object) -> str:
    """Return the text of a column; nothing is an empty one, and a whole number its digits, as in files."""
    value = in_digits(value)
    if value is not None and not isinstance(value, str):
        raise InputError(f"a source's {name!r} is not a text; write it as a string")
    return value or ""


def _listed(columns: Sequence[str | int]) -> str:
    return ", ".join(map(repr, columns))
