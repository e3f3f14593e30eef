from io import BytesIO

import pytest

from automl.data.lines import LINE_LIMIT
from automl.errors import InputError
from automl.terminal.lines import batches, one_line


class Pieces:
    """A stream that has so much at a time."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def read(self, _: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def test_whole_lines_are_given_out_before_the_rest_has_come() -> None:
    stream = Pieces(b"a\nb", b"c\n", b"d")
    found = batches(stream.read, "input")
    assert next(found) == ["a"]
    assert stream.pieces == [b"c\n", b"d"]
    assert list(found) == [["bc"], ["d"]]


def test_empty_lines_are_kept_and_line_ends_of_windows_are_not() -> None:
    assert list(batches(BytesIO(b"\xef\xbb\xbfa\r\n\r\nb\n").read, "input")) == [["a", "", "b"]]


def test_a_character_that_comes_in_two_pieces_is_whole() -> None:
    assert list(batches(Pieces(b"\xc3", b"\xa9\n").read, "input")) == [["é"]]


def test_a_line_that_is_not_utf8_is_named_by_its_number() -> None:
    found = batches(Pieces(b"a\nb\n", b"c\nd\xff\n").read, "words.txt")
    assert next(found) == ["a", "b"]
    with pytest.raises(InputError, match=r"words\.txt, line 4: not UTF-8 at byte 2"):
        next(found)


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    endless = Pieces(*[b"x" * 2**16] * 100)
    with pytest.raises(InputError, match="line 1: longer than"):
        list(batches(endless.read, "input"))
    assert len(endless.pieces) > 100 - 2 * LINE_LIMIT / 2**16


def test_a_text_with_breaks_becomes_one_line() -> None:
    assert one_line("a\nb\r\nc\u2028d") == "a b c d"
