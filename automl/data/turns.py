"""Turns of a conversation as one text, each behind the mark of its side."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from automl.data.tokenizers import normalise

KEYS = ("turns", "messages", "conversation", "conversations")
"""Under which an object has the turns of a whole conversation."""
TEXT, SIDE = ("content", "value"), ("role", "from")
SYSTEM = "system"

OTHER, OWN = "\ue000", "\ue001"
"""Marks before a turn of the other side, and before one of the side that answers: characters of private use."""
_MARK = re.compile(f"[{OTHER}{OWN}]")


def joined(turns: Sequence[str]) -> str:
    """Return turns as one source, each behind the mark of its side; the last is the other side's."""
    marks = [OTHER if (len(turns) - index) % 2 else OWN for index in range(len(turns))]
    clean = (normalise(_MARK.sub("", turn)) for turn in turns)
    return normalise(" ".join(f"{mark} {turn}" for mark, turn in zip(marks, clean, strict=True)))


def messages_of(values: object) -> list[tuple[str | None, str]]:
    """Return the side, where it is said, and the text of each message of a conversation.

    Raises:
        ValueError: One is neither a text nor an object with a content.
    """
    return [_message(value) for value in (values if isinstance(values, list) else [values])]


def _message(value: object) -> tuple[str | None, str]:
    said: Mapping[str, Any] = value if isinstance(value, dict) else {"content": value}
    text = next((said[key] for key in TEXT if key in said), None)
    side = next((said[key] for key in SIDE if isinstance(said.get(key), str)), None)
    if not isinstance(text, str):
        raise ValueError("a turn is neither a text nor an object with a content")
    return side, text


def sides(messages: Sequence[tuple[str | None, str]]) -> list[str]:
    """Return messages as turns: those of one side in a row are one, and what a system says begins the next one."""
    turns: list[str] = []
    last: str | None = None
    for side, text in messages:
        if not normalise(text):
            continue
        if turns and side is not None and last in (side, SYSTEM):
            turns[-1] = f"{turns[-1]} {text}"
        else:
            turns.append(text)
        last = side
    return turns[:-1] if last == SYSTEM else turns


def turns_of(source: str) -> list[str]:
    """Return the turns of a source that `joined` made."""
    return [turn.strip() for turn in _MARK.split(source) if turn.strip()]


def recent(source: str, turns: int) -> str:
    """Return the last so many turns of a source with their marks; all of them for 0."""
    if not turns:
        return source
    starts = [found.start() for found in _MARK.finditer(source)]
    return source if len(starts) <= turns else source[starts[-turns] :]
