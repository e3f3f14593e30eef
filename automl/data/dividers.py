"""Dividers: what stands between the fields of .tsv and .csv files."""

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from automl.data.lines import LINE_LIMIT, lines
from automl.errors import InputError

DIVIDERS = (",", ";", "\t")
"""Of .csv files; the first is meant unless rows are of one width by another alone."""
PEEKED = 1_000
"""Lines that tell the divider."""


def tsv_fields(path: Path) -> Iterator[list[str]]:
    """Yield the fields of each line of a TSV file, which has no quoting."""
    return (line.rstrip("\r\n").split("\t") for line in lines(path))


def csv_fields(path: Path) -> Iterator[list[str]]:
    """Yield the fields of each row of a CSV file; a row may go over several lines.

    Raises:
        InputError: It cannot be read, or is no CSV.
    """
    csv.field_size_limit(LINE_LIMIT)
    reader = csv.reader(lines(path), strict=True, delimiter=divider_of(path))
    try:
        yield from reader
    except csv.Error:
        where = f"line {reader.line_num}"
        raise InputError(f"{path}: {where} is not well-formed CSV; check its quotes or use a .tsv file") from None


def divider_of(path: Path) -> str:
    """Return what divides the fields of a CSV file: that by which its first rows all have one width of two or more."""
    return next((divider for divider in DIVIDERS if _are_even(path, divider)), DIVIDERS[0])


def _are_even(path: Path, divider: str) -> bool:
    reader = csv.reader(islice(lines(path), PEEKED), strict=True, delimiter=divider)
    widths = set[int]()
    try:
        for row in reader:
            widths |= {len(row)} if row else set()
            if len(widths) > 1 or 1 in widths:
                return False
    except csv.Error:  # no such quotes, or a row that goes on behind the last line
        return reader.line_num == PEEKED and bool(widths)
    return bool(widths)
