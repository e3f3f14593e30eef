"""Content-addressed files: bytes under their sha256, whole or absent."""

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable
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


def digest_of(data: bytes) -> str:
    """The sha256 that names bytes."""
    return hashlib.sha256(data).hexdigest()


def write(folder: Path, data: bytes) -> str:
    """Keep bytes durably and return their sha256; an object that is there, and sound, is left as it is."""
    digest = digest_of(data)
    target = path(folder, digest)
    if _holds(target, data):
        os.utime(target)
    else:
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
    if digest_of(data) != digest:
        raise CorruptObject(f"object {digest[:12]} in {folder} does not have the bytes it was written with")
    return data


def is_sound(folder: Path, digest: str) -> bool:
    """Whether an object is there with the bytes that its digest names."""
    try:
        read(folder, digest)
    except (CorruptObject, OSError):
        return False
    return True


def delete_unreferenced(folder: Path, referenced: Callable[[], set[str]], seconds: float = 0.0) -> tuple[int, int]:
    """Delete objects that nothing points to and files of interrupted writes; returns how many, and their bytes.

    Args:
        referenced: Asked for the digests that are pointed to after the files were listed, so that an object whose row
            is committed meanwhile is kept.
        seconds: What was written, or written again, since then is left: its row may be to come.
    """
    before = time.time() - seconds
    files = [file for file in folder.glob("[0-9a-f][0-9a-f]/*") if _is_ours(file)]
    kept = referenced()
    number = size = 0
    for file in files:
        if file.name in kept:
            continue
        try:
            found = file.stat()
            if found.st_mtime <= before:
                file.unlink()
                number, size = number + 1, size + found.st_size
        except FileNotFoundError:
            continue
    return number, size


def delete(folder: Path, digests: Iterable[str]) -> tuple[int, int]:
    """Delete objects; returns how many were there, and their bytes."""
    number = size = 0
    for digest in digests:
        file = path(folder, digest)
        try:
            found = file.stat().st_size
            file.unlink()
        except FileNotFoundError:
            continue
        number, size = number + 1, size + found
    return number, size


def _is_ours(file: Path) -> bool:
    return file.name.startswith(TEMPORARY) or DIGEST.fullmatch(file.name) is not None


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
