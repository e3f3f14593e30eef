"""A draft for images: the task document that fits them, with what was seen."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from automl.boxes import read_text
from automl.data.coco import ANNOTATIONS, INSTANCES, Document, names_of
from automl.data.images import SUFFIXES, canvas_of, said_of
from automl.data.pixels import Canvas
from automl.data.raw import RAW_READERS, SPLIT_STEMS, only
from automl.data.sources import Columns, Pairs
from automl.errors import InputError
from automl.tasks.image_classification import ImageClassification
from automl.tasks.object_detection import ObjectDetection
from automl.tasks.profile import SHOWN_CLASSES
from automl.tasks.task import Task

SCENES, ARRAYS = ".json", ".npz"
OF_IMAGES = (SCENES, ARRAYS)
KNOWN = re.compile(r"train: [\d,]+ (classes|boxes) of")
"""What the document says of the classes anyway."""


@dataclass(frozen=True)
class Seen:
    """What images of each split look like, to a kind of task."""

    files: Mapping[str, Pairs]
    task: type[Task] = ImageClassification

    @cached_property
    def canvas(self) -> Canvas:
        """The size that they are brought to."""
        return canvas_of(self.files["train"].images.values())

    @cached_property
    def classes(self) -> list[tuple[str, int]]:
        """Classes of train and how often each is there, the most frequent first."""
        targets = [target for targets in self.files["train"].targets for target in targets]
        if self.task is ObjectDetection:
            targets = [box.label for target in targets for box in read_text(target)]
        return Counter(targets).most_common()

    @cached_property
    def warnings(self) -> list[str]:
        """What is wrong or would mislead, one sentence each."""
        return [*self._left_out(), *self._leaks(), *self._sizes(), *self._inspected()]

    def _inspected(self) -> Iterator[str]:
        inspected = self.task.form.inspect(self.files)
        yield from (each for each in inspected if not KNOWN.match(each))

    def _left_out(self) -> Iterator[str]:
        for split, pairs in self.files.items():
            for reason, count in pairs.dropped.items():
                first = pairs.where(pairs.first_dropped[reason])
                yield f"{split}: left out: {count:,}, {reason} (the first is {first})"
            again = len(pairs.sources) - len(pairs.images)
            if again:
                yield f"{split}: images that are there before, which are dropped, or of two classes: {again:,}"

    def _leaks(self) -> Iterator[str]:
        train = self.files["train"].images.keys()
        for split, pairs in self.files.items():
            shared = len(train & pairs.images.keys()) if split != "train" else 0
            if shared:
                yield f"{split}: images that are also in train, where they are dropped: {shared:,}"

    def _sizes(self) -> Iterator[str]:
        for split, pairs in self.files.items():
            yield from said_of(pairs.images, self.canvas, split)

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        rows = {split: len(pairs.sources) for split, pairs in self.files.items()}
        return {"images": rows, "canvas": self.canvas._asdict(), "classes": [list(each) for each in self.classes]}


@dataclass(frozen=True)
class ImageDraft:
    """A proposed document; see `automl.tasks.draft.Draft`."""

    name: str
    files: dict[str, Path]
    seen: Seen

    @property
    def kind(self) -> str:
        """The kind of task."""
        return self.seen.task.kind

    @property
    def why(self) -> str:
        """Why it is of its kind."""
        what = "boxes" if self.seen.task is ObjectDetection else "images"
        return f"{what} of {len(self.seen.classes):,} classes"

    @property
    def warnings(self) -> list[str]:
        """What is wrong or would mislead, one sentence each."""
        return self.seen.warnings

    def to_mapping(self, folder: Path = Path()) -> dict[str, Any]:
        """Return the document as a mapping with paths relative to a folder."""
        data = {split: _path(folder, path) for split, path in self.files.items()}
        return {"name": self.name, "kind": self.kind, "data": data}

    def to_toml(self, folder: Path) -> str:
        """Return the document as TOML, with comments, to be put into a folder."""
        return "\n".join(self._lines(folder)) + "\n"

    def _lines(self, folder: Path) -> Iterator[str]:
        canvas, mapping = self.seen.canvas, self.to_mapping(folder)
        yield "# All images were looked at. Change what is wrong; automl search runs it."
        yield f"name = {_value(self.name)}"
        yield f"kind = {_value(self.kind)}  # {self.why}"
        yield "\n[data]"
        for split, path in mapping["data"].items():
            yield f"{split} = {_value(path)}  # {len(self.seen.files[split].sources):,} images"
        held = [split for split in ("valid", "test") if split not in self.files]
        if held:
            yield f"# {' and '.join(held)} will be held out of train: a tenth of its images each, 2,000 at most"
        yield f"# every image is brought to {canvas.height} × {canvas.width}, {canvas.channels} channels"
        first, *others = self.seen.task.metrics
        yield f"\n[metric]\nname = {_value(first)}  # or {', '.join(others)}"
        yield '\n[budget]\ntime = "10m"'
        total = sum(count for _, count in self.seen.classes)
        yield f"\n# {len(self.seen.classes):,} classes:"
        for name, count in self.seen.classes[:SHOWN_CLASSES]:
            yield f"#   {_value(name[:40])}: {count:,} ({count / total:.1%})"
        if self.warnings:
            yield "\n# Look at this before you trust a score:"
            yield from (f"# - {warning}" for warning in self.warnings)


def propose_images(name: str, files: Mapping[str, Path]) -> ImageDraft:
    """Look at the images of each split and propose a document; a json file says where there are objects on them.

    Raises:
        InputError: They cannot be read, or there is nothing to learn from.
    """
    task: type[Task] = ObjectDetection if files["train"].suffix.lower() == SCENES else ImageClassification
    read = {split: task.form.read(path, Columns()) for split, path in files.items()}
    return ImageDraft(name, dict(files), Seen(read, task))


def find_scenes(data: Path) -> dict[str, Path] | None:
    """Return the json file of each split, if there are any: one, or in a folder by their names or those of folders.

    The files may lie in a folder `annotations` of the folder, as COCO's do.

    Raises:
        InputError: Two are called alike, or several are as COCO's and none is called train.
    """
    if data.suffix.lower() == SCENES and data.is_file():
        return {"train": data}
    if not data.is_dir():
        return None
    files = [path for path in sorted(data.glob(f"*{SCENES}")) if path.is_file()]
    annotated = [path for path in sorted(data.glob(f"*/*{SCENES}")) if path.parent.name.casefold() == ANNOTATIONS]
    below = {path.parent.name.casefold(): path for path in sorted(data.glob(f"*/*{SCENES}"))}
    by_split = {}
    for split, stems in SPLIT_STEMS.items():
        named = [path for path in (*files, *annotated) if names_of(path)[-1].casefold() in stems]
        if named:
            by_split[split] = named
        elif inside := next((below[stem] for stem in stems if stem in below), None):
            by_split[split] = [inside]
    if "train" in by_split:
        return {split: only(data, split, named) for split, named in by_split.items()}
    return _alone(files) or _alone(annotated) or _instances(data, annotated)


def _instances(data: Path, annotated: Sequence[Path]) -> dict[str, Path] | None:
    """Return COCO's file of instances, whatever is wrong with it, where a folder has one alone."""
    named = [path for path in annotated if path.name.startswith(INSTANCES)]
    if len(named) > 1:
        held = ", ".join(path.name for path in named[:6])
        raise InputError(
            f"{data}: no file of {ANNOTATIONS} is called train (it has {held}); call one {INSTANCES}train{SCENES}"
        )
    return {"train": named[0]} if named else None


