"""Turns of a conversation as one text, each behind the mark of its side."""

import re
from collections.abc import Sequence

from automl.data.tokenizers import normalise

OTHER, OWN = "\ue000", "\ue001"
"""Marks before a turn of the other side, and before one of the side that answers: characters of private use."""
_MARK = re.compile(f"[{OTHER}{OWN}]")


def joined(turns: Sequence[str]) -> str:
    """Return turns as one source, each behind the mark of its side; the last is the other side's."""
    marks = [OTHER if (len(turns) - index) % 2 else OWN for index in range(len(turns))]
    clean = (normalise(_MARK.sub("", turn)) for turn in turns)
    return normalise(" ".join(f"{mark} {turn}" for mark, turn in zip(marks, clean, strict=True)))


def turns_of(source: str) -> list[str]:
    """Return the turns of a source that `joined` made."""
    return [turn.strip() for turn in _MARK.split(source) if turn.strip()]


def recent(source: str, turns: int) -> str:
    """Return the last so many turns of a source with their marks; all of them for 0."""
    if not turns:
        return source
    starts = [found.start() for found in _MARK.finditer(source)]
    return source if len(starts) <= turns else source[starts[-turns] :]
