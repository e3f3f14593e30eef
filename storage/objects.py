"""Content-addressed files: bytes under their sha256, whole or absent, in a folder or at a URL."""

import errno
import hashlib
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.buckets import TEMPORARY, Bucket, Unreachable

DIGEST = re.compile(r"[0-9a-f]{64}")
SHELF = re.compile(r"[0-9a-f]{2}")
"""A folder of those objects whose names begin with its own."""

Place = Path | Bucket
"""Where objects lie: on disk, or at a URL of any protocol that fsspec knows."""


class CorruptObject(Exception):
    """The bytes that were read are not those that the digest names, or are gone from a place that holds others."""


def place(text: str) -> Place:
    """The place that a text names: a folder, `file://` and a folder, or a URL.

    Raises:
        StorageError: The protocol is not known, or needs a package that is not installed.
    """
    protocol, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    if protocol in ("file", "local"):
        return Path(rest)
    bucket = Bucket(text.rstrip("/"))
    bucket.check()
    return bucket


def address(place: Place) -> str:
    """What `place` takes, for another process on this machine; of a URL with its password."""
    return place.url if isinstance(place, Bucket) else str(place.absolute())


def path(folder: Path, digest: str) -> Path:
    """Where an object lies on disk: `folder/ab/abcd...`.

    Raises:
        ValueError: `digest` is no lower-case sha256.
    """
    return folder / checked(digest)[:2] / digest


def checked(digest: str) -> str:
    """The same digest.

    Raises:
        ValueError: It is no lower-case sha256.
    """
    if not DIGEST.fullmatch(digest):
        raise ValueError("an object is named by 64 lower-case hexadecimal digits")
    return digest


def digest_of(data: bytes) -> str:
    """The sha256 that names bytes."""
    return hashlib.sha256(data).hexdigest()


def write(folder: Place, data: bytes) -> str:
    """Keep bytes durably and return their sha256; an object on disk that is there, and sound, is left as it is.

    Raises:
        OSError: They cannot be kept.
    """
    digest = digest_of(data)
    if isinstance(folder, Bucket):
        folder.write(digest, data)
        return digest
    target = path(folder, digest)
    if _holds(target, data):
        os.utime(target)
    else:
        _create_folder(target.parent)
        _replace(target, data)
    flush(target.parent)
    return digest


def read(folder: Place, digest: str) -> bytes:
    """The bytes of an object.

    Raises:
        CorruptObject: It is missing from a place that holds others, or its bytes do not have this digest.
        Unreachable: Nothing is known of it, since its place is not there or does not answer.
    """
    try:
        with _in_words(folder, digest):
            data = folder.read(checked(digest)) if isinstance(folder, Bucket) else path(folder, digest).read_bytes()
    except FileNotFoundError:
        check_place(folder)
        raise CorruptObject(f"object {digest[:12]} is missing from {folder}") from None
    if digest_of(data) != digest:
        raise CorruptObject(f"object {digest[:12]} in {folder} does not have the bytes it was written with")
    return data


def size(folder: Place, digest: str) -> int:
    """Bytes of an object, sound or not.

    Raises:
        FileNotFoundError: It is missing.
        Unreachable: Its place does not answer.
    """
    if isinstance(folder, Bucket):
        return folder.size(checked(digest))
    with _in_words(folder, digest):
        return os.stat(f"{folder}/{checked(digest)[:2]}/{digest}").st_size  # noqa: PTH116  asked of every segment


def exists(folder: Place, digest: str) -> bool:
    """Whether an object is there, sound or not.

    Raises:
        Unreachable: Its place does not answer.
    """
    try:
        size(folder, digest)
    except FileNotFoundError:
        return False
    return True


def is_sound(folder: Place, digest: str) -> bool:
    """Whether an object is there with the bytes that its digest names.

    Raises:
        Unreachable: Its place is not there or does not answer.
    """
    try:
        read(folder, digest)
    except CorruptObject:
        return False
    return True


