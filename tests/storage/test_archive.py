"""A search as one file and back, on every kind of database."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import objects
from storage.archive import DOCUMENT, OBJECTS, export_search, import_search
from storage.attempts import list_attempts
from storage.database import Database, StorageError
from storage.events import list_events
from storage.integrity import violations
from storage.searches import SearchExists, claim, get_search
from storage.segments import list_segments
from storage.trials import TrialRow, add_trial, list_trials

from .kept_search import commit, keep_search


@pytest.fixture
def file(sqlite: Database, tmp_path: Path) -> Path:
    kept = keep_search(sqlite, tmp_path / "objects")
    assert export_search(sqlite, kept, tmp_path / "objects", tmp_path / "dates.zip") == 3
    return tmp_path / "dates.zip"


def rewrite(file: Path, change: Any) -> Path:
    """Write the archive again with its entries changed."""
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    change(entries)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file


def test_a_search_comes_back_whole_under_another_name_and_goes_on(
    database: Database, sqlite: Database, file: Path, tmp_path: Path
) -> None:
    row = import_search(database, tmp_path / "others", file, "taken-over")
    original = get_search(sqlite, "dates")
    assert original is not None
    assert (row.name, row.state, row.seconds, row.document) == ("taken-over", "interrupted", 2.25, {"name": "dates"})
    assert list_trials(database, row.id) == list_trials(sqlite, original.id)
    assert list_segments(database, row.id) == list_segments(sqlite, original.id)
    assert len(list_attempts(database, row.id)) == len(list_attempts(sqlite, original.id))
    assert [event.message for event in list_events(database, row.id)] == ["trial 3: started"]
    assert violations(database, row, tmp_path / "others") == []
    lease = claim(database, "taken-over", "a test", -1)
    commit(database, lease, tmp_path / "others", 1, 10)
    after = get_search(database, "taken-over")
    assert after is not None
    assert violations(database, after, tmp_path / "others") == []


def test_a_file_of_an_older_schema_is_read(database: Database, tmp_path: Path) -> None:
    old = Path(__file__).parent / "archives" / "0003.zip"
    row = import_search(database, tmp_path / "others", old)
    assert [segment.execution for segment in list_segments(database, row.id)] == [None] * 3
    assert violations(database, row, tmp_path / "others") == []


def test_a_search_is_exported_as_it_was_at_one_moment(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, lease = keep_search(database, tmp_path / "objects"), claim(database, "dates", "a test", 60)

    def and_then_another_comes(at: Database, search_id: int) -> list[TrialRow]:
        rows = list_trials(at, search_id)
        number = add_trial(database, lease, {}, 0, "sampler").number
        commit(database, lease, tmp_path / "objects", number, 0)
        return rows

    monkeypatch.setattr("storage.archive.list_trials", and_then_another_comes)
    export_search(database, kept, tmp_path / "objects", tmp_path / "dates.zip")
    row = import_search(database, tmp_path / "others", tmp_path / "dates.zip", "again")
    assert (len(list_trials(database, row.id)), violations(database, row, tmp_path / "others")) == (4, [])


def test_a_name_that_is_taken_is_refused(sqlite: Database, file: Path, tmp_path: Path) -> None:
    with pytest.raises(SearchExists, match="--name"):
        import_search(sqlite, tmp_path / "objects", file)


@pytest.mark.parametrize("name", ["", "../dates", "a/b", "two words", "new\nline", "x" * 101, ".hidden"])
def test_a_name_that_no_folder_may_have_is_refused(sqlite: Database, file: Path, tmp_path: Path, name: str) -> None:
    for wanted, place in ((name, file), (None, rewrite(file, edit_search(name=name)))):
        with pytest.raises(StorageError, match="--name"):
            import_search(sqlite, tmp_path / "objects", place, wanted)


def test_a_search_with_a_damaged_checkpoint_is_not_exported_and_leaves_no_file(
    sqlite: Database, tmp_path: Path
) -> None:
    kept = keep_search(sqlite, tmp_path / "objects")
    objects.path(tmp_path / "objects", list_segments(sqlite, kept.id)[0].checkpoint).write_bytes(b"x")
    with pytest.raises(StorageError, match="automl verify dates"):
        export_search(sqlite, kept, tmp_path / "objects", tmp_path / "dates.zip")
    assert list(tmp_path.glob("*.zip*")) == list(tmp_path.glob(".*zip*")) == []


def test_a_file_that_is_there_is_not_overwritten(sqlite: Database, file: Path, tmp_path: Path) -> None:
    kept = get_search(sqlite, "dates")
    assert kept is not None
    with pytest.raises(StorageError, match="is there already"):
        export_search(sqlite, replace(kept, name="other"), tmp_path / "objects", file)


def test_a_place_that_takes_no_checkpoints_is_not_laid_to_the_file(
    sqlite: Database, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").touch()
    with pytest.raises(StorageError, match=r"disk/objects cannot be written: Not a directory; mend that"):
        import_search(sqlite, tmp_path / "disk" / "objects", file, "taken-over")
    assert get_search(sqlite, "taken-over") is None


def edit(**changes: Any) -> Any:
    def change(entries: dict[str, bytes]) -> None:
        document = json.loads(entries[DOCUMENT])
        document.update(changes)
        entries[DOCUMENT] = json.dumps(document).encode()

    return change


def edit_search(**changes: Any) -> Any:
    def change(entries: dict[str, bytes]) -> None:
        document = json.loads(entries[DOCUMENT])
        document["search"].update(changes)
        entries[DOCUMENT] = json.dumps(document).encode()

    return change


def spoil_object(entries: dict[str, bytes]) -> None:
    name = next(name for name in entries if name.startswith(OBJECTS))
    entries[name] = b"other bytes"


def drop_object(entries: dict[str, bytes]) -> None:
    entries.pop(next(name for name in entries if name.startswith(OBJECTS)))


def rename_field(entries: dict[str, bytes]) -> None:
    entries[DOCUMENT] = entries[DOCUMENT].replace(b'"origin"', b'"original"')


HOSTILE = {
    "path": (lambda entries: entries.update({"../../etc/passwd": b"x"}), "no part of a search"),
    "absolute": (lambda entries: entries.update({"/objects/" + "a" * 64: b"x"}), "no part of a search"),
    "nested": (lambda entries: entries.update({"objects/../" + "a" * 64: b"x"}), "no part of a search"),
    "another file": (lambda entries: entries.update({"run.py": b"print()"}), "no part of a search"),
    "spoilt": (spoil_object, "does not have the bytes"),
    "dropped": (drop_object, "lacks checkpoints"),
    "no document": (lambda entries: entries.pop(DOCUMENT), "not a search"),
    "no JSON": (lambda entries: entries.update({DOCUMENT: b"{"}), "not a search"),
    "a list": (lambda entries: entries.update({DOCUMENT: b"[]"}), "not a search"),
    "other fields": (rename_field, "not those of a search"),
    "rows missing": (lambda entries: entries.update({DOCUMENT: b'{"format": 1, "schema": "0002"}'}), "not a search"),
    "newer": (edit(schema="9999"), "schema 9999, and this program knows"),
    "of before there were files": (edit(schema="0001"), "schema 0001, and this program reads 0002 to"),
    "no trials": (edit(trials=[]), "not those of a search"),
    "a number": (edit(trials=3), "not a search"),
}


@pytest.mark.parametrize(("change", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_is_something_else_is_refused_and_changes_no_row(
    sqlite: Database, file: Path, tmp_path: Path, change: Any, words: str
) -> None:
    with pytest.raises(StorageError, match=words) as caught:
        import_search(sqlite, tmp_path / "others", rewrite(file, change), "other")
    assert "\n" not in str(caught.value)
    assert get_search(sqlite, "other") is None
    assert {path.parent.parent for path in tmp_path.rglob("*") if len(path.name) == 64} <= {
        tmp_path / "objects",
        tmp_path / "others",
    }


def test_a_compressed_bomb_and_a_file_that_is_no_archive_are_refused(sqlite: Database, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(DOCUMENT, b" " * 10_000_000)
    (tmp_path / "notes.zip").write_text("notes")
    for file in (bomb, tmp_path / "notes.zip"):
        with pytest.raises(StorageError, match="not a search"):
            import_search(sqlite, tmp_path / "others", file)
