"""Content-addressed files, on disk and at URLs."""

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import buckets, objects
from storage.backups import back_up
from storage.buckets import Bucket, Unreachable
from storage.database import Database, StorageError
from storage.integrity import violations
from storage.objects import Place, place
from tests.storage.kept_search import keep_search

PLACES = ("disk", "file URL", "files of fsspec", "memory", "object store")


@pytest.fixture(params=PLACES)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    memory = Bucket(f"memory://{uuid.uuid4().hex}/objects")
    if request.param == "object store":
        monkeypatch.setattr(buckets, "WHOLE_PUTS", {"memory"})
    yield {
        "disk": tmp_path / "objects",
        "file URL": place(f"file://{tmp_path}/objects"),
        "files of fsspec": Bucket(f"file://{tmp_path}/objects"),
    }.get(request.param, memory)
    if memory._files.exists(memory._root):
        memory._files.rm(memory._root, recursive=True)


def spoil(folder: Place, name: str, data: bytes) -> None:
    """Write past all care."""
    if isinstance(folder, Bucket):
        folder._files.pipe_file(folder.path(name), data)
    else:
        (folder / name[:2] / name).write_bytes(data)


def names(folder: Place) -> set[str]:
    return {file.rpartition("/")[2] for file in objects._files(folder)}


def test_bytes_come_back_under_their_sha256(folder: Place) -> None:
    digest = objects.write(folder, b"state")
    assert digest == hashlib.sha256(b"state").hexdigest()
    assert objects.read(folder, digest) == b"state"
    assert (objects.size(folder, digest), objects.exists(folder, "0" * 64)) == (5, False)
    assert names(folder) == {digest}
    assert objects.delete(folder, [digest, "0" * 64]) == set()
    assert names(folder) == set()


def test_an_object_that_was_written_lately_is_left_where_that_is_told(folder: Place) -> None:
    digest = objects.write(folder, b"state")
    known = not isinstance(folder, Bucket) or folder.look(folder.path(digest))[1] is not None
    assert objects.delete(folder, [digest], before=1.0) == ({digest} if known else set())
    assert objects.delete(folder, [digest], before=2e10) == set()
    assert names(folder) == set()


def test_a_flipped_byte_is_refused(folder: Place) -> None:
    data = bytes(range(256))
    digest = objects.write(folder, data)
    for position in (0, 100, 255):
        changed = bytearray(data)
        changed[position] ^= 1
        spoil(folder, digest, bytes(changed))
        with pytest.raises(objects.CorruptObject, match=digest[:12]):
            objects.read(folder, digest)
        assert not objects.is_sound(folder, digest)


def test_a_truncated_or_missing_object_is_refused(folder: Place) -> None:
    digest = objects.write(folder, b"state")
    spoil(folder, digest, b"stat")
    with pytest.raises(objects.CorruptObject):
        objects.read(folder, digest)
    with pytest.raises(objects.CorruptObject, match="missing"):
        objects.read(folder, hashlib.sha256(b"another").hexdigest())


def test_writing_again_mends_a_corrupt_object(folder: Place) -> None:
    digest = objects.write(folder, b"state")
    spoil(folder, digest, b"stXte")
    objects.write(folder, b"state")
    assert objects.read(folder, digest) == b"state"


def test_writing_again_leaves_a_sound_object_on_disk(tmp_path: Path) -> None:
    digest = objects.write(tmp_path, b"state")
    before = objects.path(tmp_path, digest).stat().st_ino
    objects.write(tmp_path, b"state")
    assert objects.path(tmp_path, digest).stat().st_ino == before


def test_the_file_of_an_interrupted_write_is_no_object_and_is_cleaned_up(folder: Place) -> None:
    digest = objects.write(folder, b"state")
    partial = f"{digest[:2]}{objects.TEMPORARY}"
    if isinstance(folder, Bucket):
        folder._files.pipe_file(f"{folder._root}/{digest[:2]}/{objects.TEMPORARY}abc", b"sta")
    else:
        (folder / digest[:2] / f"{objects.TEMPORARY}abc").write_bytes(b"sta")
    assert partial not in names(folder)
    assert objects.delete_unreferenced(folder, lambda: {digest}) == (1, 3)
    assert names(folder) == {digest}


