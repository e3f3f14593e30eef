"""Readers of .tsv, .csv, .jsonl and .parquet files of (source, target) rows."""

import json
import re
import stat
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain
from math import isfinite
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl.data.advance import tell
from automl.data.dividers import csv_fields, tsv_fields
from automl.data.fields import in_digits, joined
from automl.data.headers import without_header
from automl.data.lines import lines, unreadable
from automl.data.spool import BLOCK, Spool
from automl.data.spool import Column as Spooled
from automl.data.tokenizers import normalise
from automl.errors import InputError

Column = str | int

GARBLED = re.compile("[ÃÂ][\u0080-\u00bf]|â€")
"""What UTF-8 looks like that was read as Latin-1 and written as UTF-8 again, such as Ã© for é."""
SURROGATE = re.compile("[\ud800-\udfff]")
NO_SOURCE, NO_TARGET, ONE_COLUMN, NO_WEIGHT = "no source", "no target", "one column only", "weight 0"


@dataclass(frozen=True)
class Columns:
    """Where a row keeps its source, its acceptable targets and its weight.

    Attributes:
        source: Name in the header, or index where the file has none; several become one (see `automl.data.fields`). By
            default `source` where the first row names it and `target`, else the first column.
        target: One or several of the same; by default `target`, else the next column.
        weight: Column of how much a row counts, where rows count differently.
        further: Whether the columns after a single target are further ones, without a header.
    """

    source: Column | tuple[Column, ...] | None = None
    target: tuple[Column, ...] | None = None
    weight: Column | None = None
    further: bool = True

    @property
    def sources(self) -> tuple[Column, ...]:
        """The columns of the source; none where they are not given."""
        if self.source is None:
            return ()
        return self.source if isinstance(self.source, tuple) else (self.source,)

    @property
    def named(self) -> bool:
        """Whether columns are given by name, so that a header is needed."""
        return any(isinstance(column, str) for column in (*self.sources, *(self.target or ()), self.weight))


def columns_of(values: Mapping[str, Any]) -> Columns:
    """Return where rows keep what, from `source`, `target` and `weight` as a document has them.

    A list of targets, of one too, is all of them, unless `further` says otherwise.
    """
    sources, targets = several(values.get("source")), several(values.get("target"))
    source = sources if len(sources) > 1 else next(iter(sources), None)
    further = values.get("further", not isinstance(values.get("target"), list | tuple))
    return Columns(source, targets or None, values.get("weight"), further)


def several(columns: Any) -> tuple[Column, ...]:
    """Return columns that are given as none, one or a list."""
    if columns is None:
        return ()
    return tuple(columns) if isinstance(columns, list | tuple) else (columns,)


@dataclass(frozen=True)
class Pairs:
    """The rows of one file, in Unicode NFC; `rows_in` equals the rows kept plus those dropped, by reason.

    Attributes:
        sources: The source of each kept row; like `targets`, of a file of texts read from a spool.
        numbers: The line (of .csv and .parquet the row) that each kept row stands on, from 1.
        first_dropped: The first such number of each reason.
        units: What each kept row must not be divided from, such as its conversation; its source where absent.
        weights: How much each kept row counts; empty where all count the same.
        missing: Column of the source → in how many of the kept rows it is empty, and the first of these.
        garbled: In how many of the kept rows UTF-8 seems to have been read as Latin-1 once, and the first of these.
        wide: How many of the kept rows have more fields than the header, and the first of these.
        images: Where sources are images, each source → its pixels.
        notices: What is to be said of them beside what was dropped.
        names: What each row of a folder is called, from number 1 on.
    """

    path: Path
    sources: Sequence[str]
    targets: Sequence[list[str]]
    rows_in: int
    dropped: Mapping[str, int]
    numbers: Sequence[int] = ()
    first_dropped: Mapping[str, int] = field(default_factory=dict)
    units: Sequence[str] = ()
    weights: Sequence[float] = ()
    missing: Mapping[Column, tuple[int, int]] = field(default_factory=dict)
    garbled: tuple[int, int] | None = None
    wide: tuple[int, int] | None = None
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    names: Sequence[str] = ()
    notices: Sequence[str] = ()

    def where(self, number: int) -> str:
        """Return what an error or a notice calls a place of the file."""
        return self.names[number - 1] if self.names else _place(self.path, number)

    def texts(self, numbers: NDArray[np.int64] | None = None) -> Iterator[list[str]]:
        """Yield the source and the targets of all kept rows, or of some, in their order."""
        if isinstance(self.sources, Spooled):
            yield from self.sources.spool.rows(numbers)
            return
        for number in range(len(self.sources)) if numbers is None else numbers.tolist():
            yield [self.sources[number], *self.targets[number]]


class Row(NamedTuple):
    """A row as it stands: its number in the file, the texts of its source, its acceptable targets, its weight.

    A source of none stands for a row of one column, and `wide` for one of more fields than the header.
    """

    number: int
    source: Sequence[str] | None
    targets: Sequence[str | None]
    weight: object = None
    wide: bool = False


