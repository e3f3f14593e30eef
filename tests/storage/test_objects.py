"""Content-addressed files."""

import hashlib
from pathlib import Path

import pytest

from storage import objects


def test_bytes_come_back_under_their_sha256(tmp_path: Path) -> None:
    digest = objects.write(tmp_path / "new" / "objects", b"state")
    assert digest == hashlib.sha256(b"state").hexdigest()
    assert objects.read(tmp_path / "new" / "objects", digest) == b"state"


def test_a_flipped_byte_is_refused(tmp_path: Path) -> None:
    data = bytes(range(256))
    digest = objects.write(tmp_path, data)
    for position in (0, 100, 255):
        changed = bytearray(data)
        changed[position] ^= 1
        objects.path(tmp_path, digest).write_bytes(changed)
        with pytest.raises(objects.CorruptObject, match=digest[:12]):
            objects.read(tmp_path, digest)


def test_a_truncated_or_missing_object_is_refused(tmp_path: Path) -> None:
    digest = objects.write(tmp_path, b"state")
    objects.path(tmp_path, digest).write_bytes(b"stat")
    with pytest.raises(objects.CorruptObject):
        objects.read(tmp_path, digest)
    objects.path(tmp_path, digest).unlink()
    with pytest.raises(objects.CorruptObject, match="missing"):
        objects.read(tmp_path, digest)


def test_writing_again_leaves_a_sound_object_and_mends_a_corrupt_one(tmp_path: Path) -> None:
    digest = objects.write(tmp_path, b"state")
    before = objects.path(tmp_path, digest).stat().st_ino
    objects.write(tmp_path, b"state")
    assert objects.path(tmp_path, digest).stat().st_ino == before
    objects.path(tmp_path, digest).write_bytes(b"stXte")
    objects.write(tmp_path, b"state")
    assert objects.read(tmp_path, digest) == b"state"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    (tmp_path / hashlib.sha256(b"state").hexdigest()[:2]).mkdir()
    with pytest.raises(OSError, match="No space"):
        objects.write(tmp_path, b"state")
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_the_file_of_an_interrupted_write_is_no_object_and_is_cleaned_up(tmp_path: Path) -> None:
    digest = objects.write(tmp_path, b"state")
    (objects.path(tmp_path, digest).parent / f"{objects.TEMPORARY}abc").write_bytes(b"sta")
    assert objects.delete_unreferenced(tmp_path, lambda: {digest}) == (1, 3)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [digest]


def test_what_nothing_points_to_is_deleted_and_strangers_are_left(tmp_path: Path) -> None:
    kept, dropped = objects.write(tmp_path, b"kept"), objects.write(tmp_path, b"dropped")
    (tmp_path / kept[:2] / "notes.txt").write_text("mine")
    assert objects.delete_unreferenced(tmp_path, lambda: {kept}, 60.0) == (0, 0)
    assert objects.delete_unreferenced(tmp_path, lambda: {kept}) == (1, 7)
    assert objects.read(tmp_path, kept) == b"kept"
    assert (tmp_path / kept[:2] / "notes.txt").exists()
    assert not objects.path(tmp_path, dropped).exists()


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_a_digest_names_an_object(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="64"):
        objects.path(tmp_path, name)
