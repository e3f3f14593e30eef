"""Readers of .tsv, .csv, .jsonl and .parquet files of (source, target) rows."""

import csv
import json
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.tokenizers import normalise
from automl.errors import InputError

Column = str | int

LINE_LIMIT = 1_000_000
NO_SOURCE, NO_TARGET, ONE_COLUMN = "no source", "no target", "one column only"


@dataclass(frozen=True)
class Columns:
    """Where a row keeps its source and its acceptable targets.

    Attributes:
        source: Name in the header, or index where the file has none; by default
            `source` where the first row names it and `target`, else the first column.
        target: One or several of the same; by default `target`, else the next column. Without a header, the
            columns after a single target are further ones.
    """

    source: Column | None = None
    target: tuple[Column, ...] | None = None

    @property
    def named(self) -> bool:
        """Whether columns are given by name, so that a header is needed."""
        return any(isinstance(column, str) for column in (self.source, *(self.target or ())))


@dataclass(frozen=True)
class Pairs:
    """The rows of one file, in Unicode NFC; `rows_in` equals the rows kept plus those dropped, by reason.

    Attributes:
        numbers: The line (of .csv and .parquet the row) that each kept row stands on, from 1.
        first_dropped: The first such number of each reason.
        units: What each kept row must not be divided from, such as its conversation; its source where absent.
        images: Where sources are images, each source → its pixels.
        notices: What is to be said of them beside what was dropped.
        names: What each row of a folder is called, from number 1 on.
    """

    path: Path
    sources: list[str]
    targets: list[list[str]]
    rows_in: int
    dropped: Mapping[str, int]
    numbers: Sequence[int] = ()
    first_dropped: Mapping[str, int] = field(default_factory=dict)
    units: Sequence[str] = ()
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    names: Sequence[str] = ()
    notices: Sequence[str] = ()

    def where(self, number: int) -> str:
        """Return what an error or a notice calls a place of the file."""
        if self.names:
            return self.names[number - 1]
        return f"{'row' if self.path.suffix.lower() in {'.csv', '.parquet', '.npz'} else 'line'} {number:,}"


Row = tuple[int, str | None, Sequence[str | None]]
"""Its number in the file, a source and its acceptable targets; a source of none stands for a row of one column."""


def read_pairs(path: Path, columns: Columns) -> Pairs:
    """Read one file by its suffix.

    Raises:
        InputError: The file cannot be read, a line is malformed, a column is missing, or no row is left.
    """
    check_file(path)
    return collect(path, READERS[path.suffix.lower()](path, columns))


def collect(path: Path, rows: Iterable[Row]) -> Pairs:
    """Keep the rows that have a source and a target, and count the others.

    Raises:
        InputError: No row is left.
    """
    kept: list[tuple[int, str, list[str]]] = []
    dropped: Counter[str] = Counter()
    first_dropped: dict[str, int] = {}
    for number, source, row_targets in rows:
        clean_source = normalise(source or "")
        clean_targets = list(dict.fromkeys(filter(None, (normalise(target or "") for target in row_targets))))
        if source is not None and clean_source and clean_targets:
            kept.append((number, clean_source, clean_targets))
            continue
        reason = ONE_COLUMN if source is None else NO_TARGET if clean_source else NO_SOURCE
        dropped[reason] += 1
        first_dropped.setdefault(reason, number)
    rows_in = len(kept) + dropped.total()
    if not kept:
        raise InputError(_nothing_left(path, rows_in, dropped))
    numbers, sources, targets = (list(column) for column in zip(*kept, strict=True))
    return Pairs(path, sources, targets, rows_in, dict(dropped), numbers, first_dropped)


def _nothing_left(path: Path, rows_in: int, dropped: Counter[str]) -> str:
    if not rows_in:
        return f"{path}: the file is empty; it needs rows of a source and a target"
    if dropped[ONE_COLUMN] == rows_in:
        divider = {".tsv": "a tab", ".csv": "a comma"}.get(path.suffix.lower(), "a column")
        return f"{path}: every row has one column; put {divider} between source and target"
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
    return f"{path}: none of the {rows_in} rows has both a source and a target ({reasons})"


def check_file(path: Path, suffixes: Sequence[str] | None = None) -> None:
    """Make sure that a file is there and of a kind that is read: by `read_pairs`, or of some suffixes.

    Raises:
        InputError: It is not.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: there is no such file; paths are relative to the task document") from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    known = ", ".join(suffixes or READERS)
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise InputError(f"{path}: this is {what}; name a file of pairs ({known})")
    suffix = path.suffix.lower()
    if suffix in (suffixes or READERS):
        return
    if suffix == ".txt":
        raise InputError(
            f"{path}: a .txt file holds no targets; put source, tab, target on each line of a .tsv file, "
            'or learn to go on with its texts by kind = "generation"'
        )
    raise InputError(f"{path}: {suffix or 'a file without suffix'} is not known for this kind of task; use {known}")


def unreadable(path: Path, error: Exception) -> InputError:
    """The error for a file that the system does not let us read."""
    reason = error.strerror if isinstance(error, OSError) else "not a valid path"
    return InputError(f"{path}: cannot be read ({reason}); check the file and its permissions")


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, ends included, never holding more than `LINE_LIMIT` bytes of one."""
    offset = 0
    try:
        with path.open("rb") as file:
            for number in count(1):
                line = file.readline(LINE_LIMIT + 1)
                if not line:
                    return
                yield _decode(path, number, offset, line)
                offset += len(line)
    except OSError as error:
        raise unreadable(path, error) from error


