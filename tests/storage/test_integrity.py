"""What `verify` finds, on every kind of database."""

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage import objects
from storage.backups import CHECKPOINTS, DATABASE, back_up
from storage.checkpoints import referenced
from storage.database import Database, StorageError, open_database
from storage.integrity import violations
from storage.searches import SearchRow, get_search, list_searches
from storage.segments import list_segments
from storage.spending import delete_search
from storage.trials import list_trials

from .kept_search import keep_search


@pytest.fixture
def kept(database: Database, tmp_path: Path) -> SearchRow:
    return keep_search(database, tmp_path)


def found(database: Database, folder: Path) -> list[str]:
    row = get_search(database, "dates")
    assert row is not None
    return violations(database, row, folder)


def test_a_search_whose_process_was_killed_violates_nothing(
    database: Database, kept: SearchRow, tmp_path: Path
) -> None:
    assert found(database, tmp_path) == []


FILES = {
    "flipped": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("damage", FILES.values(), ids=FILES)
def test_a_damaged_checkpoint_is_named_with_its_trial(
    database: Database, kept: SearchRow, tmp_path: Path, damage: Any
) -> None:
    digest = list_segments(database, kept.id)[1].checkpoint
    file = objects.path(tmp_path, digest)
    file.write_bytes(damage(file.read_bytes()))
    (line,) = found(database, tmp_path)
    assert line.startswith("trial 0 at step 20: ")
    assert digest[:12] in line


def test_a_checkpoint_that_cannot_be_read_is_named_and_the_others_are_read(
    database: Database, kept: SearchRow, tmp_path: Path
) -> None:
    file = objects.path(tmp_path, list_segments(database, kept.id)[1].checkpoint)
    file.unlink()
    file.mkdir()
    (line,) = found(database, tmp_path)
    assert (line[:20], "cannot be read" in line) == ("trial 0 at step 20: ", True)


def test_a_folder_that_is_gone_is_said_once(database: Database, kept: SearchRow, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere: the folder that checkpoints were written to is not there"):
        found(database, tmp_path / "nowhere")


def test_a_checkpoint_that_is_gone_or_another_s_is_named(database: Database, kept: SearchRow, tmp_path: Path) -> None:
    first, second, third = (objects.path(tmp_path, s.checkpoint) for s in list_segments(database, kept.id))
    second.write_bytes(first.read_bytes())
    third.unlink()
    lines = found(database, tmp_path)
    assert [line.partition(":")[0] for line in lines] == ["trial 0 at step 20", "trial 1 at step 10"]
    assert "missing" in lines[1]


ROWS = {
    "UPDATE automl_trials SET attempts = 7 WHERE number = 0": "counts 7 attempts",
    "UPDATE automl_trials SET segments = 3 WHERE number = 0": "counts 3 segments and 2 attempts",
    "UPDATE automl_trials SET number = 9 WHERE number = 3": "not numbered from 0",
    "UPDATE automl_trials SET state = 'PAUSED', checkpoint = (SELECT digest FROM automl_checkpoints LIMIT 1) "
    "WHERE number = 3": "is PAUSED with an attempt open",
    "UPDATE automl_trials SET failures = attempts + 0, attempts = 9 WHERE number = 9": None,
    "UPDATE automl_trials SET step = 3 WHERE number = 0": "ended at step 3",
    "UPDATE automl_attempts SET epoch = 5 WHERE number = 1": "under epochs that were not",
    "UPDATE automl_attempts SET ended = NULL, end_reason = NULL WHERE end_reason = 'WORKER_LOST'": "is PAUSED with",
    "UPDATE automl_attempts SET end_reason = 'LOST' WHERE end_reason = 'COMMITTED'": "segments of attempts",
    "UPDATE automl_segments SET attempt = 2 WHERE attempt = 1 AND from_step = 0 AND trial_id = "
    "(SELECT id FROM automl_trials WHERE number = 1)": "segments of attempts",
    "UPDATE automl_checkpoints SET bytes = bytes + 1": "was written with",
    "UPDATE automl_searches SET state = 'finished'": "open in a search that is finished",
    "UPDATE automl_searches SET seconds = -1": "less than nothing",
    'UPDATE automl_searches SET summary = \'{"budget": {"trials": 3}}\'': "1 more than its budget",
}


@pytest.mark.parametrize(("change", "words"), ROWS.items(), ids=[str(words) for words in ROWS.values()])
def test_rows_that_contradict_each_other_are_named(
    database: Database, kept: SearchRow, tmp_path: Path, change: str, words: str | None
) -> None:
    with database.write() as transaction:
        transaction.connection.execute(text(change.replace(":", r"\:")))
    lines = found(database, tmp_path)
    assert (words is None) == (lines == [])
    assert words is None or any(words in line for line in lines)


def test_rows_that_point_nowhere_are_named(sqlite: Database, tmp_path: Path) -> None:
    keep_search(sqlite, tmp_path)
    with sqlite.reading.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("DELETE FROM automl_checkpoints")
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    assert any("that is not there" in line for line in found(sqlite, tmp_path))


def test_a_backup_of_a_running_search_is_a_sound_search(sqlite: Database, tmp_path: Path) -> None:
    kept = keep_search(sqlite, tmp_path / "objects")
    with sqlite.write():
        assert back_up(sqlite, tmp_path / "objects", tmp_path / "copy") == (3, 0)
    copy = open_database(f"sqlite:///{tmp_path / 'copy' / DATABASE}")
    assert violations(copy, list_searches(copy)[0], tmp_path / "copy" / CHECKPOINTS) == []
    assert list_trials(copy, kept.id) == list_trials(sqlite, kept.id)
    copy.close()
    with pytest.raises(StorageError, match="is there already"):
        back_up(sqlite, tmp_path / "objects", tmp_path / "copy")
    objects.path(tmp_path / "objects", list_segments(sqlite, kept.id)[0].checkpoint).unlink()
    assert back_up(sqlite, tmp_path / "objects", tmp_path / "second") == (2, 1)


def test_the_backup_of_a_server_is_left_to_its_own_tool(database: Database, tmp_path: Path) -> None:
    if database.reading.dialect.name != "sqlite":
        with pytest.raises(StorageError, match=r"pg_dump|dump"):
            back_up(database, tmp_path, tmp_path / "copy")


def test_what_was_written_lately_is_not_pruned(database: Database, kept: SearchRow, tmp_path: Path) -> None:
    delete_search(database, "dates")
    fresh = objects.write(tmp_path, b"its row is to come")
    for file in tmp_path.glob("*/*"):
        if file.name != fresh:
            os.utime(file, (0, 0))
    assert objects.delete_unreferenced(tmp_path, lambda: referenced(database), 3600)[0] == 3
    assert [file.name for file in tmp_path.glob("*/*")] == [fresh]
