"""Scenes: images with the boxes of their objects, in a json file as COCO's (Lin et al., 2014)."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.boxes import Box, to_text
from automl.data.albums import IMAGES, plain_arrays
from automl.data.images import BROKEN, Image, checked, digest, read_sized
from automl.data.lines import unreadable
from automl.data.sources import Columns, Pairs
from automl.data.tokenizers import normalise
from automl.errors import InputError

OUTSIDE, EMPTY, CUT, CROWD = "outside of its image", "of no area", "reaching over the edge, cut there", "of crowds"
LEFT_OUT = (OUTSIDE, EMPTY, CROWD)
MOST_LEFT_OUT = 0.5
ARRAYS = ".npz"


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


class Document:
    """A json file as COCO's, and where its images lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise unreadable(path, error) from error
        except (ValueError, RecursionError):
            raise InputError(
                f"{path}: this is not JSON; write images, annotations and categories as COCO does"
            ) from None
        lists = [
            content.get(key) if isinstance(content, dict) else None for key in ("images", "annotations", "categories")
        ]
        if not all(isinstance(each, list) and all(isinstance(item, dict) for item in each) for each in lists):
            raise InputError(f"{path}: lacks a list of images, annotations or categories, as COCO has them")
        self.images, self.annotations, self.categories = (list(each or ()) for each in lists)

    def files(self) -> list[Path]:
        """Return the files that hold its images."""
        return list(dict.fromkeys(self.place(index, each)[0] for index, each in enumerate(self.images)))

    def place(self, index: int, image: Mapping[str, Any]) -> tuple[Path, int | None]:
        """Return the file of an image, and its place in it where that is one of arrays.

        `file_name` names an image, or `FILE.npz#PLACE`; without one, it is the array of the same place in the .npz file
        of the same name.
        """
        name = image.get("file_name")
        if not name:
            return self.path.with_suffix(ARRAYS), index
        file, _, number = str(name).partition("#")
        path = self.path.parent / file
        if not path.resolve().is_relative_to(self.path.parent.resolve()):
            raise InputError(f"{self.path}: image {image.get('id')}: {name} lies outside of its folder; move it there")
        if file.endswith(ARRAYS):
            return path, int(number) if number.isdigit() else index
        beside = self.path.parent / "images" / file
        return (path if path.exists() or not beside.exists() else beside), None

    @cached_property
    def arrays(self) -> dict[Path, NDArray[np.uint8]]:
        """The arrays of each .npz file."""
        return {path: _images_of(path) for path in self.files() if path.suffix == ARRAYS}

    def image(self, index: int) -> tuple[Image, float]:
        """Read an image; also return by how much it was made smaller.

        Raises:
            InputError: It is not there, or broken.
        """
        path, place = self.place(index, self.images[index])
        if place is None:
            return read_sized(path)
        if place >= len(self.arrays[path]):
            raise InputError(f"{path}: there is no image {place}; it has {len(self.arrays[path]):,}")
        return read_sized(self.arrays[path][place])


def _images_of(path: Path) -> NDArray[np.uint8]:
    arrays = plain_arrays(path)
    found = next((arrays[name] for name in IMAGES if name in arrays), None)
    if found is None or found.ndim not in (3, 4) or not len(found):
        raise InputError(f"{path}: holds no array of images called {' or '.join(IMAGES)}")
    checked(found[0], str(path))
    return found


def files_of(path: Path) -> list[Path]:
    """Return the files that a json file needs.

    Raises:
        InputError: It is none as COCO's.
    """
    return Document(path).files()


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
    broken: list[int] = []
    for index, entry in enumerate(document.images):
        try:
            image, scale = document.image(index)
        except InputError as error:
            if BROKEN not in str(error):
                raise
            broken.append(index + 1)
            continue
        source = digest(image)
        images[source] = image
        shown = _within(boxes.get(entry.get("id"), []), image, scale, counts)
        kept.append((index + 1, source, [to_text(shown)]))
    said, names = counts.said(path), [f"image {entry.get('id')}" for entry in document.images]
    _refuse_broken(path, [names[number - 1] for number in broken], len(names))
    numbers, sources, targets = (list(column) for column in zip(*kept, strict=True))
    dropped, first = ({BROKEN: len(broken)}, {BROKEN: broken[0]}) if broken else ({}, {})
    rows = len(document.images)
    return Pairs(path, sources, targets, rows, dropped, numbers, first, images=images, names=names, notices=said)


def _refuse_broken(path: Path, broken: Sequence[str], count: int) -> None:
    if not count:
        raise InputError(f"{path}: lists no image; name some under images")
    if 2 * len(broken) > count:
        raise InputError(
            f"{path}: {len(broken):,} of its {count:,} images are broken, {broken[0]} the first; save them anew"
        )


def _boxes(document: Document, counts: Counts) -> dict[Any, list[tuple[object, Box]]]:
    """Return the boxes of each image by its id, each beside its own id."""
    labels = {each.get("id"): normalise(str(each.get("name", each.get("id")))) for each in document.categories}
    known = {each.get("id") for each in document.images}
    found: dict[Any, list[tuple[object, Box]]] = {}
    for each in document.annotations:
        identity, image, shape = each.get("id"), each.get("image_id"), each.get("bbox")
        where = f"{document.path}: annotation {identity}"
        if image not in known:
            raise InputError(f"{where} is of image {image}, which is not among images")
        if each.get("category_id") not in labels:
            raise InputError(f"{where} is of category {each.get('category_id')}, which is not among categories")
        if not (isinstance(shape, list) and len(shape) == 4 and all(_is_number(value) for value in shape)):
            raise InputError(f"{where} has no bbox of four numbers: left, upper, width, height")
        counts.boxes += 1
        if each.get("iscrowd"):
            counts.note(CROWD, identity)
        else:
            found.setdefault(image, []).append((identity, Box(labels[each["category_id"]], *map(float, shape))))
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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