def test_what_nothing_points_to_is_deleted_and_strangers_are_left(folder: Place) -> None:
    kept, dropped = objects.write(folder, b"kept"), objects.write(folder, b"dropped")
    spoil(folder, f"{kept[:2]}-notes", b"mine") if isinstance(folder, Path) else None
    assert objects.delete_unreferenced(folder, lambda: {kept}, 60.0) == (0, 0)
    assert objects.delete_unreferenced(folder, lambda: {kept}) == (1, 7)
    assert objects.read(folder, kept) == b"kept"
    assert not objects.exists(folder, dropped)
    assert not isinstance(folder, Path) or (folder / kept[:2] / f"{kept[:2]}-notes").exists()


def test_a_search_whose_checkpoints_lie_anywhere_is_verified_and_backed_up(
    folder: Place, sqlite: Database, tmp_path: Path
) -> None:
    row = keep_search(sqlite, folder)
    assert violations(sqlite, row, folder) == []
    copied, damaged = back_up(sqlite, folder, tmp_path / "backup")
    assert (copied > 0, damaged) == (True, 0)
    gone = next(iter(names(folder)))
    spoil(folder, gone, b"other bytes")
    assert len(violations(sqlite, row, folder)) >= 1


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_a_digest_names_an_object(folder: Place, name: str) -> None:
    with pytest.raises(ValueError, match="64"):
        objects.read(folder, name)


def fail(*_: object, **__: object) -> None:
    raise TimeoutError("secret words of a server")


def test_a_place_that_does_not_answer_is_no_damage(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    if not isinstance(folder, Bucket):
        pytest.skip("a disk answers")
    digest = objects.write(folder, b"state")
    for method in ("cat_file", "pipe_file", "info"):
        monkeypatch.setattr(type(folder._files), method, fail)
    for ask in (objects.is_sound, objects.read, objects.exists):
        with pytest.raises(Unreachable) as caught:
            ask(folder, digest)
        assert "secret" not in str(caught.value)
    with pytest.raises(OSError, match="cannot be written"):
        objects.write(folder, b"another state")


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOTCONN, errno.EMFILE])
def test_a_disk_that_cannot_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    digest = objects.write(tmp_path, b"state")

    def broken(_: Path) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "read_bytes", broken)
    for ask in (objects.is_sound, objects.read):
        with pytest.raises(Unreachable, match=rf"{digest[:12]} cannot be read \({os.strerror(number)}\)"):
            ask(tmp_path, digest)


def test_a_folder_that_is_gone_damages_nothing_in_it(folder: Place, tmp_path: Path) -> None:
    digest = objects.write(folder, b"state")
    if isinstance(folder, Bucket):
        folder._files.rm(folder._root, recursive=True)
    else:
        folder.rename(tmp_path / "elsewhere")
    for ask in (objects.is_sound, objects.read):
        with pytest.raises(Unreachable, match=r"the folder that checkpoints were written to is (not there|empty)"):
            ask(folder, digest)


def test_a_mount_point_without_its_disk_damages_nothing(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    with pytest.raises(Unreachable, match="were written to is empty; mount it, or bring it back"):
        objects.is_sound(tmp_path, "0" * 64)


def test_a_place_that_holds_none_of_what_was_written_to_it_is_another(folder: Place) -> None:
    written = objects.write(folder, b"state")
    objects.check_any(folder, [])
    objects.check_any(folder, ["0" * 64, written])
    with pytest.raises(Unreachable, match="holds none of them"):
        objects.check_any(folder, ["0" * 64, "1" * 64])


def test_a_write_that_is_cut_short_at_a_url_leaves_no_object(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    if not isinstance(folder, Bucket):
        pytest.skip("see the test of the disk")
    files, digest = type(folder._files), hashlib.sha256(b"state").hexdigest()
    put = files.pipe_file
    monkeypatch.setattr(files, "pipe_file", lambda self, path, data, **_: put(self, path, data[:2]))
    with pytest.raises(Unreachable):
        objects.write(folder, b"state")
    assert not objects.is_sound(folder, digest)
    assert folder.protocol in buckets.WHOLE_PUTS or names(folder) == set()


def test_a_url_is_shown_without_its_password() -> None:
    assert str(Bucket("sftp://me:secret@host/folder")) == "sftp://host/folder"


def test_a_protocol_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(StorageError, match="carrier-pigeon://coop"):
        place("carrier-pigeon://coop")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    (tmp_path / hashlib.sha256(b"state").hexdigest()[:2]).mkdir()
    with pytest.raises(OSError, match="No space"):
        objects.write(tmp_path, b"state")
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