def read_pairs(path: Path, columns: Columns, prepare: Callable[[str], str] | None = None) -> Pairs:
    """Read one file by its suffix; what is to be made of each source is `prepare`.

    Raises:
        InputError: The file cannot be read, a line is malformed, a column is missing, or no row is left.
    """
    check_file(path)
    return collect(path, READERS[path.suffix.lower()](path, columns), columns, prepare)


def collect(
    path: Path, rows: Iterable[Row], columns: Columns = Columns(), prepare: Callable[[str], str] | None = None
) -> Pairs:
    """Keep the rows that have a source and a target, and count the others.

    Raises:
        InputError: No row is left, a weight is none, or there is no room for the texts.
    """
    found = _Kept(path, columns, prepare)
    try:
        for row in rows:
            found.take(row)
        return found.pairs()
    except OSError as error:
        raise InputError(
            f"{path}: its texts cannot be kept while it is read ({error.strerror}); TMPDIR names a folder with room"
        ) from error


class _Kept:
    """The rows of a file that are kept, and the counts of those that are not."""

    def __init__(self, path: Path, columns: Columns, prepare: Callable[[str], str] | None) -> None:
        self.path = path
        self.columns = columns
        self.prepare = prepare
        self.texts = Spool()
        self.numbers, self.weights = array("q"), list[float]()
        self.dropped: Counter[str] = Counter()
        self.first_dropped: dict[str, int] = {}
        self.missing: dict[Column, tuple[int, int]] = {}
        self.garbled: tuple[int, int] | None = None
        self.wide: tuple[int, int] | None = None

    def take(self, row: Row) -> None:
        """Keep a row, or count it."""
        texts = [normalise(text) for text in row.source or ()]
        source = texts[0] if len(texts) == 1 else joined(texts) if texts else ""
        source = source if self.prepare is None else self.prepare(source)
        targets = list(dict.fromkeys(filter(None, [normalise(target or "") for target in row.targets])))
        if not (source and targets):
            self._drop(row, ONE_COLUMN if row.source is None else NO_TARGET if source else NO_SOURCE)
            return
        if self.columns.weight is not None:
            weight = _weight(self.path, self._where(row.number), row.weight)
            if not weight:
                self._drop(row, NO_WEIGHT)
                return
            self.weights.append(weight)
        if "" in texts:
            self._miss(row.number, texts)
        if any(not text.isascii() and GARBLED.search(text) for text in (source, *targets)):
            self.garbled = _one_more(self.garbled, row)
        if row.wide:
            self.wide = _one_more(self.wide, row)
        self.numbers.append(row.number)
        self.texts.append([source, *targets])

    def _miss(self, number: int, texts: Sequence[str]) -> None:
        for column, text in zip(self.columns.sources, texts, strict=False):
            if not text:
                count, first = self.missing.get(column, (0, number))
                self.missing[column] = (count + 1, first)

    def pairs(self) -> Pairs:
        """Return what was kept."""
        rows_in = len(self.numbers) + self.dropped.total()
        if not self.numbers:
            raise InputError(_nothing_left(self.path, rows_in, self.dropped))
        self.texts.write()
        return Pairs(
            self.path,
            Spooled(self.texts, itemgetter(0)),
            Spooled(self.texts, itemgetter(slice(1, None))),
            rows_in,
            dict(self.dropped),
            self.numbers,
            self.first_dropped,
            weights=self.weights,
            missing=self.missing,
            garbled=self.garbled,
            wide=self.wide,
        )

    def _drop(self, row: Row, reason: str) -> None:
        self.dropped[reason] += 1
        self.first_dropped.setdefault(reason, row.number)

    def _where(self, number: int) -> str:
        return _place(self.path, number)


def _one_more(found: tuple[int, int] | None, row: Row) -> tuple[int, int]:
    count, first = found or (0, row.number)
    return count + 1, first


def _place(path: Path, number: int) -> str:
    return f"{'row' if path.suffix.lower() in {'.csv', '.parquet', '.npz'} else 'line'} {number:,}"


def _weight(path: Path, where: str, value: object) -> float:
    """Return a weight; what is missing, no number or below 0 is refused."""
    try:
        weight = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        weight = -1.0
    if not isfinite(weight) or weight < 0:
        shown = "missing" if value is None or value == "" else f"{str(value)[:40]!r}"
        raise InputError(f"{path}: {where}, the weight is {shown}; write a number from 0 on, 1 for a row like others")
    return weight


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


def _read_tsv(path: Path, columns: Columns) -> Iterator[Row]:
    return _pick(path, columns, tsv_fields(path))


def _read_csv(path: Path, columns: Columns) -> Iterator[Row]:
    return _pick(path, columns, csv_fields(path))


