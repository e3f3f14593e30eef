"""Objects at a URL that fsspec knows, such as `s3://bucket/folder`: bytes under their sha256, whole or absent."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from storage.errors import StorageError

WHOLE_PUTS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "hf"}
"""Protocols of object stores, where what is put appears whole or not at all; elsewhere it is put aside and renamed."""
TEMPORARY = ".partial-"


class Unreachable(StorageError, OSError):
    """The place of the objects is not there or does not do what was asked; whether an object is sound is not known."""

    def __str__(self) -> str:
        """Return the line without the number of the error."""
        return str(self.strerror)


@dataclass(frozen=True)
class Bucket:
    """A folder at a URL, which may hold a password: `str` is for people and leaves it out.

    Objects lie at `URL/ab/abcd...`.
    """

    url: str

    def __str__(self) -> str:
        """Return the URL without user and password."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def protocol(self) -> str:
        """What stands before `://`; of chained URLs the first."""
        return self.url.partition("://")[0].partition("::")[0]

    def write(self, digest: str, data: bytes) -> None:
        """Put an object there, and look how many of its bytes have arrived.

        Raises:
            Unreachable: It cannot be written.
        """
        target = self.path(digest)
        with self._in_words("cannot be written"):
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            if self.protocol in WHOLE_PUTS:
                self._put(target, data)
            else:
                self._put_aside(target, data)

    def read(self, digest: str) -> bytes:
        """Return the bytes that are there, whatever they are.

        Raises:
            FileNotFoundError: There are none.
            Unreachable: They cannot be read.
        """
        with self._in_words("cannot be read"):
            found: bytes = self._files.cat_file(self.path(digest))
            return found

    def size(self, digest: str) -> int:
        """Return how many bytes are there.

        Raises:
            FileNotFoundError: There are none.
            Unreachable: It does not answer.
        """
        with self._in_words("cannot be read"):
            return int(self._files.info(self.path(digest))["size"])

    def files(self) -> list[str]:
        """Return the paths of all files.

        Raises:
            Unreachable: They cannot be listed.
        """
        with self._in_words("cannot be listed"):
            self._files.invalidate_cache()
            found: list[str] = self._files.find(self._root)
            return found

    def folders(self) -> list[str]:
        """Return the names of the folders, and of strangers beside them.

        Raises:
            FileNotFoundError: There is no such place.
            Unreachable: They cannot be listed.
        """
        with self._in_words("cannot be listed"):
            self._files.invalidate_cache()
            found: list[str] = self._files.ls(self._root, detail=False)
            return [name.rstrip("/").rpartition("/")[2] for name in found]

    def look(self, path: str) -> tuple[int, float | None]:
        """Return bytes of a file and the time of its last change; no time where the protocol keeps none.

        Raises:
            FileNotFoundError: It is gone.
            Unreachable: It does not answer.
        """
        with self._in_words("cannot be read"):
            info = self._files.info(path)
            return int(info["size"] or 0), _changed(info)

    def delete(self, path: str) -> None:
        """Delete a file.

        Raises:
            Unreachable: It cannot be deleted.
        """
        with self._in_words("cannot be deleted from"):
            self._files.rm_file(path)

    def check(self) -> None:
        """Look whether the protocol is known and its package installed.

        Raises:
            StorageError: It is not.
        """
        try:
            self._place  # noqa: B018
        except (ImportError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise StorageError(f"checkpoints at {self}: {why}; or name a folder") from None
        except Exception as error:
            raise Unreachable(errno.EIO, f"checkpoints at {self}: {type(error).__name__}") from error

    @cached_property
    def _place(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(self.url)
        return files, str(root).rstrip("/")

    @property
    def _files(self) -> Any:
        return self._place[0]

    @property
    def _root(self) -> str:
        return self._place[1]

    def path(self, digest: str) -> str:
        """Return where an object lies, in the words of the protocol."""
        return f"{self._root}/{digest[:2]}/{digest}"

    def _put(self, path: str, data: bytes) -> None:
        self._files.pipe_file(path, data)
        self._files.invalidate_cache()
        if self._files.info(path)["size"] != len(data):
            raise OSError("not all bytes have arrived")

    def _put_aside(self, target: str, data: bytes) -> None:
        partial = f"{target.rpartition('/')[0]}/{TEMPORARY}{uuid4().hex}"
        try:
            self._put(partial, data)
            self._files.mv(partial, target)
        except BaseException:
            with suppress(Exception):
                self._files.rm_file(partial)
            raise

    @contextmanager
    def _in_words(self, what: str) -> Iterator[None]:
        """Whatever a protocol raises as one kind of error, without the words of a server in it."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            raise Unreachable(errno.EIO, f"{self} {what} ({type(error).__name__})") from error


def _changed(info: dict[str, Any]) -> float | None:
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        match info.get(name):
            case datetime() as moment:
                return moment.timestamp()
            case int() | float() as seconds:
                return float(seconds)
            case str() as text:
                with suppress(ValueError):
                    return datetime.fromisoformat(text).timestamp()
    return None
