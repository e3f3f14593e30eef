"""Texts of what is being decoded: in pieces as they become certain, cut at the first stop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from automl.data.tokenizers import PAD

MOST_STOPS, STOP_TOKENS = 4, 8
"""How many stops the compiled loop looks for, and of how many tokens; more and longer ones are found in the text."""
UNDECIDED = "\ufffd"


@dataclass
class Pieces:
    """Gives out a growing text in pieces, and holds back what may still change or begin a stop.

    Attributes:
        stops: Texts at the first of which the text ends, without it.
    """

    stops: Sequence[str] = ()
    _given: int = field(default=0, init=False)
    ended: bool = field(default=False, init=False)

    def take(self, text: str, *, last: bool = False) -> str:
        """Return what can be given out of a text that goes on from the one given before; `last` holds nothing back."""
        cut = cut_at(text, self.stops)
        self.ended = self.ended or cut != text
        certain = cut if last or self.ended else cut[: len(cut) - self._doubtful(cut)]
        piece, self._given = certain[self._given :], max(self._given, len(certain))
        return piece

    def _doubtful(self, text: str) -> int:
        unfinished = len(text) - len(text.rstrip(UNDECIDED))
        begun = [n for stop in self.stops for n in range(1, len(stop)) if text.endswith(stop[:n])]
        return max([unfinished, *begun])


def cut_at(text: str, stops: Sequence[str]) -> str:
    """Return a text up to the first stop."""
    found = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(found)] if found else text


def stop_rows(stops: Iterator[Sequence[int]]) -> list[list[int]]:
    """Return the stops that the compiled loop looks for, as rows of one size that begin with padding."""
    short = [list(tokens) for tokens in stops if 0 < len(tokens) <= STOP_TOKENS][:MOST_STOPS]
    rows = [[PAD] * (STOP_TOKENS - len(tokens)) + tokens for tokens in short]
    return rows + [[PAD] * STOP_TOKENS] * (MOST_STOPS - len(rows))
