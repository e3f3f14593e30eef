"""Lines of text from a stream of bytes, as soon as they have come."""

from collections.abc import Callable, Iterator

from automl.data.lines import LINE_LIMIT
from automl.errors import InputError

CHUNK = 1 << 18
BYTE_ORDER_MARK = "\ufeff"


def batches(read: Callable[[int], bytes], name: str) -> Iterator[list[str]]:
    """Yield the lines of each read, so that a program that waits for an answer gets it.

    Args:
        read: Returns at most so many bytes, whatever is there, and none at the end.
        name: What errors call the stream.

    Raises:
        InputError: A line is not UTF-8 or is too long.
    """
    rest, count = b"", 0
    while chunk := read(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield [_text(line, count + index, name) for index, line in enumerate(lines, 1)]
        count += len(lines)
        _check_length(rest, count + 1, name)
    if rest:
        yield [_text(rest, count + 1, name)]


def one_line(text: str) -> str:
    """Return a text without line breaks."""
    return " ".join(text.splitlines())


def _text(line: bytes, number: int, name: str) -> str:
    _check_length(line, number, name)
    try:
        text = line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}, line {number}: not UTF-8 at byte {error.start + 1} of the line; convert it to UTF-8"
        ) from None
    return text.removeprefix(BYTE_ORDER_MARK) if number == 1 else text


def _check_length(line: bytes, number: int, name: str) -> None:
    if len(line) > LINE_LIMIT:
        raise InputError(f"{name}, line {number}: longer than {LINE_LIMIT:,} bytes; put one source on each line")
