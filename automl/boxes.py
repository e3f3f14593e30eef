"""Boxes: the objects of an image as text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

SURE, SAME = 0.5, 0.7
"""Score from which on a box counts when two lists are compared, and the overlap of two that lie alike."""


class Box(NamedTuple):
    """An object: its class, its left and upper edge, width and height in pixels, and how sure a model is of it.

    `others` are classes that it may be of instead, the likeliest first, each with its score.
    """

    label: str
    left: float
    upper: float
    width: float
    height: float
    score: float | None = None
    others: tuple[tuple[str, float], ...] = ()


def to_text(boxes: Iterable[Box]) -> str:
    """Return boxes as a JSON list, as `read_text` reads it."""
    return json.dumps([_object(box) for box in boxes], ensure_ascii=False)


def _object(box: Box) -> dict[str, Any]:
    shape = [round(value, 2) for value in (box.left, box.upper, box.width, box.height)]
    score = {} if box.score is None else {"score": round(box.score, 4)}
    others = [{"class": label, "score": round(each, 4)} for label, each in box.others]
    return {"class": box.label, "box": shape, **score, **({"others": others} if others else {})}


def read_text(text: str) -> list[Box]:
    """Return the boxes of a text; none where it is no list of them."""
    try:
        objects = json.loads(text)
        return [_box(each) for each in objects]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _box(entry: Mapping[str, Any]) -> Box:
    left, upper, width, height = map(float, entry["box"])
    others = tuple((str(other["class"]), float(other["score"])) for other in entry.get("others", ()))
    return Box(str(entry["class"]), left, upper, width, height, entry.get("score"), others)


def scaled(text: str, scale: float) -> str:
    """Return the boxes of an image that is so many times as large."""
    if scale == 1:
        return text
    return to_text(_larger(box, scale) for box in read_text(text))


def _larger(box: Box, scale: float) -> Box:
    left, upper, width, height = (scale * edge for edge in box[1:5])
    return box._replace(left=left, upper=upper, width=width, height=height)


def lie_alike(these: Sequence[Box], those: Sequence[Box]) -> bool:
    """Say whether each box that one of two lists is sure of is in the other, sure or not.

    Of one that is sure of none it is the surest, unless the other says that there is none at all.
    """
    pairs = ((these, those), (those, these))
    return all(_is_among(box, others) for boxes, others in pairs for box in _surest(boxes, alone=not others))


def _surest(boxes: Sequence[Box], *, alone: bool) -> Sequence[Box]:
    scored = sorted(boxes, key=lambda box: -(box.score or 0.0))
    sure = [box for box in scored if (box.score or 0.0) >= SURE]
    return sure if sure or alone else scored[:1]


def _is_among(box: Box, boxes: Sequence[Box]) -> bool:
    return any(box.label == other.label and overlap(box, other) >= SAME for other in boxes)


def overlap(one: Box, other: Box) -> float:
    """Return the area that two boxes share, as a part of what they cover together."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.upper + one.height, other.upper + other.height) - max(one.upper, other.upper)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / max(one.width * one.height + other.width * other.height - shared, 1e-9)
