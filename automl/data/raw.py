"""Raw tables: files as they stand, before anything is known of their columns."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from automl.data.dividers import csv_fields, tsv_fields
from automl.data.fields import in_digits
from automl.data.headers import PEEKED, is_header
from automl.data.lines import lines
from automl.data.sources import json_object
from automl.data.turns import KEYS, messages_of, sides
from automl.errors import InputError

MOST_ROWS = 200_000
"""Rows that are looked at, at most."""
FEWEST_LINES, MOSTLY = 10, 0.9
"""Of a .txt file's lines, if so many hold a tab they look like pairs."""
SPLIT_STEMS = {"train": ("train", "training"), "valid": ("valid", "validation", "val", "dev"), "test": ("test",)}


@dataclass(frozen=True)
class RawTable:
    """The rows of one file.

    Attributes:
        header: Names of the columns, where the file has them.
        rows: Texts of each row, as many as it has; missing ones at its end may be left out.
        whole: Whether these are all of its rows; else they are the first.
    """

    path: Path
    header: tuple[str, ...] | None
    rows: Sequence[Sequence[str]]
    whole: bool = True

    @property
    def width(self) -> int:
        """Columns of the header, or of the widest row where there is none."""
        return max(map(len, self.rows), default=0) if self.header is None else len(self.header)

    @property
    def wide(self) -> int:
        """Rows that have more fields than the header."""
        return 0 if self.header is None else sum(any(map(str.strip, row[self.width :])) for row in self.rows)

    def column(self, index: int) -> list[str]:
        """Return the texts of a column, empty where a row ends before it."""
        return [row[index] if index < len(row) else "" for row in self.rows]


def read_raw(path: Path, most: int = MOST_ROWS) -> RawTable:
    """Read the first rows of a file of texts; the first row is a header where it names columns.

    Raises:
        InputError: The file is of an unknown kind, cannot be read, or has no row.
    """
    if path.suffix.lower() not in RAW_READERS:
        raise InputError(
            f"{path}: {path.suffix or 'a file without suffix'} is not looked at; use {', '.join(RAW_READERS)}"
        )
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name a file or a folder of data")
    named, rows = RAW_READERS[path.suffix.lower()](path)
    read = list(islice(rows, most + 2))
    header = tuple(read.pop(0)) if read and (named or is_header(read[0], read[1 : 1 + PEEKED])) else None
    if not read:
        raise InputError(f"{path}: the file has no rows; it needs some to learn from")
    if path.suffix.lower() == ".txt":
        _check_alone(path, read)
    return RawTable(path, header, read[:most], whole=len(read) <= most)


def _check_alone(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Make sure that texts are not pairs under another name."""
    filled = [text for row in rows for text in row if text.strip()]
    if len(filled) >= FEWEST_LINES and sum("\t" in text for text in filled) >= MOSTLY * len(filled):
        raise InputError(
            f'{path}: these look like pairs: call it {path.stem}.tsv, or say kind = "generation" in a document'
        )


def count_rows(path: Path) -> int:
    """Return how many rows a file of Parquet says that it has, without reading them.

    Raises:
        InputError: It cannot be read.
    """
    import polars

    try:
        return int(polars.scan_parquet(path).select(polars.len()).collect().item())
    except (OSError, polars.exceptions.PolarsError):
        raise InputError(f"{path}: cannot be read as Parquet; check the file or write it as .tsv") from None


def find_files(data: Path) -> dict[str, Path]:
    """Return the files of `train`, `valid` and `test` in a folder, or a file alone as `train`.

    Raises:
        InputError: There is nothing there, nothing that is called train, or two files that are called alike.
    """
    if data.is_file():
        return {"train": data}
    if not data.is_dir():
        raise InputError(f"{data}: there is no such file or folder; name what holds the data")
    known = [path for path in sorted(data.iterdir()) if path.suffix.lower() in RAW_READERS and path.is_file()]
    called = {name: [each for each in known if each.stem.casefold() in stems] for name, stems in SPLIT_STEMS.items()}
    found = {name: only(data, name, paths) for name, paths in called.items() if paths}
    if "train" not in found and len(known) == 1:
        return {"train": known[0]}
    if "train" not in found:
        held = ", ".join(path.name for path in known[:6]) or "no file of a known kind"
        raise InputError(f"{data}: no file is called train (it has {held}); name one file, or call it train.tsv")
    return found


def only(data: Path, split: str, named: Sequence[Path]) -> Path:
    """Return the file of a folder that is called like a split.

    Raises:
        InputError: There are two.
    """
    if len(named) > 1:
        shown = " and ".join(str(path.relative_to(data)) for path in named[:2])
        raise InputError(f"{data}: {shown} are both called {split}; leave one of them there")
    return named[0]


Read = tuple[bool, Iterator[list[str]]]
"""Whether the first row names the columns, and the rows."""


def _jsonl(path: Path) -> Read:
    objects = (json_object(path, number, line) for number, line in enumerate(lines(path), start=1))
    return True, _flat(objects)


def _parquet(path: Path) -> Read:
    import polars

    try:
        frame = polars.scan_parquet(path).head(MOST_ROWS + 1).collect()
    except (OSError, polars.exceptions.PolarsError):
        raise InputError(f"{path}: cannot be read as Parquet; check the file or write it as .tsv") from None
    return True, _flat(frame.iter_rows(named=True))


def _flat(objects: Iterable[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield the keys of the first object, then the values of each as texts."""
    keys: list[str] | None = None
    for values in objects:
        if keys is None:
            keys = list(values)
            yield keys
        yield [_turns(values.get(key)) if key in KEYS else _text(values.get(key)) for key in keys]


def _turns(value: object) -> str:
    """Return a conversation as text, its turns divided as a column would have them."""
    try:
        return " || ".join(sides(messages_of(value)))
    except ValueError:
        return _text(value)


def _text(value: object) -> str:
    """Return a value as text; of a list the first."""
    if isinstance(value, list):
        value = value[0] if value else None
    value = in_digits(value)
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, default=str)


def _text_lines(path: Path) -> Read:
    return False, ([re.sub(r"[\r\n]+$", "", line)] for line in lines(path))


RAW_READERS: Mapping[str, Callable[[Path], Read]] = {
    ".tsv": lambda path: (False, tsv_fields(path)),
    ".csv": lambda path: (False, csv_fields(path)),
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".txt": _text_lines,
}
