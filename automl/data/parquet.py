"""Files of Parquet, measured by what their footer and the headers of their pages say, before anything is decoded."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from automl.errors import InputError

MAGIC = b"PAR1"
LONGEST_FOOTER, LONGEST_HEADER = 2**23, 2**16
VALUE, PAGE = 32, 1024
"""Bytes that a value, and a byte of a header, and a page take beside those of its page, about."""
DEEPEST = 16

Fields = Mapping[int, Any]
"""A struct of Thrift: its values by the numbers of its fields."""


class Extent(NamedTuple):
    """How many rows a file has, and how many bytes it comes to when it is decoded, about."""

    rows: int
    size: int


class Compact:
    """Reads the compact protocol of Thrift, in which Parquet's metadata are written."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def struct(self, depth: int = 0) -> Fields:
        """Read a struct."""
        if depth > DEEPEST:
            raise ValueError("too deep")
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            found[number] = head & 15 == 1 if head & 15 in (1, 2) else self._value(head & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._integer()
            case 7:
                return self._take(8)
            case 8:
                return self._take(self._varint())
            case 9 | 10:
                return self._list(depth)
            case 12:
                return self.struct(depth + 1)
        raise ValueError("unknown type")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        if count > len(self._data) - self.place:
            raise ValueError("a list that is longer than the file")
        return [self._value(head & 15, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        self.place += 1
        return self._data[self.place - 1]

    def _take(self, count: int) -> bytes:
        if count > len(self._data) - self.place:
            raise ValueError("a text that is longer than the file")
        self.place += count
        return self._data[self.place - count : self.place]

    def _varint(self) -> int:
        found = shift = 0
        while shift < 70:
            byte = self._byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
            shift += 7
        raise ValueError("too long a number")

    def _integer(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)


def extent(path: Path, most: int) -> Extent:
    """Return how large a file is; of one that comes to more than `most` bytes, so much that this is seen.

    Raises:
        InputError: It is no file of Parquet.
    """
    try:
        footer = _footer(path)
        groups = footer[4]
        size = 0
        for each in _pages(path, groups):
            size += each
            if size > most:
                break
        return Extent(max(footer[3], sum(group[3] for group in groups)), size)
    except OSError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError):
        raise InputError(f"{path}: cannot be read as Parquet; check the file or write it as .tsv") from None


def _footer(path: Path) -> Fields:
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(end - 8, 0))
        tail = file.read()
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != MAGIC or length > min(end - 8, LONGEST_FOOTER):
            raise ValueError("no footer, or one that is too long")
        file.seek(end - 8 - length)
        return Compact(file.read(length)).struct()


def _pages(path: Path, groups: list[Fields]) -> Iterator[int]:
    """Yield what each page of each column comes to."""
    with path.open("rb") as file:
        for column in (column[3] for group in groups for column in group[1]):
            place = column.get(11) or column[9]
            end = place + column[7]
            while place < end:
                file.seek(place)
                reader = Compact(file.read(LONGEST_HEADER))
                header = reader.struct()
                values = max(header.get(kind, {}).get(1, 0) for kind in (5, 7, 8))
                if min(values, header[2], header[3]) < 0:
                    raise ValueError("less than nothing")
                yield header[2] + VALUE * (values + reader.place) + PAGE
                place += reader.place + header[3]