def _decode(path: Path, number: int, offset: int, line: bytes) -> str:
    if len(line) > LINE_LIMIT:
        raise InputError(f"{path}: line {number} is longer than {LINE_LIMIT:,} bytes; put one short row on each line")
    if b"\0" in line:
        where = offset + line.index(b"\0")
        raise InputError(f"{path}: line {number} has a NUL byte (at byte {where}); save the file as UTF-8 text")
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        where = offset + error.start
        raise InputError(f"{path}: line {number} is not UTF-8 (at byte {where}); save the file as UTF-8") from None


def _read_tsv(path: Path, columns: Columns) -> Iterator[Row]:
    return _pick(path, columns, tsv_fields(path))


def tsv_fields(path: Path) -> Iterator[list[str]]:
    """Yield the fields of each line of a TSV file, which has no quoting."""
    return (line.rstrip("\r\n").split("\t") for line in lines(path))


def _read_csv(path: Path, columns: Columns) -> Iterator[Row]:
    return _pick(path, columns, csv_fields(path))


def csv_fields(path: Path) -> Iterator[list[str]]:
    """Yield the fields of each row of a CSV file; a row may go over several lines."""
    reader = csv.reader(lines(path), strict=True)
    try:
        yield from reader
    except csv.Error:
        where = f"line {reader.line_num}"
        raise InputError(f"{path}: {where} is not well-formed CSV; check its quotes or use a .tsv file") from None


@dataclass(frozen=True)
class _Choice:
    """Indices of the source and the targets; every column from `further` on is one more target."""

    source: int
    targets: tuple[int, ...] = ()
    further: int | None = None

    def row(self, number: int, fields: list[str]) -> Row:
        if len(fields) == 1 and fields[0].strip():
            return number, None, ()
        width = len(fields)
        further = () if self.further is None else range(self.further, width)
        chosen = (*self.targets, *(index for index in further if index != self.source))
        return number, fields[self.source] if self.source < width else "", [fields[i] for i in chosen if i < width]


def _pick(path: Path, columns: Columns, rows: Iterator[list[str]]) -> Iterator[Row]:
    first = next(rows, None)
    if first is None:
        return
    header = [name.strip() for name in first]
    if columns.named or (columns == Columns() and {"source", "target"} <= set(header)):
        choice = _by_name(path, columns, header)
    else:
        choice = _by_index(path, columns, len(first))
        yield choice.row(1, first)
    yield from (choice.row(number, fields) for number, fields in enumerate(rows, start=2))


def _by_name(path: Path, columns: Columns, header: list[str]) -> _Choice:
    source, targets = _names(path, columns)
    for name in (source, *targets):
        if name not in header:
            close = get_close_matches(name, header, n=1)
            right = f"did you mean {close[0]!r}?" if close else "where it is no header, name columns by index from 0"
            raise InputError(f"{path}: none of the {len(header)} columns of its first row is {name!r}; {right}")
    return _Choice(header.index(source), tuple(header.index(name) for name in targets))


def _by_index(path: Path, columns: Columns, width: int) -> _Choice:
    source = columns.source if isinstance(columns.source, int) else 0
    targets = tuple(column for column in columns.target or (source + 1,) if isinstance(column, int))
    if width > 1 and max(source, *targets) >= width:
        raise InputError(f"{path}: there is no column {max(source, *targets)}; line 1 has columns 0 to {width - 1}")
    return _Choice(source, targets, targets[0] + 1 if len(targets) == 1 else None)


def _names(path: Path, columns: Columns) -> tuple[str, tuple[str, ...]]:
    source = "source" if columns.source is None else columns.source
    targets = ("target",) if columns.target is None else columns.target
    names = tuple(name for name in (source, *targets) if isinstance(name, str))
    if len(names) != 1 + len(targets):
        raise InputError(f"{path}: source and target must both be names here, since columns are found by name")
    return names[0], names[1:]


def _read_jsonl(path: Path, columns: Columns) -> Iterator[Row]:
    source, targets = _names(path, columns)
    for number, line in enumerate(lines(path), start=1):
        record = json_object(path, number, line)
        if number == 1:
            for name in (source, *targets):
                if name not in record:
                    raise InputError(f"{path}: line 1 has no key {name!r}; its keys are {_listed(list(record))}")
        values = [text for name in targets for text in _texts(path, f"line {number}", name, record.get(name))]
        yield number, _text(path, f"line {number}", source, record.get(source)), values


def json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    """Return the object on a line of a file; an empty line holds an empty one."""
    try:
        record = json.loads(line) if line.strip() else {}
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise InputError(f"{path}: line {number} is not a JSON object; put one object on each line")
    return record


def _read_parquet(path: Path, columns: Columns) -> Iterator[Row]:
    import polars

    source, targets = _names(path, columns)
    try:
        _by_name(path, columns, list(polars.read_parquet_schema(path)))
        frame = polars.read_parquet(path, columns=[source, *targets])
    except (OSError, polars.exceptions.PolarsError):
        raise InputError(f"{path}: cannot be read as Parquet; check the file or write it as .tsv") from None
    for number, record in enumerate(frame.iter_rows(named=True), start=1):
        values = [text for name in targets for text in _texts(path, f"row {number}", name, record[name])]
        yield number, _text(path, f"row {number}", source, record[source]), values


def _texts(path: Path, where: str, column: str, value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [_text(path, where, column, item) for item in values]


def _text(path: Path, where: str, column: str, value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise InputError(f"{path}: {where}, {column!r} is not a text; write it as a string")
    if value and ("\0" in value or any("\ud800" <= character <= "\udfff" for character in value)):
        raise InputError(f"{path}: {where}, {column!r} has a NUL character or half of a surrogate pair; take it out")
    return value or ""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:12])
    return shown + (" and more" if len(names) > 12 else "")


READERS: Mapping[str, Callable[[Path, Columns], Iterator[Row]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
