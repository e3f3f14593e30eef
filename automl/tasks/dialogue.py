"""Turns of a conversation in, the next turn out."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from automl.data.fields import MARKS
from automl.data.forms import Form
from automl.data.lines import lines
from automl.data.sources import (
    NO_SOURCE,
    READERS,
    Column,
    Columns,
    Pairs,
    Row,
    collect,
    json_object,
    read_pairs,
    text_of,
)
from automl.data.turns import KEYS, OTHER, OWN, joined, messages_of, sides
from automl.errors import InputError
from automl.tasks.profile import DIVIDED, Profile
from automl.tasks.task import Task

DIVIDER = re.compile(r"\s*(?:\|\||\t|\n)\s*")
ONE_TURN = "one turn only"
SPOKEN = 0.8


def prepare(text: str) -> str:
    """Return a source of what was said so far: turns with `||`, a tab or a line break between, the last one latest.

    Several columns of a row are turns too, each of which may be several.
    """
    if text.startswith((OTHER, OWN)):
        return text
    return joined([turn for turn in DIVIDER.split(MARKS.sub("\t", text).strip()) if turn.strip()])


def read_turns(path: Path, columns: Columns) -> Pairs:
    """Read what was said before and the next turn, or whole conversations from JSON lines.

    An object of a conversation has a list under one of `KEYS`, of texts or of objects with `content`; every turn but
    its first is a target. Messages of one `role` in a row are one turn, and those of a system begin the turn after.

    Raises:
        InputError: The file cannot be read, or holds no conversation of two turns.
    """
    key = _conversation_key(path) if path.suffix.lower() == ".jsonl" else None
    if key is not None:
        pairs = collect(path, _conversations(path, key, columns.weight), Columns(weight=columns.weight))
        pairs = replace(pairs, units=_units(pairs))
    else:
        pairs = replace(read_pairs(path, columns, prepare), missing={})
    return replace(pairs, dropped=_named(pairs.dropped), first_dropped=_named(pairs.first_dropped))


def _units(pairs: Pairs) -> list[str]:
    """Return for each row the whole of its conversation: the longest source of its line, with what follows."""
    whole = {number: f"{s} {t[0]}" for number, s, t in zip(pairs.numbers, pairs.sources, pairs.targets, strict=True)}
    return [whole[number] for number in pairs.numbers]


def _named(counts: Any) -> dict[str, int]:
    return {ONE_TURN if reason == NO_SOURCE else reason: count for reason, count in counts.items()}


def _conversation_key(path: Path) -> str | None:
    first = next(lines(path), None) if path.is_file() else None
    record = json_object(path, 1, first) if first else {}
    keys = [key for key in KEYS if key in record]
    return next((key for key in keys if isinstance(record[key], list)), keys[0] if keys else None)


def _conversations(path: Path, key: str, weight: Column | None) -> Iterator[Row]:
    for number, line in enumerate(lines(path), start=1):
        record = json_object(path, number, line)
        turns, counts = _turns(path, number, record.get(key) or []), record.get(str(weight))
        if len(turns) < 2:
            yield Row(number, [""], turns)
        yield from (Row(number, [joined(turns[:index])], [turns[index]], counts) for index in range(1, len(turns)))


def _turns(path: Path, number: int, values: object) -> list[str]:
    try:
        messages = messages_of(values)
    except ValueError as error:
        raise InputError(f"{path}: line {number}: {error}; write texts") from None
    for _, text in messages:
        text_of(path, f"line {number}", "content", text)
    return sides(messages)


class Dialogue(Task):
    """Dialogue (Vinyals and Le, 2015): the turns so far, each behind the mark of its side, to the next turn.

    Scored by what a character of the true next turn costs: of many fitting answers, references hold one.
    """

    kind: ClassVar[str] = "dialogue"
    metrics: ClassVar[tuple[str, ...]] = ("bits_per_character", "perplexity")
    narrowed_space: ClassVar[Mapping[str, Any]] = {"history_turns": [2, 1, 4, 8]}
    form: ClassVar[Form] = Form("turns", read_turns, tuple(READERS), prepare=prepare, recurring=True, version=2)

    @classmethod
    def suits(cls, profile: Profile) -> str | None:
        """Say that both sides begin with who speaks, that sources are divided, or that rows are lists of turns."""
        source, target = profile.source, profile.target
        if source is None:
            return "each row is a list of turns" if target.column in KEYS else None
        if target.has_classes:
            return None
        if source.divided >= DIVIDED:
            return f"{source.divided:.0%} of sources have || between turns"
        if min(source.spoken, target.spoken) < SPOKEN:
            return None
        return f"{min(source.spoken, target.spoken):.0%} of texts begin with a speaker and a colon"
