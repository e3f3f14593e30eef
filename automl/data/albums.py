"""Albums: images with the class of each, in a .npz file or in a folder with a folder for each class."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.images import BROKEN, SUFFIXES, Image, checked, digest, read_image
from automl.data.lines import unreadable
from automl.data.sources import Column, Columns, Pairs, text_of
from automl.data.tokenizers import normalise
from automl.errors import InputError

IMAGES, LABELS = ("images", "x", "image", "data"), ("labels", "y", "label", "target", "targets", "classes")
NO_CLASS, NO_IMAGE = "in no folder of a class", "not a .png or .jpg"
MOST_BROKEN = 0.5

Member = tuple[Image | None, str, str]
"""An image, its class, and why it is left out where it is."""


def read_album(path: Path, columns: Columns) -> Pairs:
    """Read images and their classes; the source of a row is what tells its image from others.

    A .npz holds an array of images and one of labels, named by `columns` or as is usual.

    Raises:
        InputError: Nothing of the kind can be read, or most of it is broken.
    """
    if len(columns.sources) > 1 or columns.weight is not None:
        raise InputError(f"{path}: images have one source and no weights; leave the other columns out of [data]")
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        return _gathered(path, (_member(path, file) for file in files), [_shown(f.relative_to(path)) for f in files])
    images, labels = _read_arrays(path, columns)
    pairs = zip(images, labels.tolist(), strict=True)
    return _gathered(path, ((read_image(image), normalise(str(label)), "") for image, label in pairs))


def _member(root: Path, file: Path) -> Member:
    folders = file.relative_to(root).parts[:-1]
    if file.suffix.lower() not in SUFFIXES:
        return None, "", NO_IMAGE
    if not folders:
        return None, "", NO_CLASS
    try:
        return read_image(file), normalise(text_of(root, "a folder", _shown(folders[0]), folders[0])), ""
    except InputError as error:
        if BROKEN not in str(error):
            raise
        return None, "", BROKEN


def _shown(name: object) -> str:
    """Return a name of a file as one that can be written, whatever bytes it is of."""
    return str(name).encode(errors="backslashreplace").decode()


def _gathered(path: Path, members: Iterable[Member], names: Sequence[str] = ()) -> Pairs:
    images: dict[str, Image] = {}
    kept: list[tuple[int, str, list[str]]] = []
    dropped: Counter[str] = Counter()
    first_dropped: dict[str, int] = {}
    for number, (image, label, why) in enumerate(members, start=1):
        if image is None or not label:
            reason = why or "no class"
            dropped[reason] += 1
            first_dropped.setdefault(reason, number)
            continue
        source = digest(image)
        images[source] = image
        kept.append((number, source, [label]))
    _check(path, len(kept), dropped, names[first_dropped[BROKEN] - 1] if BROKEN in dropped else "")
    numbers, sources, targets = (list(column) for column in zip(*kept, strict=True))
    rows_in = len(kept) + dropped.total()
    return Pairs(path, sources, targets, rows_in, dict(dropped), numbers, first_dropped, images=images, names=names)


def _check(path: Path, kept: int, dropped: Counter[str], first: str) -> None:
    if dropped[BROKEN] > MOST_BROKEN * (kept + dropped[BROKEN]):
        raise InputError(f"{path}: {dropped[BROKEN]:,} of its images are broken, {first} the first; save them anew")
    if not kept:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(dropped.items())) or "it is empty"
        raise InputError(f"{path}: holds no image with a class ({reasons}); put them into a folder for each class")


def _read_arrays(path: Path, columns: Columns) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    arrays = plain_arrays(path)
    images = _array(path, arrays, next(iter(columns.sources), None), IMAGES, "images")
    labels = _array(path, arrays, columns.target[0] if columns.target else None, LABELS, "labels")
    if images.ndim not in (3, 4) or not len(images):
        raise InputError(f"{path}: images of shape {images.shape}; they must be images, height, width, channels")
    checked(images[0], str(path))
    if labels.shape != (len(images),) or labels.dtype.kind not in "iuUb":
        raise InputError(
            f"{path}: labels of shape {labels.shape} and type {labels.dtype} for {len(images):,} images; "
            "give one whole number or text for each"
        )
    return (images[..., None] if images.ndim == 3 else images), labels


def plain_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a .npz file; pickled ones are refused.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:
        raise no_arrays(path, error) from None


def no_arrays(path: Path, error: Exception) -> InputError:
    """Say that a file is no .npz file of plain arrays: of a wrong one NumPy raises whatever its parsers do."""
    why = str(error).partition("\n")[0][:200] or type(error).__name__
    return InputError(f"{path}: not a .npz file of plain arrays ({why}); write it by numpy.savez")


def _array(
    path: Path, arrays: Mapping[str, NDArray[Any]], wanted: Column | None, usual: Sequence[str], what: str
) -> NDArray[Any]:
    names = [str(wanted)] if wanted is not None else usual
    found = next((name for name in names if name in arrays), None)
    if found is None:
        key = "source" if what == "images" else "target"
        held = ", ".join(sorted(arrays)) or "none"
        raise InputError(f"{path}: no array of {what} is called {' or '.join(names)} (it has {held}); name it: {key}")
    return arrays[found]
