"""Archives: files as the bytes of one ZIP file, and back, believing nothing that such a file says of itself."""

import errno
import io
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.errors import InputError

MOMENT = (1980, 1, 1, 0, 0, 0)
MOST_PARTS, LONGEST_NAME = 16, 240
PIECE = 2**20
END, LOCATOR = b"PK\x05\x06", b"PK\x06\x07"
LONGEST_END, ENTRY = 65_557, 512
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error)
"""What reading a ZIP file raises where its bytes are not one's."""


@dataclass(frozen=True)
class Room:
    """What an archive may come to: so many files, of so many bytes in all."""

    files: int
    size: int


def packed(folder: Path, files: Iterable[Path], *, small: bool = False) -> bytes:
    """Return files that lie below a folder as a ZIP file, whose bytes follow from their names and bytes alone.

    Args:
        folder: What their names in the archive are relative to.
        files: The files.
        small: Whether to compress them; the bytes may then differ between machines.

    Raises:
        InputError: A name is none in UTF-8.
        OSError: One cannot be read.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED) as archive:
        for path in sorted(set(files)):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), MOMENT)
            entry.external_attr = (stat.S_IFREG | 0o600) << 16
            try:
                archive.writestr(entry, path.read_bytes(), archive.compression)
            except UnicodeEncodeError:
                raise InputError(f"{folder}: the name {path.name!r} is not UTF-8; rename that file") from None
    return buffer.getvalue()


def unpacked(archive: Path, folder: Path, room: Room | None = None) -> Path:
    """Write the files of a ZIP file to a folder, whole or not at all; a folder that holds them is left as it is.

    Args:
        archive: The ZIP file.
        folder: Where the files shall lie; it must not be there, or be from an earlier call.
        room: What they may come to; none where whoever made the archive is trusted with the disk.

    Raises:
        InputError: It is no ZIP file of plain files within it, or comes to more than there is room for.
    """
    try:
        with _opened(archive, room) as opened:
            members = _plain(archive, opened, room)
            if _are_there(members, folder):
                return folder
            scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
            try:
                for member in members:
                    _copy(opened, member, scratch)
                if not _are_there(members, folder):  # else another was first, and may be reading them
                    _publish(scratch, folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except BROKEN as error:
        raise InputError(f"{archive}: not a whole ZIP file ({type(error).__name__}); pack it anew") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the beginning is sought
            raise
        raise InputError(f"{archive}: not a whole ZIP file; pack it anew") from None
    return folder


def shared_folder(files: Sequence[Path]) -> Path:
    """Return the innermost folder that several files, named by absolute paths, lie in or below."""
    return Path(os.path.commonpath([path.parent for path in files]))


def files_below(folder: Path) -> list[Path]:
    """Return all files in a folder and below it."""
    return [path for path in folder.rglob("*") if path.is_file()]


def check(archive: Path, room: Room) -> int:
    """Make sure that the members of a ZIP file, such as a .npz, come to no more than there is room for; return what to.

    Raises:
        InputError: They do, or it is no ZIP file.
    """
    try:
        with _opened(archive, room) as opened:
            return sum(member.file_size for member in _plain(archive, opened, room))
    except BROKEN as error:
        raise InputError(f"{archive}: not a whole ZIP file ({type(error).__name__}); pack it anew") from None


def _opened(archive: Path, room: Room | None) -> zipfile.ZipFile:
    if room is not None:
        _check_directory(archive, room)
    return zipfile.ZipFile(archive)


def _check_directory(archive: Path, room: Room) -> None:
    """Refuse a directory of more entries than may be, before it is read into memory."""
    with archive.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - LONGEST_END, 0))
        tail = file.read()
    plain = tail[-22:-18] == END and tail[-2:] == b"\0\0"
    place = len(tail) - 22 if plain else tail.rfind(END)
    if place < 0 or len(tail) - place < 22:
        raise zipfile.BadZipFile
    (directory,) = struct.unpack("<I", tail[place + 12 : place + 16])
    if tail[max(place - 20, 0) : place].startswith(LOCATOR) or directory > ENTRY * room.files:
        raise InputError(f"{archive}: holds more than {room.files:,} files; give fewer")


def _plain(archive: Path, opened: zipfile.ZipFile, room: Room | None) -> list[zipfile.ZipInfo]:
    """Return the members of an archive that are files."""
    members = [member for member in opened.infolist() if not member.is_dir()]
    for member in members:
        if problem := _problem(member):
            raise InputError(f"{archive}: {member.filename[:100]!r} {problem}; pack plain files of one folder")
    names = {tuple(member.filename.split("/")) for member in members}
    folders = {name[:length] for name in names for length in range(1, len(name))}
    if len(names) < len(members) or names & folders:
        raise InputError(f"{archive}: two of its files have the same name; pack it anew")
    if room is not None and len(members) > room.files:
        raise InputError(f"{archive}: holds {len(members):,} files; {room.files:,} at most")
    if room is not None and sum(member.file_size for member in members) > room.size:
        raise InputError(f"{archive}: its files have more than {room.size:,} bytes in all; give fewer or smaller ones")
    return members


def _problem(member: zipfile.ZipInfo) -> str | None:
    """Say what is wrong with a member of an archive, if anything is."""
    name, mode = member.filename, stat.S_IFMT(member.external_attr >> 16)
    parts = name.split("/")
    longest = max(len(part.encode("utf-8", "replace")) for part in parts)
    problems = {
        "does not lie within it": bool({"", ".", ".."} & set(parts)) or "\\" in name or ":" in parts[0],
        "has too long a name": len(parts) > MOST_PARTS or longest > LONGEST_NAME,
        "has a name that cannot be read": not name.isprintable(),
        "is no plain file": mode not in (0, stat.S_IFREG),
        "is encrypted": bool(member.flag_bits & 1),
        "is compressed in an unusual way": member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
    }
    return next((problem for problem, holds in problems.items() if holds), None)


def _are_there(members: Iterable[zipfile.ZipInfo], folder: Path) -> bool:
    files = ((folder / member.filename, member.file_size) for member in members)
    return folder.is_dir() and all(path.is_file() and path.stat().st_size == size for path, size in files)


def _copy(opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    """Write a member to a folder; more bytes than it says it has are no whole file."""
    path = folder / member.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size
    with opened.open(member) as source, path.open("xb") as target:
        while piece := source.read(PIECE):
            left -= len(piece)
            if left < 0:
                raise zipfile.BadZipFile
            target.write(piece)
    if left:
        raise zipfile.BadZipFile


def _publish(scratch: Path, folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
    try:
        scratch.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first
            raise
