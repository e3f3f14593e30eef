"""Lines of text files, one at a time, each named where it is wrong."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from automl.data.advance import tell
from automl.data.spool import BLOCK
from automl.errors import InputError

LINE_LIMIT = 1_000_000


def unreadable(path: Path, error: Exception) -> InputError:
    """The error for a file that the system does not let us read."""
    reason = error.strerror if isinstance(error, OSError) else "not a valid path"
    return InputError(f"{path}: cannot be read ({reason}); check the file and its permissions")


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, ends included, never holding more than `LINE_LIMIT` bytes of one."""
    offset = 0
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            for number in count(1):
                if number % BLOCK == 0:
                    tell(f"reading {path.name}", offset / max(size, 1))
                line = file.readline(LINE_LIMIT + 1)
                if not line:
                    tell(f"reading {path.name}", 1.0)
                    return
                yield _decode(path, number, offset, line)
                offset += len(line)
    except OSError as error:
        raise unreadable(path, error) from error


def _decode(path: Path, number: int, offset: int, line: bytes) -> str:
    if number == 1 and _ends_lines_by_returns(line):
        raise InputError(
            f"{path}: its lines end by a carriage return alone, as on old Macs; save it with line feeds (LF or CR LF)"
        )
    if len(line) > LINE_LIMIT:
        raise InputError(f"{path}: line {number} is longer than {LINE_LIMIT:,} bytes; put one short row on each line")
    if b"\0" in line:
        where = offset + line.index(b"\0")
        raise InputError(f"{path}: line {number} has a NUL byte (at byte {where}); save the file as UTF-8 text")
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        where = offset + error.start
        others = _undecodable(path) - 1
        such = f", as are {others:,} other {'line' if others == 1 else 'lines'}" if others > 0 else ""
        raise InputError(
            f"{path}: line {number} is not UTF-8 (at byte {where}){such}; save the file as UTF-8"
        ) from None


def _ends_lines_by_returns(first: bytes) -> bool:
    """Whether what seems one line is several, to its end; a text may hold a carriage return without ending there."""
    return b"\r" in first.rstrip(b"\r") and not first.endswith(b"\n")


def _undecodable(path: Path) -> int:
    """Count the lines that are not UTF-8, of a file that has some."""
    found = 0
    with path.open("rb") as file:
        while line := file.readline(LINE_LIMIT + 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                found += 1
    return found
