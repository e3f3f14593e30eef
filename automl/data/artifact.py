"""An artifact: a folder that is written whole or not at all, and that knows the bytes of its files."""

import json
import shutil
import tempfile
from collections.abc import Callable
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from automl.errors import InputError
from storage.objects import flush

META = "meta.json"

Meta = dict[str, Any]


def read_meta(folder: Path, version: int) -> Meta | None:
    """Return what a whole artifact says of itself; nothing where it is of another version, or a file lacks bytes."""
    try:
        meta: Meta = json.loads((folder / META).read_text(encoding="utf-8"))
        whole = meta["version"] == version and all(
            (folder / name).stat().st_size == entry["bytes"] for name, entry in meta["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return meta if whole else None


def is_intact(folder: Path, version: int) -> bool:
    """Whether every byte is as it was written."""
    meta = read_meta(folder, version)
    try:
        return meta is not None and all(sha256_of(folder / n) == e["sha256"] for n, e in meta["files"].items())
    except OSError:
        return False


def build(folder: Path, version: int, write: Callable[[Path], Meta], root: Path) -> None:
    """Have the files of an artifact written beside its folder, and move them into place; `write` returns the rest.

    Whatever lies there is replaced if it is damaged; else it is the same, by another process.

    Raises:
        InputError: Nothing can be written there; `root` is what the error calls it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))  # mode 0700
        try:
            meta = write(scratch)
            meta |= {"version": version, "files": _files(scratch)}
            (scratch / META).write_text(json.dumps(meta, indent=1, ensure_ascii=False), encoding="utf-8")
            for path in scratch.iterdir():
                flush(path)
            _publish(scratch, folder, version)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{root}: the token table cannot be written there ({error.strerror})") from error


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def sha256_of_all(folder: Path) -> str:
    """Return one over the names and the bytes of all files in a folder and below it."""
    whole = sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        whole.update(f"{path.relative_to(folder)}\0{sha256_of(path)}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _files(folder: Path) -> Meta:
    return {path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in sorted(folder.iterdir())}


def _publish(scratch: Path, folder: Path, version: int) -> None:
    if folder.exists() and not is_intact(folder, version):
        folder.rename(scratch.with_name(f"{scratch.name}-damaged"))
        shutil.rmtree(scratch.with_name(f"{scratch.name}-damaged"), ignore_errors=True)
    try:
        scratch.rename(folder)
    except OSError:
        if not is_intact(folder, version):
            raise
