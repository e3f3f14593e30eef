"""Writing: what is asked of outputs in words, as the tokens of a model."""

import unicodedata
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.tokenizers import EOS, UNK, Tokenizer, normalise
from automl.decoding.answers import Bounds, Request, allotted, padded
from automl.decoding.generation import Generation
from automl.decoding.reading import text_of
from automl.decoding.texts import stop_rows
from automl.errors import InputError
from automl.lengths import MOST, Limits
from search_spaces.tokenizers import LEARNT, Boxes, Bytes, Characters

SPELT = (Characters, Bytes)


@dataclass(frozen=True)
class Asked:
    """What is asked of every output that is drawn for a source: most tokens, prefix and tokens allowed, stops.

    `doubts` is that of `Decoders`.
    """

    most: int
    bounds: Bounds
    stops: Sequence[Sequence[int]]
    doubts: bool = False

    @property
    def length(self) -> int:
        """Length of the arrays that hold the outputs."""
        return allotted(self.most)

    def request(self, rows: int) -> Request:
        """Return the request with every part, so that one program serves all, for a batch of so many rows."""
        most: Any = np.int32(self.most)
        stops: Any = np.array(self.stops, np.int32)
        prefix: Any = padded([self.bounds.prefix] * rows, rows, self.length)
        allowed: Any = self.bounds.allowed
        doubt: Any = np.bool_(True) if self.doubts else None
        return Request(most, prefix, allowed, stops, doubt)


@dataclass(frozen=True)
class Writer:
    """How a model writes: the tokenizer of its targets, and how many tokens these may have."""

    tokenizer: Tokenizer
    limits: Limits

    def tokens(self, text: str) -> list[int]:
        """Return a text as tokens; where each character or byte is one, with the white space at its ends."""
        read = text_of(text)
        spelt = self.tokenizer.kind in SPELT
        return self.tokenizer.encode_batch([unicodedata.normalize("NFC", read) if spelt else normalise(read)])[0]

    def bounds(self, prefix: str, allowed: Sequence[str] | None, most: int) -> Bounds:
        """Return what a prefix and tokens that are allowed mean for outputs of so many tokens at most.

        Raises:
            InputError: The prefix is longer than that, or it or what is allowed holds what is no token.
        """
        begun = self.tokens(prefix.rstrip("\r\n")) if prefix else []
        if UNK in begun:
            raise InputError(f"prefix {prefix!r} holds what is no token of this model; use tokens that it knows")
        if len(begun) > most:
            raise InputError(f"prefix has {len(begun):,} tokens; an output has {most:,} at most, these included")
        return Bounds(begun, self._allowed(allowed))

    def most(self, source: Sized | None) -> int:
        """Return the most tokens of an output for a source; where none is read, as many as for the longest of train."""
        return self.limits.usual if source is None else self.limits.of(len(source))

    def asked(self, how: Generation, source: Sized | None) -> Asked:
        """Return what is asked of outputs for a source, or of outputs without any.

        Raises:
            InputError: There are too many tokens, or the prefix or what is allowed holds what is none.
        """
        most = how.most or self.most(source)
        if most > MOST:
            raise InputError(f"{most:,} tokens are asked for; {MOST:,} at most are said at once")
        stops = stop_rows(map(self.tokens, filter(self._is_whole, how.stops)))
        doubts = self.tokenizer.kind is Boxes
        return Asked(most, self.bounds(how.prefix, how.allowed, most), stops, doubts)

    def _is_whole(self, stop: str) -> bool:
        """Whether the tokens of a stop are all of it, however it is said; others are found in the text."""
        return self.tokenizer.kind in SPELT or (self.tokenizer.kind not in LEARNT and normalise(stop) == stop)

    def _allowed(self, tokens: Sequence[str] | None) -> NDArray[np.bool_]:
        known = self.tokenizer.vocabulary
        if unknown := [token for token in tokens or () if token not in known]:
            raise InputError(f"{unknown[0]!r} is no token of this model; allow tokens that it knows")
        allowed = np.full(self.tokenizer.size, tokens is None)
        allowed[[EOS, *(known[token] for token in tokens or ())]] = True
        return allowed
