"""What `verify` finds, on every kind of database."""

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, text

from storage import objects
from storage.archive import export_search, import_search
from storage.backups import CHECKPOINTS, DATABASE, back_up
from storage.checkpoints import CHECKPOINTS as ROWS_OF_CHECKPOINTS
from storage.checkpoints import forget_unreferenced, named, record, referenced
from storage.database import Database, StorageError, open_database
from storage.integrity import violations
from storage.leases import Lease
from storage.searches import SearchRow, claim, get_search, list_searches, update_search
from storage.segments import list_segments
from storage.spending import delete_search
from storage.trials import TrialRow, list_trials

from .kept_search import commit, keep_search


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


def test_what_a_search_commits_meanwhile_is_no_violation(
    database: Database, kept: SearchRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = claim(database, "dates", "a test", 60)

    def and_then_one_goes_on(at: Database, search_id: int) -> list[TrialRow]:
        rows = list_trials(at, search_id)
        commit(database, lease, tmp_path, 1, 10)
        return rows

    monkeypatch.setattr("storage.integrity.list_trials", and_then_one_goes_on)
    assert violations(database, kept, tmp_path) == []


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


def with_winner(database: Database, folder: Path) -> tuple[str, str, str]:
    """Let a winner that another search has trained be the kept one's, with a part of it and what it expects."""
    digests = tuple(objects.write(folder, data) for data in (b"a student", b"another model", b"what teachers expect"))
    student, member, taught = digests
    best = {"checkpoint": student, "members": [{"checkpoint": member}], "teacher": {"soft_targets": taught}}
    summary = {"best": best, "budget": {"trials": 4}}
    update_search(database, claim(database, "dates", "a test", -1), summary=summary)
    return student, member, taught


def test_what_only_the_winner_points_to_is_kept_copied_and_checked(
    database: Database, kept: SearchRow, tmp_path: Path
) -> None:
    digests = with_winner(database, tmp_path)
    assert {*digests} <= referenced(database)
    assert {*digests} <= referenced(database, kept.id)
    with database.write() as transaction:
        for digest in digests:
            record(transaction, digest, 9)
    assert forget_unreferenced(database) == 0
    with database.write() as transaction:
        transaction.connection.execute(delete(ROWS_OF_CHECKPOINTS).where(ROWS_OF_CHECKPOINTS.c.digest.in_(digests)))
    assert (objects.delete_unreferenced(tmp_path, lambda: referenced(database)), found(database, tmp_path)) == (
        (0, 0),
        [],
    )
    export_search(database, kept, tmp_path, tmp_path / "dates.zip")
    row = import_search(database, tmp_path / "others", tmp_path / "dates.zip", "again")
    assert violations(database, row, tmp_path / "others") == []
    for digest in digests:
        objects.path(tmp_path, digest).write_bytes(b"damaged")
    assert sorted(line.partition(":")[0] for line in found(database, tmp_path)) == [
        "a part of the winner",
        "the winner",
        "what is to be learnt from the winner",
    ]
    with pytest.raises(StorageError, match="automl verify dates"):
        export_search(database, kept, tmp_path, tmp_path / "second.zip")


def test_a_backup_holds_what_only_the_winner_points_to(sqlite: Database, tmp_path: Path) -> None:
    keep_search(sqlite, tmp_path / "objects")
    with_winner(sqlite, tmp_path / "objects")
    assert back_up(sqlite, tmp_path / "objects", tmp_path / "copy") == (6, 0)


def test_what_a_student_has_learnt_from_is_needed_no_more(database: Database, kept: SearchRow, tmp_path: Path) -> None:
    student, member, taught = with_winner(database, tmp_path)
    search = get_search(database, "dates")
    assert search is not None
    assert search.summary is not None
    best = {**search.summary["best"], "finishes": {}}
    update_search(database, Lease(kept.id, search.epoch), summary={"best": best})
    assert {student, member, taught} & referenced(database, kept.id) == {student, member}


@pytest.mark.parametrize("best", [None, [], {"members": 3}, {"members": [None], "checkpoint": 7, "teacher": []}])
def test_a_summary_that_names_nothing_needs_nothing(best: Any) -> None:
    assert named(None) == named({}) == named({"best": best}) == {}


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
    "UPDATE automl_attempts SET seconds = -1 WHERE end_reason = 'WORKER_LOST'": "less than no time",
    'UPDATE automl_searches SET summary = \'{"budget": {"trials": 3}}\'': "1 more than its budget",
    'UPDATE automl_searches SET document = \'{"budget": {"trials": 1}}\', summary = NULL': "3 more than its budget",
    'UPDATE automl_searches SET options = \'{"budget": {"trials": 2}}\', summary = NULL': "2 more than its budget",
    'UPDATE automl_searches SET summary = \'{"budget": {"trials": 3}, "limits": {"trials": 4}}\'': None,
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
