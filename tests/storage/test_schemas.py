"""A database of every schema that there was opens, upgraded, with all that it held."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from storage import migrations
from storage.attempts import list_attempts
from storage.database import Database, StorageError, open_database
from storage.schema import Base
from storage.searches import list_searches
from storage.segments import list_segments
from storage.trials import list_trials

DUMPS = sorted((Path(__file__).parent / "schemas").glob("*.sql"))
TABLES = ("searches", "trials", "attempts", "segments", "checkpoints", "events")


@pytest.fixture(params=DUMPS, ids=lambda dump: dump.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / "old.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(request.param.read_text(encoding="utf-8"))
    return file


def counts(file: Path) -> dict[str, int]:
    with closing(sqlite3.connect(file)) as connection:
        return {name: connection.execute(f"SELECT count(*) FROM automl_{name}").fetchone()[0] for name in TABLES}


def version(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute("SELECT version_num FROM automl_version").fetchone()[0])


def test_every_schema_but_the_newest_is_kept() -> None:
    versions = Path(migrations.__file__).parent / "versions"
    revisions = sorted(file.stem[1:5] for file in versions.glob("v*.py"))
    assert [dump.stem for dump in DUMPS] == revisions[:-1]


def test_an_old_database_opens_with_all_it_held(old: Path) -> None:
    before = counts(old)
    assert min(before.values()) > 0
    database = open_database(f"sqlite:///{old}")
    try:
        assert counts(old) == before
        assert version(old) == migrations.HEAD
        search = list_searches(database)[0]
        assert (search.name, search.state, search.detached) == ("dates", "finished", False)
        segments = list_segments(database, search.id)
        committed = {(a.trial, a.number) for a in list_attempts(database, search.id) if a.end_reason == "COMMITTED"}
        assert {(segment.trial, segment.attempt) for segment in segments} == committed
        for trial in list_trials(database, search.id):
            assert trial.segments == len([segment for segment in segments if segment.trial == trial.number])
        tables = inspect(database.reading)
        kept = {check["name"] for name in Base.metadata.tables for check in tables.get_check_constraints(name)}
        assert {
            "ck_automl_searches_detached",
            "ck_automl_attempts_ended",
            "ck_automl_trials_checkpoint",
            "ck_automl_segments_steps",
        } <= kept
    finally:
        database.close()


def test_an_old_database_has_the_tables_of_a_new_one(old: Path, sqlite: Database) -> None:
    with closing(open_database(f"sqlite:///{old}")) as database:
        assert described(database) == described(sqlite)


def described(database: Database) -> dict[str, object]:
    """What there is of each table, by its name."""
    inspector = inspect(database.reading)
    with database.read() as session:
        rows = session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        kinds = {name: ("WITHOUT ROWID" in sql, "AUTOINCREMENT" in sql) for name, sql in rows}
    return {
        name: (
            kinds[name],
            {(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(name)},
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted(str(sorted(key.items(), key=str)) for key in inspector.get_foreign_keys(name)),
            sorted(str(check["name"]) for check in inspector.get_check_constraints(name)),
            sorted(str(index["column_names"]) for index in inspector.get_indexes(name)),
            sorted(str(unique["column_names"]) for unique in inspector.get_unique_constraints(name)),
        )
        for name in Base.metadata.tables
    }


def test_an_old_database_is_copied_before_it_is_changed(old: Path) -> None:
    before, found = counts(old), version(old)
    open_database(f"sqlite:///{old}").close()
    copy = old.with_name(f"{old.name}.{found}")
    assert (counts(copy), version(copy)) == (before, found)
    assert copy.stat().st_mode & 0o077 == 0


def test_rows_that_point_nowhere_stop_the_upgrade_and_nothing_is_changed(old: Path) -> None:
    found = version(old)
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("UPDATE automl_attempts SET trial_id = 99 WHERE number = 1 AND trial_id = 1")
        connection.commit()
    with pytest.raises(StorageError, match="point to rows that are not there"):
        open_database(f"sqlite:///{old}")
    assert version(old) == found
