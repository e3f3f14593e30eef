import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from automl.segments import ProgramFolder
from automl.settings import Settings
from automl.training import cache
from automl.training.cache import KEY_BYTES, MAGIC, SEAL_BYTES, SUFFIX, CacheUnusable, ProgramCache, owners_key

BODY = bytes(range(256)) * 8
A, B = "a" * 64, "b" * 64


@pytest.fixture
def place(tmp_path: Path) -> ProgramFolder:
    return ProgramFolder(str(tmp_path / "programs"), str(tmp_path / "own" / "key"))


def entry(place: ProgramFolder, name: str = A) -> Path:
    return Path(place.folder) / (name + SUFFIX)


def test_what_is_written_is_read_by_every_holder_of_the_key(place: ProgramFolder) -> None:
    ProgramCache(place).write(A, BODY)
    assert (ProgramCache(place).read(A), ProgramCache(place).read(B)) == (BODY, None)
    assert (ProgramCache(place).has(A), ProgramCache(place).has(B)) == (True, False)


def test_there_is_no_entry_under_another_key_nor_a_corrupt_one(place: ProgramFolder) -> None:
    kept = ProgramCache(place)
    kept.write(A, BODY)
    assert kept.has(A)
    sealed = bytearray(entry(place).read_bytes())
    sealed[-1] ^= 1
    entry(place).write_bytes(sealed)
    os.utime(entry(place), (1000, 1000))
    assert not kept.has(A)
    kept.write(A, BODY)
    assert kept.has(A)
    Path(place.key).unlink()
    assert not ProgramCache(place).has(A)