@dataclass(frozen=True)
class _Choice:
    """Indices of source, targets and weight; every other column from `further` on is one more target.

    `width` is how many columns the header names.
    """

    sources: tuple[int, ...]
    targets: tuple[int, ...] = ()
    further: int | None = None
    weight: int | None = None
    width: int | None = None

    def row(self, number: int, fields: list[str]) -> Row:
        if len(fields) == 1 and fields[0].strip():
            return Row(number, None, ())
        width = len(fields)
        further = () if self.further is None else range(self.further, width)
        chosen = (*self.targets, *(index for index in further if index not in (*self.sources, self.weight)))
        sources = [fields[index] if index < width else "" for index in self.sources]
        weight = fields[self.weight].strip() if self.weight is not None and self.weight < width else None
        return Row(number, sources, [fields[i] for i in chosen if i < width], weight, self._is_wide(fields))

    def _is_wide(self, fields: list[str]) -> bool:
        return self.width is not None and any(map(str.strip, fields[self.width :]))


def _pick(path: Path, columns: Columns, rows: Iterator[list[str]]) -> Iterator[Row]:
    first = next(rows, None)
    if first is None:
        return
    header = [name.strip() for name in first]
    if columns.named or (columns == Columns() and {"source", "target"} <= set(header)):
        choice = _by_name(path, columns, header)
    else:
        if columns == Columns():
            rows = without_header(path, header, rows)
        choice = _by_index(path, columns, len(first))
        yield choice.row(1, first)
    yield from (choice.row(number, fields) for number, fields in enumerate(rows, start=2))


def _by_name(path: Path, columns: Columns, header: list[str]) -> _Choice:
    names = _names(path, columns)
    for name in names.all:
        if name not in header:
            close = get_close_matches(name, header, n=1)
            right = f"did you mean {close[0]!r}?" if close else "where it is no header, name columns by index from 0"
            raise InputError(f"{path}: none of the {len(header)} columns of its first row is {name!r}; {right}")
    sources, targets = (tuple(map(header.index, side)) for side in (names.sources, names.targets))
    weight = None if names.weight is None else header.index(names.weight)
    return _Choice(sources, targets, weight=weight, width=len(header))


def _by_index(path: Path, columns: Columns, width: int) -> _Choice:
    sources = tuple(column for column in columns.sources if isinstance(column, int)) or (0,)
    weight = columns.weight if isinstance(columns.weight, int) else None
    after = next(index for index in range(max(sources) + 1, width + 2) if index != weight)
    targets = tuple(column for column in columns.target or (after,) if isinstance(column, int))
    last = max(*sources, *targets, -1 if weight is None else weight)
    if width > 1 and last >= width:
        raise InputError(f"{path}: there is no column {last}; line 1 has columns 0 to {width - 1}")
    return _Choice(sources, targets, targets[0] + 1 if columns.further and len(targets) == 1 else None, weight)


class _Names(NamedTuple):
    """Names of the columns."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    weight: str | None

    @property
    def all(self) -> list[str]:
        return [*self.sources, *self.targets, *([] if self.weight is None else [self.weight])]


def _names(path: Path, columns: Columns) -> _Names:
    given = (columns.sources or ("source",), columns.target or ("target",), columns.weight)
    if any(isinstance(column, int) for column in (*given[0], *given[1], given[2])):
        raise InputError(f"{path}: source and target must both be names here, since columns are found by name")
    sources, targets = (tuple(map(str, side)) for side in given[:2])
    return _Names(sources, targets, None if given[2] is None else str(given[2]))


def _read_jsonl(path: Path, columns: Columns) -> Iterator[Row]:
    names = _names(path, columns)
    for number, line in enumerate(lines(path), start=1):
        record = json_object(path, number, line)
        if number == 1:
            for name in names.all:
                if name not in record:
                    raise InputError(f"{path}: line 1 has no key {name!r}; its keys are {_listed(list(record))}")
        yield _row(path, number, names, record)


def _row(path: Path, number: int, names: _Names, record: Mapping[str, Any]) -> Row:
    where = _place(path, number)
    targets = [text for name in names.targets for text in _texts(path, where, name, record.get(name))]
    sources = [text_of(path, where, name, record.get(name)) for name in names.sources]
    return Row(number, sources, targets, None if names.weight is None else record.get(names.weight))


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

    names = _names(path, columns)
    try:
        _by_name(path, columns, list(polars.read_parquet_schema(path)))
        scan = polars.scan_parquet(path)
        rows = scan.select(polars.len()).collect().item()
        frames = scan.select(list(dict.fromkeys(names.all))).collect_batches(chunk_size=BLOCK)
        records = chain.from_iterable(frame.iter_rows(named=True) for frame in frames)
        for number, record in enumerate(records, start=1):
            if number % BLOCK == 0:
                tell(f"reading {path.name}", number / rows)
            yield _row(path, number, names, record)
    except (OSError, polars.exceptions.PolarsError):
        raise InputError(f"{path}: cannot be read as Parquet; check the file or write it as .tsv") from None


def _texts(path: Path, where: str, column: str, value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text_of(path, where, column, item) for item in values]


def text_of(path: Path, where: str, column: str, value: object) -> str:
    """Return the text in a column; nothing (NaN too) is an empty one, and a whole number, such as a class, its digits.

    Raises:
        InputError: It is no text, or has a character that texts cannot have.
    """
    value = in_digits(value)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{path}: {where}, {column!r} is not a text; write it as a string")
    if value and ("\0" in value or SURROGATE.search(value)):
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
