"""Scenes: images with the boxes of their objects, from a json file as COCO's."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl.boxes import Box, to_text
from automl.data.coco import KNOWN_BY, Document
from automl.data.images import BROKEN, UNLIKE, Image, digest
from automl.data.sources import Columns, Pairs, text_of
from automl.data.tokenizers import normalise
from automl.errors import InputError

OUTSIDE, EMPTY, CUT, CROWD = "outside of its image", "of no area", "reaching over the edge, cut there", "of crowds"
LEFT_OUT = (OUTSIDE, EMPTY, CROWD)
MOST_LEFT_OUT = 0.5
LARGEST_NUMBER = 1e9


@dataclass
class Counts:
    """How many boxes there are, and of each trouble how many have it, and which was the first."""

    boxes: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    first: dict[str, object] = field(default_factory=dict)

    def note(self, trouble: str, identity: object) -> None:
        """Take note of one."""
        self.troubles[trouble] += 1
        self.first.setdefault(trouble, identity)

    def said(self, path: Path) -> list[str]:
        """Return a sentence of each trouble.

        Raises:
            InputError: Most boxes are left out.
        """
        left_out = sum(self.troubles[trouble] for trouble in LEFT_OUT)
        shown = [f"{count:,} {why} (the first is annotation {self.first[why]})" for why, count in self.troubles.items()]
        if left_out > MOST_LEFT_OUT * self.boxes:
            raise InputError(f"{path}: most of its {self.boxes:,} boxes cannot be: {'; '.join(shown)}; check bbox")
        return [f"{path.name}: boxes {each}" for each in shown]


def read_scenes(path: Path, columns: Columns) -> Pairs:
    """Read images and the boxes on each as a text; a broken image is left out, and so is a box that cannot be.

    Raises:
        InputError: The file is none as COCO's, names what is not there, or most of its boxes or images cannot be.
    """
    if len(columns.sources) > 1 or columns.weight is not None:
        raise InputError(f"{path}: images have one source and no weights; leave the other columns out of [data]")
    document, counts = Document(path), Counts()
    boxes = _boxes(document, counts)
    images: dict[str, Image] = {}
    kept: list[tuple[int, str, list[str]]] = []
    dropped: Counter[str] = Counter()
    first: dict[str, int] = {}
    for index, entry in enumerate(document.images):
        try:
            image, scale = document.image(index)
        except InputError as error:
            reason = next((each for each in (BROKEN, UNLIKE) if each in str(error)), None)
            if reason is None:
                raise
            dropped[reason] += 1
            first.setdefault(reason, index + 1)
            continue
        source = digest(image)
        images[source] = image
        shown = _within(boxes.get(entry.get("id"), []), image, scale, counts)
        kept.append((index + 1, source, [to_text(shown)]))
    said, names = counts.said(path), [f"image {entry.get('id')}" for entry in document.images]
    _refuse_left_out(path, dropped, {reason: names[number - 1] for reason, number in first.items()}, len(names))
    numbers, sources, targets = (list(column) for column in zip(*kept, strict=True))
    rows = len(document.images)
    return Pairs(path, sources, targets, rows, dict(dropped), numbers, first, images=images, names=names, notices=said)


def _refuse_left_out(path: Path, dropped: Counter[str], first: Mapping[str, str], count: int) -> None:
    if not count:
        raise InputError(f"{path}: lists no image; name some under images")
    if 2 * dropped.total() <= count:
        return
    if dropped[BROKEN] >= dropped[UNLIKE]:
        raise InputError(
            f"{path}: {dropped[BROKEN]:,} of its {count:,} images are broken, {first[BROKEN]} the first; save them anew"
        )
    raise InputError(
        f"{path}: {dropped[UNLIKE]:,} of its {count:,} images are of another ratio than their width and height say, "
        f"{first[UNLIKE]} the first; check both"
    )


def _boxes(document: Document, counts: Counts) -> dict[Any, list[tuple[object, Box]]]:
    """Return the boxes of each image by its id, each beside its own id."""
    known, categories = document.ids("images"), document.ids("categories")
    labels = {each["id"]: _label(document.path, each) for each in document.categories}
    found: dict[Any, list[tuple[object, Box]]] = {}
    for each in document.annotations:
        identity, image, shape = each.get("id"), each.get("image_id"), each.get("bbox")
        where = f"{document.path}: annotation {identity}"
        if not (isinstance(image, KNOWN_BY) and image in known):
            raise InputError(f"{where} is of image {str(image)[:40]}, which is not among images")
        category = each.get("category_id")
        if not (isinstance(category, KNOWN_BY) and category in categories):
            raise InputError(f"{where} is of category {str(category)[:40]}, which is not among categories")
        if not (isinstance(shape, list) and len(shape) == 4 and all(_is_number(value) for value in shape)):
            raise InputError(f"{where} has no bbox of four numbers: left, upper, width, height")
        counts.boxes += 1
        if each.get("iscrowd"):
            counts.note(CROWD, identity)
        else:
            left, upper, width, height = map(float, shape)
            found.setdefault(image, []).append((identity, Box(labels[category], left, upper, width, height)))
    return found


def _label(path: Path, category: Mapping[str, Any]) -> str:
    where = f"category {category['id']}"
    label = normalise(text_of(path, where, "name", str(category.get("name", category["id"]))))
    if not label:
        raise InputError(f"{path}: {where} has an empty name; give it one")
    return label


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER


def _within(boxes: Sequence[tuple[object, Box]], image: Image, scale: float, counts: Counts) -> Iterator[Box]:
    """Yield boxes in the pixels of an image, cut at its edges."""
    height, width = image.shape[:2]
    for identity, box in boxes:
        if box.width <= 0 or box.height <= 0:
            counts.note(EMPTY, identity)
            continue
        left, upper = max(box.left * scale, 0.0), max(box.upper * scale, 0.0)
        right, lower = min((box.left + box.width) * scale, width), min((box.upper + box.height) * scale, height)
        if right <= left or lower <= upper:
            counts.note(OUTSIDE, identity)
            continue
        beyond = (box.left < -1, box.upper < -1, (box.left + box.width) * scale > width + 1)
        if any(beyond) or (box.upper + box.height) * scale > height + 1:
            counts.note(CUT, identity)
        yield Box(box.label, left, upper, right - left, lower - upper)
