"""Archives: what is packed is unpacked to the same files, and what could hurt is refused before it does."""

import io
import stat
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from automl import archives
from automl.archives import Room, check, files_below, packed, unpacked
from automl.errors import InputError

SMALL = Room(files=3, size=1000)


def written(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


def test_what_is_packed_is_unpacked_and_the_same_files_are_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder / "photos" / "cat").mkdir(parents=True)
        (tmp_path / folder / "photos" / "cat" / "1.png").write_bytes(b"cat")
        (tmp_path / folder / "photos" / ".hidden").write_bytes(b"")
    bytes_ = [packed(tmp_path / folder, files_below(tmp_path / folder)) for folder in ("a", "b")]
    assert bytes_[0] == bytes_[1]
    (tmp_path / "c.zip").write_bytes(bytes_[0])
    found = unpacked(tmp_path / "c.zip", tmp_path / "c")
    names = sorted(path.relative_to(found).as_posix() for path in files_below(found))
    assert names == ["photos/.hidden", "photos/cat/1.png"]
    assert (found / "photos/cat/1.png").read_bytes() == b"cat"


def test_what_another_has_unpacked_meanwhile_stays_as_it_is(tmp_path, monkeypatch):
    archive, copy, numbers = written(tmp_path / "a.zip", ("x", b"1")), archives._copy, []

    def copied(*args):
        monkeypatch.setattr(archives, "_copy", copy)
        numbers.append(unpacked(archive, tmp_path / "a").stat().st_ino)
        copy(*args)

    monkeypatch.setattr(archives, "_copy", copied)
    assert [unpacked(archive, tmp_path / "a").stat().st_ino] == numbers
    assert not [*tmp_path.glob(".unpacking-*")]


def test_a_folder_that_lacks_files_is_unpacked_again(tmp_path):
    archive = written(tmp_path / "a.zip", ("x", b"1"), ("y", b"2"))
    found = unpacked(archive, tmp_path / "a")
    (found / "y").write_bytes(b"")
    assert (unpacked(archive, tmp_path / "a") / "y").read_bytes() == b"2"


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "C:/x", "./x", "a//x", "a\nb", "x" * 300, "/".join("a" * 20)]
)
def test_a_name_that_leads_elsewhere_or_cannot_be_is_refused_and_nothing_is_written(tmp_path, name):
    (tmp_path / "inner").mkdir()
    archive = written(tmp_path / "a.zip", ("fine", b"1"), (name, b"2"))
    with pytest.raises(InputError, match="pack plain files of one folder"):
        unpacked(archive, tmp_path / "inner" / "a")
    assert {path.name for path in tmp_path.rglob("*")} == {"a.zip", "inner"}


def test_links_are_refused(tmp_path):
    archive = written(tmp_path / "a.zip", (link("passwords"), b"/etc/passwd"))
    with pytest.raises(InputError, match="is no plain file"):
        unpacked(archive, tmp_path / "a")


def test_an_encrypted_member_is_refused(tmp_path):
    archive = written(tmp_path / "a.zip", ("x", b"1"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(InputError, match="is encrypted"):
        unpacked(archive, tmp_path / "a", SMALL)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("x", "x"), ("x", "x/y")])
def test_two_members_of_one_name_are_refused(tmp_path, names):
    archive = written(tmp_path / "a.zip", *((name, b"1") for name in names))
    with pytest.raises(InputError, match="have the same name"):
        unpacked(archive, tmp_path / "a")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([(str(number), b"") for number in range(4)], "holds 4 files; 3 at most"),
        ([("zeros", bytes(10**6))], "more than 1,000 bytes"),
        ([(f"{number:0200d}", b"") for number in range(20)], "holds more than 3 files"),
    ],
)
def test_a_bomb_is_refused_before_it_goes_off(tmp_path, members, message):
    archive = written(tmp_path / "a.zip", *members, compression=zipfile.ZIP_DEFLATED)
    for attempt in (lambda: unpacked(archive, tmp_path / "a", SMALL), lambda: check(archive, SMALL)):
        with pytest.raises(InputError, match=message):
            attempt()
    assert not (tmp_path / "a").exists()


def test_a_member_that_has_more_bytes_than_it_says_is_no_whole_file(tmp_path):
    archive = written(tmp_path / "a.zip", ("zeros", bytes(10**6)), compression=zipfile.ZIP_DEFLATED)
    data = archive.read_bytes()
    archive.write_bytes(data.replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(InputError, match="not a whole ZIP file"):
        unpacked(archive, tmp_path / "a", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_whatever_is_cut_or_turned_is_refused_or_is_the_same(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b", b"some text")
    data = buffer.getvalue()
    broken = [data[:length] for length in range(0, len(data), 7)]
    broken += [data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :] for at in range(len(data))]
    for number, each in enumerate(broken):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(each)
        with suppress(InputError):
            unpacked(path, tmp_path / str(number), SMALL)
        assert all(file.read_bytes() == b"some text" for file in files_below(tmp_path / str(number)))
