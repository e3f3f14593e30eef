"""Data of tasks on this machine: the files of uploads, and what is packed in them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from automl import archives
from automl.archives import Room
from automl.bundle import MANIFEST
from automl.data.images import SUFFIXES
from automl.data.raw import find_files
from automl.errors import InputError
from automl.server.contents import Contents
from automl.server.options import ServerOptions
from automl.server.problems import Problem
from automl.settings import private_folder
from automl.submissions import ZIP, Packed
from automl.tasks.image_draft import find_albums, find_scenes
from storage import objects
from storage.uploads import UploadRow

UNPACKED, WHOLE = "_", "all"
"""What archives are unpacked to: no upload is called so."""


@dataclass(frozen=True)
class Located:
    """Where a file or a folder lies, and in which archive it came, if in one."""

    path: Path
    packed: Packed | None = None

    @property
    def spoken_of(self) -> dict[Path, str]:
        """Paths that errors may name, and what people call them."""
        own = {self.path: self.path.name}
        return own if self.packed is None else own | names_of(self.packed.archive)


class Datasets:
    """Finds what uploads hold; what was fetched or unpacked once is found again."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options

    def file_of(self, row: UploadRow) -> Path:
        """Return a file with the bytes of an upload, called as its owner called it.

        Raises:
            Problem: They are gone or damaged (409).
        """
        folder = self._folder(row)
        path = folder / row.name
        if not path.exists() or path.stat().st_size != row.bytes:
            partial = folder / f".{row.name}.partial"
            try:
                partial.write_bytes(objects.read(self._options.checkpoints, row.digest))
            except objects.CorruptObject:
                raise Problem(409, f"{row.name} is gone or damaged; upload it again") from None
            partial.replace(path)
        return path

    def _folder(self, row: UploadRow) -> Path:
        return private_folder(private_folder(self._options.cache / "uploads") / row.digest)

    def splits(self, row: UploadRow) -> dict[str, Located]:
        """Return what an upload holds, by split: an archive may hold several, any other file is `train`.

        Raises:
            Problem: It holds nothing to learn from, or more than is read here.
        """
        path = self.file_of(row)
        try:
            if path.suffix.lower() == ZIP:
                return self._packed(path)
            self._check(path, unpacked_of(path).with_name(f"checked-{path.name}"), [path])
        except InputError as error:
            raise spoken(error, names_of(path)) from None
        return {"train": Located(path)}

    def split(self, row: UploadRow, split: str) -> Located:
        """Return what an upload holds of a split: what is called so, or all of it where nothing else is.

        Raises:
            Problem: It holds several splits, and not this one.
        """
        found = self.splits(row)
        if split not in found and len(found) > 1:
            raise Problem(422, f"{row.name} holds {', '.join(found)}, and no {split}; upload another for it")
        return found.get(split) or next(iter(found.values()))

    def bundle(self, row: UploadRow) -> Located:
        """Return the bundle that an upload is.

        Raises:
            Problem: It is none.
        """
        path = self.file_of(row)
        if path.suffix.lower() != ZIP:
            raise Problem(422, f"{row.name} is no bundle; upload the folder of a model as a ZIP file")
        try:
            base = self._unpack(path)
        except InputError as error:
            raise spoken(error, names_of(path)) from None
        root = root_of(base)
        if not (root / MANIFEST).is_file():
            raise Problem(422, f"{row.name} is no bundle: {MANIFEST} is missing; pack what automl export wrote")
        return _located(path, base, root)

    def _packed(self, path: Path) -> dict[str, Located]:
        base = self._unpack(path)
        try:
            self._check(path, base.with_name(f"{base.name}.checked"), archives.files_below(base))
        except InputError:
            rmtree(base, ignore_errors=True)
            raise
        root = root_of(base)
        found = find_scenes(root) or find_albums(root) or find_files(root)
        return {split: _located(path, base, each) for split, each in found.items()}

    def adds(self, row: UploadRow) -> int:
        """Return how many bytes lie on this disk beside an upload as soon as something is made of it.

        Raises:
            Problem: It cannot be unpacked.
        """
        path = self._folder(row) / row.name
        if path.suffix.lower() != ZIP:
            return 0 if path.exists() else row.bytes
        if unpacked_of(path).exists():
            return 0
        try:
            path = self.file_of(row)
            return archives.check(path, self._room)
        except InputError as error:
            raise spoken(error, names_of(path)) from None

    def _unpack(self, path: Path) -> Path:
        base = unpacked_of(path)
        private_folder(base.parent)
        return archives.unpacked(path, base, self._room)

    def _check(self, path: Path, note: Path, files: Sequence[Path]) -> None:
        """Measure what an upload holds, unless it is noted that it was, by these limits."""
        limits = repr(self._options.limits)
        if note.exists() and note.read_text() == limits:
            return
        contents = Contents(self._options.limits)
        if path.suffix.lower() == ZIP:
            contents.check_packed(files)
        else:
            contents.check(path)
        private_folder(note.parent)
        note.write_text(limits)

    @property
    def _room(self) -> Room:
        return Room(self._options.limits.unpacked_files, self._options.limits.unpacked_bytes)


def name_of_file(name: str) -> str:
    """Return what a file is called, without folders and whatever could hurt."""
    last = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[^A-Za-z0-9._ -]", "-", last).lstrip("._- ")[-200:] or "data"


def name_for(file: str) -> str:
    """Return what a search of a file may be called."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", Path(file).stem).lstrip("._-")[:100] or "task"


def root_of(folder: Path) -> Path:
    """Return where what was packed begins: a folder that is alone is entered, unless it holds the images of a class."""
    while True:
        seen = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
        if len(seen) != 1 or not seen[0].is_dir():
            return folder
        suffixes = {path.suffix.lower() for path in seen[0].iterdir() if path.is_file()}
        if suffixes and suffixes <= set(SUFFIXES):
            return folder
        folder = seen[0]


def names_of(path: Path) -> dict[Path, str]:
    """Return what people call an uploaded file, and the folder that it is unpacked to."""
    return {path: path.name, unpacked_of(path): path.name, path.parent: path.name}


def spoken(error: InputError, names: Mapping[Path, str]) -> Problem:
    """Say what is wrong with files by what people call them: where they lie is nobody's business."""
    text = str(error)
    for path in sorted(names, key=lambda path: -len(str(path))):
        text = text.replace(str(path), names[path])
    return Problem(422, text)


def spoken_of(error: InputError, found: Mapping[str, Located]) -> Problem:
    """Say what is wrong with located files by what people call them."""
    return spoken(error, {path: name for each in found.values() for path, name in each.spoken_of.items()})


def _located(archive: Path, base: Path, path: Path) -> Located:
    return Located(path, Packed(archive, path.relative_to(base).as_posix()))


def unpacked_of(path: Path) -> Path:
    """Return where an archive is unpacked to, whatever its owner calls it."""
    return path.parent / UNPACKED / WHOLE
