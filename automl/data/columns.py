"""Columns: arrays on disk that are written piece by piece and read in blocks, never held as a whole."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

VALUES = 2**22
"""Values of a block, about."""


class Column:
    """A file as `numpy.save` writes it of an array of one dimension that is not known yet.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self._file = path.open("wb")
        self._dtype, self._length = np.dtype(dtype), 0
        self._write_header()

    def append(self, values: NDArray[Any]) -> None:
        """Write values behind those before."""
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self._length += len(values)

    def _write_header(self) -> None:
        self._file.seek(0)  # numpy leaves room for a length that grows
        described = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self._length,)}
        npy.write_array_header_1_0(self._file, described)

    def __enter__(self) -> "Column":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._file:
            if error is None:
                self._write_header()


def part(path: Path, values: slice) -> NDArray[Any]:
    """Read a part of an array; nothing of it stays mapped."""
    found: NDArray[Any] = np.array(np.load(path, mmap_mode="r")[values])
    return found


def blocks(lengths: NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Yield rows of some lengths a block at a time: which they are, and where their values lie end to end."""
    ends = lengths.cumsum()
    begin = place = 0
    while begin < len(lengths):
        end = max(int(np.searchsorted(ends, place + VALUES, "right")), begin + 1)
        yield slice(begin, end), slice(place, int(ends[end - 1]))
        begin, place = end, int(ends[end - 1])