def _alone(files: Sequence[Path]) -> dict[str, Path] | None:
    """Return a json file as COCO's where a folder has no other."""
    if len(files) != 1:
        return None
    try:
        Document(files[0])
    except InputError:
        return None
    return {"train": files[0]}


def find_albums(data: Path) -> dict[str, Path] | None:
    """Return where the images of each split are, if there are any: .npz files, or folders of classes.

    A folder with a text file called train holds texts, whatever pictures lie beside it.
    """
    if data.suffix.lower() == ARRAYS and data.is_file():
        return {"train": data}
    if not data.is_dir():
        return None
    children = sorted(data.iterdir())
    arrays = [path for path in children if path.suffix.lower() == ARRAYS]
    folders = [path for path in children if path.is_dir() and _has_images(path)]
    known = [*folders, *arrays]
    by_split = {name: path for name, stems in SPLIT_STEMS.items() for path in known if path.stem.casefold() in stems}
    if "train" in by_split:
        return by_split
    if len(arrays) == 1:
        return {"train": arrays[0]}
    if arrays:
        raise InputError(f"{data}: no file is called train; name one file, or call it train.npz")
    return {"train": data} if folders and not any(map(_trains_on_texts, children)) else None


def _trains_on_texts(path: Path) -> bool:
    return path.suffix.lower() in RAW_READERS and path.stem.casefold() in SPLIT_STEMS["train"] and path.is_file()


def _has_images(folder: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*"))


def _path(folder: Path, path: Path) -> str:
    absolute, base = path.absolute(), folder.absolute()
    return str(absolute.relative_to(base)) if absolute.is_relative_to(base) else str(absolute)


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
