"""A spool: rows of texts that are written once and read again, in a temporary file where they are many."""

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TypeVar, overload
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

HELD = 2**24
"""Bytes that are held in memory before a file is begun."""
BLOCK = 2**13
"""Rows that are read or written at once."""
NEAR = 8
"""Rows that are scattered over so many times their number are read one by one."""
_END = "\0"  # no text holds it

T_co = TypeVar("T_co", covariant=True)


class Spool:
    """Rows of texts; 8 bytes of each row stay in memory. They are read once all are there, which `write` says.

    Raises:
        OSError: There is no room for the file; the variable TMPDIR says where else it may be.
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=HELD, dir=_folder())  # noqa: SIM115
        finalize(self, self._file.close)
        self._starts = array("q", [0])
        self._waiting: list[str] = []

    def __len__(self) -> int:
        return len(self._starts) - 1

    def append(self, texts: Sequence[str]) -> None:
        """Add a row of one text or more."""
        self._waiting.append(_END.join(texts))
        if len(self._waiting) == BLOCK:
            self.write()

    def rows(self, numbers: NDArray[np.int64] | None = None) -> Iterator[list[str]]:
        """Yield all rows, or those of some numbers in their order."""
        if numbers is None:
            numbers = np.arange(len(self))
        starts = np.asarray(self._starts)
        for begin in range(0, len(numbers), BLOCK):
            yield from self._block(starts, numbers[begin : begin + BLOCK])

    def _block(self, starts: NDArray[np.int64], numbers: NDArray[np.int64]) -> Iterator[list[str]]:
        first, last = int(numbers.min()), int(numbers.max()) + 1
        begins, ends = starts[numbers].tolist(), starts[numbers + 1].tolist()
        if last - first > NEAR * len(numbers):
            for begin, end in zip(begins, ends, strict=True):
                yield self._read(begin, end).decode().split(_END)
            return
        origin = int(starts[first])
        block = self._read(origin, int(starts[last]))
        for begin, end in zip(begins, ends, strict=True):
            yield block[begin - origin : end - origin].decode().split(_END)

    def _read(self, begin: int, end: int) -> bytes:
        self._file.seek(begin)
        return self._file.read(end - begin)

    def write(self) -> None:
        """Write what waits."""
        encoded = [row.encode() for row in self._waiting]
        self._file.seek(0, os.SEEK_END)
        self._file.write(b"".join(encoded))
        place = self._starts[-1]
        for row in encoded:
            place += len(row)
            self._starts.append(place)
        self._waiting = []


def _folder() -> str | None:
    """Return where large temporary files are: not `/tmp`, which may be memory, unless the environment says so."""
    large = Path("/var/tmp")  # noqa: S108
    return None if "TMPDIR" in os.environ or not os.access(large, os.W_OK) else str(large)


class Column(Sequence[T_co]):  # noqa: PLW1641 - as a list, it cannot be hashed
    """A part of each row of a spool, as a sequence."""

    def __init__(self, spool: Spool, part: Callable[[list[str]], T_co]) -> None:
        self.spool = spool
        self._part = part

    def __len__(self) -> int:
        return len(self.spool)

    def __iter__(self) -> Iterator[T_co]:
        return map(self._part, self.spool.rows())

    @overload
    def __getitem__(self, index: int) -> T_co: ...

    @overload
    def __getitem__(self, index: slice) -> list[T_co]: ...

    def __getitem__(self, index: int | slice) -> T_co | list[T_co]:
        numbers = np.atleast_1d(np.arange(len(self))[index])
        found = [self._part(row) for row in self.spool.rows(numbers)]
        return found if isinstance(index, slice) else found[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)
