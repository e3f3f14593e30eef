"""Boxes: the objects of an image as text."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


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
    others = {"others": {label: round(each, 4) for label, each in box.others}} if box.others else {}
    return {"class": box.label, "box": shape, **score, **others}


def read_text(text: str) -> list[Box]:
    """Return the boxes of a text; none where it is no list of them."""
    try:
        objects = json.loads(text)
        return [_box(each) for each in objects]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _box(entry: Mapping[str, Any]) -> Box:
    left, upper, width, height = map(float, entry["box"])
    others = tuple((str(label), float(score)) for label, score in entry.get("others", {}).items())
    return Box(str(entry["class"]), left, upper, width, height, entry.get("score"), others)


def scaled(text: str, scale: float) -> str:
    """Return the boxes of an image that is so many times as large."""
    if scale == 1:
        return text
    return to_text(_larger(box, scale) for box in read_text(text))


def _larger(box: Box, scale: float) -> Box:
    left, upper, width, height = (scale * edge for edge in box[1:5])
    return box._replace(left=left, upper=upper, width=width, height=height)
