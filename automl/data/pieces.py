"""Texts into ids at the speed of arrays: what a text is made of is looked up, and tokenized once.

A subword never goes over a space that divides two words, so a word has the same ids wherever it stands.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_PIECES = 2**18
"""Different pieces that are remembered."""


class Flat(NamedTuple):
    """The ids of texts end to end, and how many each has."""

    ids: NDArray[np.int32]
    lengths: NDArray[np.int64]


def flat(rows: Sequence[Sequence[int]]) -> Flat:
    """Return the ids of rows end to end."""
    return Flat(np.fromiter(chain.from_iterable(rows), np.int32), _lengths(rows))


def words(text: str) -> list[str]:
    """Divide a text at its spaces; one with other white space, or two spaces in a row, is one piece."""
    found = text.split()
    return found if " ".join(found) == text else [text]


def symbols(text: str) -> list[str]:
    """Divide a text at white space."""
    return text.split()


def whole(text: str) -> list[str]:
    """Take a text as one piece."""
    return [text]


class Points:
    """Characters as ids: each code point is looked up."""

    def __init__(self, vocabulary: Mapping[str, int], unknown: int) -> None:
        self._ids = np.full(0x110000, unknown, np.int32)
        for character, number in vocabulary.items():
            if len(character) == 1:
                self._ids[ord(character)] = number

    def __call__(self, texts: Sequence[str]) -> Flat:
        return Flat(self._ids[points(texts)], _lengths(texts))


def points(texts: Sequence[str]) -> NDArray[np.uint32]:
    """Return the code points of texts end to end."""
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


class Octets:
    """The bytes of UTF-8 as ids; vocabularies show a byte that is no printable letter of Latin-1 as one from U+0100."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
        others = iter(range(0x100, 0x200))
        letters = [chr(byte if byte in shown else next(others)) for byte in range(0x100)]
        self._ids = np.array([vocabulary[letter] for letter in letters], np.int32)

    def __call__(self, texts: Sequence[str]) -> Flat:
        encoded = [text.encode() for text in texts]
        return Flat(self._ids[np.frombuffer(b"".join(encoded), np.uint8)], _lengths(encoded))


class _Numbers(dict[str, int]):
    """Pieces and their numbers; one that is new gets the next."""

    def __missing__(self, piece: str) -> int:
        number = self[piece] = len(self)
        return number


class Pieces:
    """Pieces of texts as ids: each different one is tokenized once, as long as it is remembered."""

    def __init__(
        self, divide: Callable[[str], list[str]], encode: Callable[[Sequence[str]], Sequence[Sequence[int]]]
    ) -> None:
        self._divide, self._encode = divide, encode
        self._forget()

    def _forget(self) -> None:
        self._numbers = _Numbers()
        self._ids, self._lengths = np.empty(0, np.int32), np.empty(0, np.int64)

    def __call__(self, texts: Sequence[str]) -> Flat:
        if len(self._numbers) > MOST_PIECES:
            self._forget()
        rows = [self._divide(text) for text in texts]
        per_text = _lengths(rows)
        numbers = np.fromiter(map(self._numbers.__getitem__, chain.from_iterable(rows)), np.int64, int(per_text.sum()))
        self._learn()
        lengths = self._lengths[numbers]
        ends = np.append(0, lengths.cumsum())
        begins = (self._lengths.cumsum() - self._lengths)[numbers]
        places = np.repeat(begins - ends[:-1], lengths) + np.arange(ends[-1])
        last = per_text.cumsum()
        return Flat(self._ids[places], ends[last] - ends[last - per_text])

    def _learn(self) -> None:
        new = [*self._numbers][len(self._lengths) :]
        if new:
            ids, lengths = flat(self._encode(new))
            self._lengths = np.append(self._lengths, lengths)
            self._ids = np.append(self._ids, ids)


def _lengths(rows: Sequence[Sequence[object]] | Sequence[bytes]) -> NDArray[np.int64]:
    return np.fromiter(map(len, rows), np.int64, len(rows))
