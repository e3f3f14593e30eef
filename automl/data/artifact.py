"""An artifact: a folder that is written whole or not at all, and that knows the bytes of its files."""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any
from weakref import finalize

from automl.errors import InputError
from storage.objects import flush

META, DIGESTS = "meta.json", "digests.json"
SETTLED = 2_000_000_000
"""Nanoseconds after which a change of a file shows in its times, on any file system."""

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
    """Whether every byte is as it was written; what was found so is read again once it has been touched."""
    meta = read_meta(folder, version)
    try:
        digests = Digests(folder / DIGESTS)
        whole = meta is not None and all(digests.of(folder / n) == e["sha256"] for n, e in meta["files"].items())
    except OSError:
        return False
    digests.keep()
    return whole


class Digests:
    """The sha256 of files, remembered in one of their own for as long as size, times, number and device are the same.

    A file that has changed a moment ago is read again, since its times may not tell another change.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = None
        self.known: dict[str, Any] = known if isinstance(known, dict) else {}
        self._is_new = False

    def of(self, path: Path) -> str:
        """Return the sha256 of a file's bytes.

        Raises:
            OSError: It cannot be read.
        """
        name, status = str(path.absolute()), path.stat()
        seen = _seen(status)
        match self.known.get(name):
            case [before, str(digest)] if before == seen:
                return digest
        settled = max(status.st_mtime_ns, status.st_ctime_ns) < time.time_ns() - SETTLED
        digest = sha256_of(path)
        if settled and _seen(path.stat()) == seen:
            self.known[name] = [seen, digest]
            self._is_new = True
        return digest

    def keep(self) -> None:
        """Write down what was found; where that cannot be done, files are read again."""
        if not self._is_new:
            return
        with suppress(OSError), tempfile.NamedTemporaryFile("w", dir=self.file.parent, delete=False) as scratch:
            try:
                scratch.write(json.dumps(self.known))
                scratch.close()
                Path(scratch.name).replace(self.file)
            except OSError:
                Path(scratch.name).unlink()
                raise


def _seen(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def held(folder: Path, holder: object) -> None:
    """Let a folder be known as one that is in use, for as long as an object lives; note the time as well.

    Raises:
        OSError: It is gone, or of another's.
    """
    handle = os.open(folder, os.O_RDONLY)
    finalize(holder, os.close, handle)
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        os.utime(folder)


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
        raise InputError(f"{root}: the token table cannot be written there ({error.strerror or error})") from error


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