def check_place(folder: Place) -> None:
    """Make sure that a place that has been written to is still there: a mount point without its disk is empty.

    Raises:
        Unreachable: It is not there, holds no objects or does not answer.
    """
    try:
        folders = folder.folders() if isinstance(folder, Bucket) else os.listdir(folder)  # noqa: PTH208  names alone
    except FileNotFoundError:
        raise _away(folder, "is not there") from None
    except Unreachable:
        raise
    except OSError as error:
        raise _unreadable(folder, error) from error
    if not any(SHELF.fullmatch(name) for name in folders):
        raise _away(folder, "is empty")


def check_any(folder: Place, digests: Iterable[str]) -> None:
    """Make sure that at least one of the objects that were written to a place, if there are any, is there.

    Raises:
        Unreachable: None is: it is another place of the same name.
    """
    asked = False
    for digest in digests:
        if exists(folder, digest):
            return
        asked = True
    if asked:
        check_place(folder)
        raise _away(folder, "holds none of them")


def delete_unreferenced(folder: Place, referenced: Callable[[], set[str]], seconds: float = 0.0) -> tuple[int, int]:
    """Delete objects that nothing points to and files of interrupted writes; returns how many, and their bytes.

    Args:
        referenced: Asked for the digests that are pointed to after the files were listed, so that an object whose row
            is committed meanwhile is kept.
        seconds: What was written, or written again, since then is left: its row may be to come. So is what has no time.
    """
    before = time.time() - seconds
    files = [file for file in _files(folder) if _is_ours(file.rpartition("/")[2])]
    kept = referenced()
    number = total = 0
    for file in files:
        if file.rpartition("/")[2] in kept:
            continue
        try:
            length, changed = folder.look(file) if isinstance(folder, Bucket) else _look(file)
            if seconds == 0 or (changed is not None and changed <= before):
                _unlink(folder, file)
                number, total = number + 1, total + length
        except FileNotFoundError:
            continue
    return number, total


def delete(folder: Place, digests: Iterable[str], before: float = math.inf) -> set[str]:
    """Delete objects; returns those that were left, since they were written, or written again, after a moment.

    Raises:
        Unreachable: Their place does not answer.
    """
    left: set[str] = set()
    for digest in digests:
        file = folder.path(checked(digest)) if isinstance(folder, Bucket) else str(path(folder, digest))
        with suppress(FileNotFoundError):
            _, changed = folder.look(file) if isinstance(folder, Bucket) else _look(file)
            if changed is not None and changed > before:
                left.add(digest)
            else:
                _unlink(folder, file)
    return left


def _away(folder: Place, how: str) -> Unreachable:
    line = f"{folder}: the folder that checkpoints were written to {how}; mount it, or bring it back"
    return Unreachable(errno.ENOENT, line)


def _unreadable(what: object, error: OSError) -> Unreachable:
    return Unreachable(error.errno or errno.EIO, f"{what} cannot be read ({error.strerror or type(error).__name__})")


@contextmanager
def _in_words(folder: Place, digest: str) -> Iterator[None]:
    """Whatever a disk says, except that a file is not there, says nothing of the bytes on it."""
    try:
        yield
    except (FileNotFoundError, Unreachable):
        raise
    except OSError as error:
        raise _unreadable(f"{folder}: object {digest[:12]}", error) from error


def _unlink(folder: Place, file: str) -> None:
    if isinstance(folder, Bucket):
        folder.delete(file)
    else:
        Path(file).unlink()


def _files(folder: Place) -> list[str]:
    if isinstance(folder, Bucket):
        return [file for file in folder.files() if re.fullmatch("[0-9a-f]{2}", file.split("/")[-2])]
    return [file.as_posix() for file in folder.glob("[0-9a-f][0-9a-f]/*")]


def _look(file: str) -> tuple[int, float]:
    found = Path(file).stat()
    return found.st_size, found.st_mtime


def _is_ours(name: str) -> bool:
    return name.startswith(TEMPORARY) or DIGEST.fullmatch(name) is not None


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
