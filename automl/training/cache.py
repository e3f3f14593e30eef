"""The cache of compiled programs: bytes on disk, sealed with a key of the owner's, because to load them is to run them.

What has not been written by a holder of the key is as if it were not there.
"""

import errno
import fcntl
import hmac
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from automl.segments import ProgramFolder
from automl.settings import Settings

MAGIC = b"automl program 1\n"
SEAL_BYTES = 32
KEY_BYTES = 32
MOST_KEYS = 3
SUFFIX = ".program"
TEMPORARY, LOCK = ".partial-", ".compiling-"
ABANDONED_SECONDS = 3600.0
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class CacheUnusable(Exception):
    """No program can be kept or trusted there: one line that says where, why, and what would help."""


def program_folder(settings: Settings) -> ProgramFolder:
    """Return where this installation keeps its compiled programs."""
    folder = settings.cache / "programs"
    return ProgramFolder(str(folder.absolute()), str(settings.program_key.absolute()), settings.program_bytes)


class ProgramCache:
    """Sealed entries in a folder that only its owner may write; the least recently used ones go first.

    An entry is a mark, the HMAC-SHA256 of its name and bytes under the owner's key, and the bytes. It is written under
    a temporary name, flushed and renamed, so any number of processes may read and write the same ones.
    """

    def __init__(self, place: ProgramFolder) -> None:
        """Take the folder into use; make it and the key where they are missing.

        Raises:
            CacheUnusable: Others could write the folder, or the folder or the key cannot be made or read.
        """
        self.folder = Path(place.folder)
        self.most_bytes = place.most_bytes
        with _explained(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._opened():
                pass
        with _explained(Path(place.key)):
            self._key = owners_key(Path(place.key))
        self._sound: dict[str, tuple[int, int, bool]] = {}

    def read(self, name: str) -> bytes | None:
        """Return the bytes of an entry; none where it is missing, or was not written by a holder of the key."""
        return self._read(name, is_use=True)

    def _read(self, name: str, *, is_use: bool) -> bytes | None:
        try:
            with self._opened() as folder:
                sealed = _read_private(name + SUFFIX, folder, self.most_bytes, is_use=is_use)
        except (OSError, CacheUnusable):
            return None
        if sealed is None or not sealed.startswith(MAGIC):
            return None
        start = len(MAGIC) + SEAL_BYTES
        body = memoryview(sealed)[start:]
        return bytes(body) if hmac.compare_digest(sealed[len(MAGIC) : start], self._seal(name, body)) else None

    def has(self, name: str) -> bool:
        """Say whether there is an entry that a holder of the key has written; it is read once for each change."""
        try:
            status = (self.folder / (name + SUFFIX)).lstat()
        except OSError:
            return False
        seen = (status.st_size, status.st_mtime_ns)
        *known, is_sound = self._sound.get(name, (-1, -1, False))
        if tuple(known) != seen:
            is_sound = self._read(name, is_use=False) is not None
            self._sound[name] = (*seen, is_sound)
        return is_sound

    @contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        """Hold the right to make an entry, and say whether another process had it before and one waited for it.

        It ends with its holder, however that ends. Where locks cannot be had, everybody has it.
        """
        with ExitStack() as held:
            waited = False
            with suppress(OSError, CacheUnusable):
                folder = held.enter_context(self._opened())
                lock = held.enter_context(_lock_file(LOCK + name, folder))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    waited = True
                    fcntl.flock(lock, fcntl.LOCK_EX)
                held.callback(_unlink, LOCK + name, folder)
            yield waited

    def is_in_the_making(self, name: str) -> bool:
        """Say whether another process holds the right to make an entry."""
        with suppress(OSError, CacheUnusable), self._opened() as folder:
            handle = os.open(LOCK + name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(handle)
        return False

    def write(self, name: str, body: bytes) -> None:
        """Keep an entry, and delete the least recently used ones beyond the size of the cache.

        Raises:
            CacheUnusable: The disk does not take it, or others could write the folder.
        """
        if len(body) > self.most_bytes // 2:
            return
        with _explained(self.folder), self._opened() as folder:
            temporary = TEMPORARY + secrets.token_hex(8)
            try:
                handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
                with os.fdopen(handle, "wb") as file:
                    file.writelines((MAGIC, self._seal(name, body), body))
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(temporary, name + SUFFIX, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                _unlink(temporary, folder)
                raise
            os.fsync(folder)
            self._trim(folder)

    def remove(self, name: str) -> None:
        """Delete an entry, if there is one.

        Raises:
            CacheUnusable: The folder is another's, or cannot be written.
        """
        with _explained(self.folder), self._opened() as folder:
            _unlink(name + SUFFIX, folder)

    def private_subfolder(self, name: str) -> Path:
        """Return a folder inside, for files that are not sealed and are trusted for lying where only the owner writes.

        Its name follows from the key, so that nobody can prepare it without having seen it.

        Raises:
            CacheUnusable: It, or a file in it, is another's, or could be written by others.
        """
        inside = self.folder / f"{name}-{self._seal(name, b'').hex()[:16]}"
        with _explained(inside), self._opened():
            inside.mkdir(mode=0o700, exist_ok=True)
            files = [file for file in os.scandir(inside) if not file.name.startswith(".")]
            for status in (inside.lstat(), *(file.stat(follow_symlinks=False) for file in files)):
                if status.st_uid != os.geteuid() or status.st_mode & 0o022 or stat.S_ISLNK(status.st_mode):
                    raise CacheUnusable(f"{inside}: others could have written in it; delete it")
            _delete_oldest([(file.stat().st_mtime, file.stat().st_size, file.path) for file in files], self.most_bytes)
        return inside

    def _seal(self, name: str, body: bytes | memoryview) -> bytes:
        seal = hmac.new(self._key, MAGIC + name.encode() + b"\n", "sha256")
        seal.update(body)
        return seal.digest()

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the folder, so that what is checked is what is used."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            status = os.fstat(handle)
            if status.st_uid != os.geteuid():
                raise CacheUnusable(
                    f"{self.folder}: the folder is another user's; let AUTOML_CACHE name one of your own"
                )
            if status.st_mode & 0o022:
                raise CacheUnusable(f"{self.folder}: others can write the folder; chmod 700 it after emptying it")
            yield handle
        finally:
            os.close(handle)

    def _trim(self, folder: int) -> None:
        entries = []
        for file in os.scandir(folder):
            with suppress(OSError):
                status = file.stat(follow_symlinks=False)
                if file.name.endswith(SUFFIX):
                    entries.append((status.st_mtime, status.st_size, file.name))
                elif file.name.startswith((TEMPORARY, LOCK)) and status.st_mtime < time.time() - ABANDONED_SECONDS:
                    _unlink(file.name, folder)
        _delete_oldest(entries, self.most_bytes, folder)


@contextmanager
def _lock_file(name: str, folder: int) -> Iterator[int]:
    handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)


def owners_key(path: Path) -> bytes:
    """Return the owner's key; where there is none, or others could have read or written it, make a new one.

    Raises:
        OSError: It can be neither read nor made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for _ in range(MOST_KEYS):
        if (key := _read_key(path)) is not None:
            return key
        _make_key(path)
    raise PermissionError(errno.EPERM, "no file there stays its owner's alone")


def _read_key(path: Path) -> bytes | None:
    try:
        key = _read_private(path, None, KEY_BYTES)
    except FileNotFoundError:
        return None
    return key if key is not None and len(key) == KEY_BYTES else None


def _make_key(path: Path) -> None:
    """Put a new key in place: whole, and where several processes do so at once, the last one's."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except OSError:
            if _read_key(path) is None:
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_private(name: str | Path, folder: int | None, most: int, *, is_use: bool = True) -> bytes | None:
    """Return the bytes of a regular file that only its owner can read and write, and note a use of it; else none."""
    try:
        handle = os.open(name, _READ, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        private = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
        if not private or status.st_size > most:
            return None
        if is_use:
            with suppress(OSError):
                os.utime(handle)
        return file.read()


def _delete_oldest(files: list[tuple[float, int, str]], most_bytes: int, folder: int | None = None) -> None:
    left = sum(size for _, size, _ in files)
    for _, size, name in sorted(files):
        if left <= most_bytes:
            return
        _unlink(name, folder)
        left -= size


def _unlink(name: str, folder: int | None) -> None:
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheUnusable(f"{path}: cannot be used ({error.strerror})") from error