def test_to_look_for_an_entry_is_no_use_of_it_and_reads_it_once(
    place: ProgramFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, reads, read = ProgramCache(place), [], cache._read_private
    kept.write(A, BODY)
    os.utime(entry(place), (1000, 1000))
    monkeypatch.setattr(cache, "_read_private", lambda *given, **more: reads.append(given) or read(*given, **more))
    assert [kept.has(A), kept.has(A), entry(place).stat().st_mtime] == [True, True, 1000]
    assert len(reads) == 1


def test_only_the_owner_can_enter_the_folder_and_read_the_files(place: ProgramFolder) -> None:
    ProgramCache(place).write(A, BODY)
    modes = [path.stat().st_mode & 0o777 for path in (Path(place.folder), entry(place), Path(place.key))]
    assert modes == [0o700, 0o600, 0o600]
    assert [path.name for path in Path(place.folder).iterdir()] == [A + SUFFIX]


@pytest.mark.parametrize(
    "position",
    [0, len(MAGIC) - 1, len(MAGIC), len(MAGIC) + SEAL_BYTES - 1, len(MAGIC) + SEAL_BYTES, -len(BODY) // 2, -1],
)
def test_a_flipped_bit_anywhere_makes_an_entry_as_if_absent(place: ProgramFolder, position: int) -> None:
    ProgramCache(place).write(A, BODY)
    sealed = bytearray(entry(place).read_bytes())
    sealed[position] ^= 1
    entry(place).write_bytes(sealed)
    assert ProgramCache(place).read(A) is None


@pytest.mark.parametrize("length", [0, 1, len(MAGIC), len(MAGIC) + SEAL_BYTES, -1])
def test_a_truncated_entry_is_as_if_absent_and_is_replaced(place: ProgramFolder, length: int) -> None:
    kept = ProgramCache(place)
    kept.write(A, BODY)
    entry(place).write_bytes(entry(place).read_bytes()[:length])
    assert kept.read(A) is None
    kept.write(A, BODY)
    assert kept.read(A) == BODY


def test_an_entry_under_another_name_is_not_trusted(place: ProgramFolder) -> None:
    kept = ProgramCache(place)
    kept.write(A, BODY)
    entry(place).rename(entry(place, B))
    assert kept.read(B) is None


def test_an_entry_that_is_longer_than_it_was_is_not_trusted(place: ProgramFolder) -> None:
    ProgramCache(place).write(A, BODY)
    with entry(place).open("ab") as file:
        file.write(b"\0")
    assert ProgramCache(place).read(A) is None


def test_an_entry_of_the_holder_of_another_key_is_not_trusted(place: ProgramFolder) -> None:
    ProgramCache(place).write(A, BODY)
    Path(place.key).unlink()
    assert ProgramCache(place).read(A) is None


def test_a_linked_entry_is_not_followed(place: ProgramFolder, tmp_path: Path) -> None:
    ProgramCache(place).write(A, BODY)
    entry(place).rename(tmp_path / "elsewhere")
    entry(place).symlink_to(tmp_path / "elsewhere")
    assert ProgramCache(place).read(A) is None
    ProgramCache(place).write(A, BODY)
    assert (ProgramCache(place).read(A), entry(place).is_symlink()) == (BODY, False)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_an_entry_that_others_can_read_or_write_is_not_trusted(place: ProgramFolder, mode: int) -> None:
    ProgramCache(place).write(A, BODY)
    entry(place).chmod(mode)
    assert ProgramCache(place).read(A) is None


def test_something_that_is_no_file_is_not_read(place: ProgramFolder) -> None:
    kept = ProgramCache(place)
    os.mkfifo(entry(place), 0o600)
    entry(place, B).mkdir()
    assert (kept.read(A), kept.read(B)) == (None, None)


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_refused(place: ProgramFolder, mode: int) -> None:
    kept = ProgramCache(place)
    kept.write(A, BODY)
    Path(place.folder).chmod(mode)
    assert kept.read(A) is None
    for use in (lambda: ProgramCache(place), lambda: kept.write(B, BODY)):
        with pytest.raises(CacheUnusable, match="others can write"):
            use()


def test_a_folder_of_another_user_is_refused(place: ProgramFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ProgramCache(place)
    kept.write(A, BODY)
    monkeypatch.setattr(cache.os, "geteuid", lambda: 12345)
    assert kept.read(A) is None
    with pytest.raises(CacheUnusable, match="another user's"):
        ProgramCache(place)


@pytest.mark.parametrize("spoil", [lambda key: key.chmod(0o644), lambda key: key.write_bytes(b"short")])
def test_a_key_that_others_may_know_or_that_is_none_is_replaced(
    place: ProgramFolder, spoil: Callable[[Path], object]
) -> None:
    ProgramCache(place).write(A, BODY)
    before = Path(place.key).read_bytes()
    spoil(Path(place.key))
    assert ProgramCache(place).read(A) is None
    after = Path(place.key)
    assert (after.stat().st_mode & 0o777, len(after.read_bytes()), after.read_bytes() == before) == (0o600, 32, False)


def test_a_linked_key_is_replaced_and_what_it_points_to_is_left_alone(tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_bytes(bytes(KEY_BYTES))
    known.chmod(0o600)
    (tmp_path / "key").symlink_to(known)
    key = owners_key(tmp_path / "key")
    assert key != bytes(KEY_BYTES)
    assert (known.read_bytes(), (tmp_path / "key").is_symlink()) == (bytes(KEY_BYTES), False)


def test_a_key_stays_what_it_is(tmp_path: Path) -> None:
    assert owners_key(tmp_path / "a" / "key") == owners_key(tmp_path / "a" / "key") != owners_key(tmp_path / "b")


def test_a_key_that_cannot_be_kept_from_others_is_an_error_and_no_endless_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_read_key", lambda path: None)
    with pytest.raises(PermissionError):
        owners_key(tmp_path / "key")


def test_the_least_recently_used_entries_go_first(place: ProgramFolder) -> None:
    kept = ProgramCache(ProgramFolder(place.folder, place.key, most_bytes=3 * len(BODY)))
    for age, name in enumerate("abc"):
        kept.write(name, BODY)
        if entry(place, name).exists():
            os.utime(entry(place, name), (1000 + age, 1000 + age))
        if name == "b":
            assert kept.read("a") == BODY
    assert [kept.has(name) for name in "abc"] == [True, False, True]


def test_what_is_too_large_is_not_kept(place: ProgramFolder) -> None:
    kept = ProgramCache(ProgramFolder(place.folder, place.key, most_bytes=len(BODY)))
    kept.write(A, BODY)
    assert not kept.has(A)


def test_files_of_interrupted_writes_are_deleted_after_a_while(place: ProgramFolder) -> None:
    kept = ProgramCache(place)
    for name, age in (("old", 0), ("new", None)):
        file = Path(place.folder) / f"{cache.TEMPORARY}{name}"
        file.touch()
        if age is not None:
            os.utime(file, (age, age))
    kept.write(A, BODY)
    assert sorted(path.name for path in Path(place.folder).iterdir()) == [f"{cache.TEMPORARY}new", A + SUFFIX]


def test_the_turn_of_a_process_that_was_killed_is_the_next_ones(place: ProgramFolder) -> None:
    code = "import os, sys; from pathlib import Path; from automl.segments import ProgramFolder; "
    code += "from automl.training.cache import ProgramCache; turn = ProgramCache(ProgramFolder(*sys.argv[1:])).turn; "
    code += "held = turn('a'); held.__enter__(); print('held', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, place.folder, place.key], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    cache = ProgramCache(place)
    assert cache.is_in_the_making("a")
    process.kill()
    process.communicate()
    assert not cache.is_in_the_making("a")
    with cache.turn("a") as waited:
        assert not waited


def test_a_full_disk_is_said_and_leaves_nothing_behind(place: ProgramFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ProgramCache(place)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    with pytest.raises(CacheUnusable, match="No space left on device"):
        kept.write(A, BODY)
    assert not list(Path(place.folder).iterdir())


def test_files_inside_that_others_could_have_written_are_refused(place: ProgramFolder) -> None:
    kept = ProgramCache(place)
    inside = kept.private_subfolder("jax")
    (inside / "x-cache").touch(0o600)
    assert kept.private_subfolder("jax") == inside
    (inside / "x-cache").chmod(0o666)
    with pytest.raises(CacheUnusable, match="delete it"):
        kept.private_subfolder("jax")


def test_the_key_lies_outside_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path))
    monkeypatch.delenv("AUTOML_PROGRAM_KEY", raising=False)
    place = cache.program_folder(Settings())
    assert Path(place.folder) == tmp_path / "programs"
    assert tmp_path not in Path(place.key).parents


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def hostile(path: Path) -> bytes:
    return pickle.dumps(Hostile(path))
