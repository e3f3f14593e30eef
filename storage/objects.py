"""Content-addressed files: bytes under their sha256, whole or absent."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

DIGEST = re.compile(r"[0-9a-f]{64}")
TEMPORARY = ".partial-"


class CorruptObject(Exception):
    """The bytes on disk are not those that the digest names, or are gone."""


def path(folder: Path, digest: str) -> Path:
    """Where an object lies: `folder/ab/abcd...`.

    Raises:
        ValueError: `digest` is no lower-case sha256.
    """
    if not DIGEST.fullmatch(digest):
        raise ValueError("an object is named by 64 lower-case hexadecimal digits")
    return folder / digest[:2] / digest


def write(folder: Path, data: bytes) -> str:
    """Keep bytes durably and return their sha256; an object that is there, and sound, is left as it is."""
    digest = hashlib.sha256(data).hexdigest()
    target = path(folder, digest)
    if not _holds(target, data):
        _create_folder(target.parent)
        _replace(target, data)
    flush(target.parent)
    return digest


def read(folder: Path, digest: str) -> bytes:
    """The bytes of an object.

    Raises:
        CorruptObject: It is missing, or its bytes do not have this digest.
    """
    try:
        data = path(folder, digest).read_bytes()
    except FileNotFoundError:
        raise CorruptObject(f"object {digest[:12]} is missing from {folder}") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise CorruptObject(f"object {digest[:12]} in {folder} does not have the bytes it was written with")
    return data


def is_sound(folder: Path, digest: str) -> bool:
    """Whether an object is there with the bytes that its digest names."""
    try:
        read(folder, digest)
    except (CorruptObject, OSError):
        return False
    return True


def delete_unreferenced(folder: Path, referenced: set[str]) -> int:
    """Delete objects that nothing points to and files of interrupted writes; returns how many.

    Call it only while nothing writes to the folder: a new object is there before the row that points to it.
    """
    unwanted = [
        file
        for file in folder.glob("[0-9a-f][0-9a-f]/*")
        if file.name.startswith(TEMPORARY) or (DIGEST.fullmatch(file.name) and file.name not in referenced)
    ]
    for file in unwanted:
        file.unlink(missing_ok=True)
    return len(unwanted)


def _holds(target: Path, data: bytes) -> bool:
    try:
        return target.stat().st_size == len(data) and target.read_bytes() == data
    except FileNotFoundError:
        return False


def _replace(target: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _create_folder(folder: Path) -> None:
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for part in missing:
        flush(part.parent)


def flush(path: Path) -> None:
    """Bring what is written of a file, or the names in a folder, to the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
