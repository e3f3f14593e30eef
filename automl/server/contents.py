"""What uploaded files come to when they are read, measured before they are: of a few bytes many can be made."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.lib import format as npy

from automl import archives
from automl.archives import Room
from automl.data.albums import no_arrays
from automl.data.images import SUFFIXES, size_of
from automl.data.lines import LINE_LIMIT
from automl.data.parquet import VALUE, extent
from automl.errors import InputError
from automl.server.options import Limits
from search_spaces.stems import LARGEST

if TYPE_CHECKING:
    import polars

TEXTS = (".tsv", ".csv", ".jsonl", ".txt")
IMAGE = 512
"""Bytes that an image takes beside its pixels, about."""
PIECE, HEAD = 2**20, 2**14


class Contents:
    """Measures files; what they come to is added up."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = self._shown = self._pixels = 0

    def check(self, path: Path) -> None:
        """Measure a file.

        Raises:
            InputError: It comes to more than may be, alone or with those before it.
        """
        match path.suffix.lower():
            case ".npz":
                self._hold(path, self._arrays(path))
            case ".parquet":
                self._hold(path, self._table(path))
            case ".json":
                self._hold(path, VALUE * sum(map(_values, _pieces(path))))
            case suffix if suffix in SUFFIXES:
                self._show(path)

    def check_packed(self, paths: Iterable[Path]) -> None:
        """Measure files that came compressed.

        Raises:
            InputError: They come to more than may be, or one has too many rows.
        """
        for path in paths:
            if path.suffix.lower() in TEXTS:
                self._count(path, sum(piece.count(b"\n") for piece in _pieces(path)))
            self.check(path)

    def _hold(self, path: Path, size: int) -> None:
        self._held += size
        if self._held > self._limits.unpacked_bytes:
            raise _too_large(path, self._limits.unpacked_bytes)

    def _count(self, path: Path, rows: int) -> None:
        if rows > self._limits.rows:
            raise InputError(f"{path}: has more than {self._limits.rows:,} rows; give fewer")

    def _arrays(self, path: Path) -> int:
        archives.check(path, Room(self._limits.unpacked_files, self._limits.unpacked_bytes))
        shapes = [*_shapes(path)]
        for shape, _ in shapes:
            self._count(path, shape[0] if shape else 0)
        return sum(size + IMAGE * (abs(shape[0]) if shape else 0) for shape, size in shapes)

    def _table(self, path: Path) -> int:
        most = self._limits.unpacked_bytes
        rows, size = extent(path, most)
        self._count(path, rows)
        if size > most:
            raise _too_large(path, most)
        longest, texts = _cells(path)
        if longest > LINE_LIMIT:
            raise InputError(f"{path}: a cell is longer than {LINE_LIMIT:,} bytes; put one short row on each line")
        return max(size, texts)

    def _show(self, path: Path) -> None:
        try:
            width, height = size_of(path)
        except (OSError, SyntaxError, ValueError):  # whoever reads it says so
            return
        self._pixels += width * height
        self._shown += 3 * min(width, LARGEST) * min(height, LARGEST)
        if self._pixels > self._limits.pixels or self._shown > self._limits.image_bytes:
            raise InputError(f"{path}: the images up to this one have too many pixels; give fewer or smaller ones")


def _too_large(path: Path, most: int) -> InputError:
    return InputError(f"{path}: what it holds takes more than {most:,} bytes; give less")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(partial(file.read, PIECE), b"")


def _values(piece: bytes) -> int:
    return piece.count(b",") + piece.count(b"[") + piece.count(b"{")


def _shapes(path: Path) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield the shape of each array in a .npz file, and its bytes, as its header says them."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    head = io.BytesIO(file.read(HEAD))
                if head.getvalue().startswith(npy.MAGIC_PREFIX):
                    read = npy.read_array_header_1_0 if npy.read_magic(head) == (1, 0) else npy.read_array_header_2_0
                    shape, _, dtype = read(head)
                    yield shape, dtype.itemsize * prod(map(abs, shape))
    except Exception as error:
        raise no_arrays(path, error) from None


def _cells(path: Path) -> tuple[int, int]:
    """Return the bytes of the longest text in a file of Parquet, and of all."""
    import polars

    try:
        scan = polars.scan_parquet(path)
        sizes = [size for name, kind in scan.collect_schema().items() for size in _sizes(polars.col(name), kind)]
        if not sizes:
            return 0, 0
        named = [(f"{number}", size) for number, size in enumerate(sizes)]
        longest = scan.select(size.max().alias(name) for name, size in named).collect().row(0)
        total = scan.select(size.cast(polars.Int64).sum().alias(name) for name, size in named).collect().row(0)
    except (OSError, polars.exceptions.PolarsError, polars.exceptions.PanicException):
        raise InputError(f"{path}: cannot be read as Parquet; check the file or write it as .tsv") from None
    return max(each or 0 for each in longest), sum(each or 0 for each in total)


def _sizes(values: "polars.Expr", kind: Any) -> Iterator["polars.Expr"]:
    """Yield the bytes of the texts in a column, of each column within it."""
    import polars

    match kind:
        case polars.String():
            yield values.str.len_bytes()
        case polars.Binary():
            yield values.bin.size()
        case polars.Categorical() | polars.Enum():
            yield values.cast(polars.String).str.len_bytes()
        case polars.List() | polars.Array():
            yield from _sizes(values.explode(), kind.inner)
        case polars.Struct():
            for field in kind.fields:
                yield from _sizes(values.struct.field(field.name), field.dtype)
