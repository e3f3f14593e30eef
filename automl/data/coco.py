"""Json files as COCO's (Lin et al., 2014): what they say of images, and where the images lie.

Images lie beside the file or in `images/`, or in a folder of the file's own name, such as `train2017/` or
`images/train2017/` for `instances_train2017.json`. A file in a folder `annotations` may have them beside that folder.
"""

import json
import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.albums import IMAGES, plain_arrays
from automl.data.images import MOST_PIXELS, Image, checked, read_sized
from automl.data.lines import unreadable
from automl.errors import InputError

ARRAYS = ".npz"
ANNOTATIONS = "annotations"
INSTANCES = "instances_"
LISTS = ("images", ANNOTATIONS, "categories")
YEAR = re.compile(r"[-_]?(19|20)\d\d$")
KNOWN_BY = (int, str, float)


def names_of(path: Path) -> tuple[str, ...]:
    """Return what a json file is called without what COCO puts before and behind it: `train2017`, `train`."""
    name = path.stem.removeprefix(INSTANCES)
    return tuple(dict.fromkeys((name, YEAR.sub("", name) or name)))


class Document:
    """A json file as COCO's, and where its images lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise unreadable(path, error) from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 at byte {error.start:,}; save it as UTF-8") from None
        except (ValueError, RecursionError):
            raise InputError(
                f"{path}: this is not JSON; write images, annotations and categories as COCO does"
            ) from None
        lists = [content.get(key) if isinstance(content, dict) else None for key in LISTS]
        if not all(isinstance(each, list) and all(isinstance(item, dict) for item in each) for each in lists):
            raise InputError(
                f"{path}: lacks a list of images, annotations or categories, as COCO has them; "
                "rows of texts go into a .jsonl file, one object on each line"
            )
        self.images, self.annotations, self.categories = (list(each or ()) for each in lists)

    def ids(self, key: str) -> set[object]:
        """Return the ids of its `images` or `categories`.

        Raises:
            InputError: One has none, or that of another.
        """
        found: set[object] = set()
        for index, each in enumerate(getattr(self, key)):
            identity = each.get("id")
            if not isinstance(identity, KNOWN_BY):
                raise InputError(f"{self.path}: {key}[{index}] has no id; give each a number of its own")
            if identity in found:
                raise InputError(
                    f"{self.path}: {key}[{index}] has the id {identity} of another; give it one of its own"
                )
            found.add(identity)
        return found

    def files(self) -> list[Path]:
        """Return the files that hold its images."""
        return list(dict.fromkeys(self.place(index, each)[0] for index, each in enumerate(self.images)))

    def place(self, index: int, image: Mapping[str, Any]) -> tuple[Path, int | None]:
        """Return the file of an image, and its place in it where that is one of arrays.

        `file_name` names an image, or `FILE.npz#PLACE`; without one, it is the array of the same place in the .npz file
        of the same name.

        Raises:
            InputError: It is not there, lies outside of the folder, or cannot be a name.
        """
        name, where = str(image.get("file_name") or ""), f"{self.path}: image {image.get('id')}"
        arrays, _, number = name.partition("#")
        try:
            if not name:
                path, place = self.path.with_suffix(ARRAYS), index
            elif arrays.endswith(ARRAYS):
                path, place = self._found(arrays), int(number) if number.isdecimal() else index
            else:
                path, place = self._found(name), None
            is_inside, is_there = path.resolve().is_relative_to(self._root), path.is_file()
        except (OSError, ValueError):
            raise InputError(f"{where}: {name[:80]!r} cannot be the name of a file") from None
        if not is_inside:
            raise InputError(f"{where}: {name} lies outside of its folder; move it there")
        if not name and not is_there:
            raise InputError(f"{where} has no file_name, and there is no {path.name}; name its file")
        if not is_there:
            shown = ", ".join(f"{folder.relative_to(self._base)}/" for folder in self._folders)
            raise InputError(f"{where}: there is no such image as {name}; it was looked for in {shown}; put it there")
        return path, place

    def _found(self, file: str) -> Path:
        """Return where a file of images is; where it is nowhere, the first place that it could be at."""
        folders = self._folders if ".." not in Path(file).parts else [self._beside]
        places = [Path(os.path.normpath(folder / file)) for folder in folders]
        return next((place for place in places if place.exists()), places[0])

    @cached_property
    def _beside(self) -> Path:
        return self.path.parent if self.path.parent.name else self.path.absolute().parent

    @cached_property
    def _base(self) -> Path:
        """The folder that all of its images lie in or below."""
        return self._beside.parent if self._beside.name.casefold() == ANNOTATIONS else self._beside

    @cached_property
    def _root(self) -> Path:
        return self._base.resolve()

    @cached_property
    def _folders(self) -> list[Path]:
        """Where its images may be: beside it, in a folder of its name, in `images`, beside `annotations`."""
        named = [folder / name for name in names_of(self.path) for folder in (self._base, self._base / "images")]
        return list(dict.fromkeys([self._beside, *named, self._base / "images", self._base]))

    @cached_property
    def arrays(self) -> dict[Path, NDArray[np.uint8]]:
        """The arrays of each .npz file."""
        return {path: _images_of(path) for path in self.files() if path.suffix == ARRAYS}

    def image(self, index: int) -> tuple[Image, float]:
        """Read an image; also return by how much it was made smaller than its `width` and `height` say.

        Raises:
            InputError: It is not there, broken, or of another ratio.
        """
        path, place = self.place(index, self.images[index])
        said = _size_of(self.images[index])
        if place is None:
            return read_sized(path, said)
        if place >= len(self.arrays[path]):
            where = f"{self.path}: image {self.images[index].get('id')}"
            raise InputError(f"{where}: there is no image {place} in {path.name}; it has {len(self.arrays[path]):,}")
        return read_sized(self.arrays[path][place], said)


def _size_of(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the width and the height that are said of an image, where both are whole numbers of pixels."""
    width, height = image.get("width"), image.get("height")
    if not (isinstance(width, int) and isinstance(height, int)):
        return None
    return (width, height) if min(width, height) > 0 and max(width, height) < MOST_PIXELS else None


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
