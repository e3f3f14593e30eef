"""The Optuna study beside our tables."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState
from sqlalchemy import create_engine, inspect
from sqlalchemy.pool import NullPool

from storage.database import Database, open_database
from storage.engines import BusyError
from storage.leases import Lease, LeaseLost
from storage.searches import claim, renew
from storage.studies import delete_study
from storage.study import Mirror, MirrorTrial

DISTRIBUTIONS = {"encoder": CategoricalDistribution(["lstm", "gru"]), "rate": FloatDistribution(1e-4, 1e-2, log=True)}


def a_trial(number: int, state: Any, **fields: Any) -> MirrorTrial:
    return MirrorTrial(number, state, {"encoder": "gru", "rate": 1e-3}, DISTRIBUTIONS, **fields)


@contextmanager
def reading(url: str) -> Iterator[optuna.Study]:
    storage = optuna.storages.RDBStorage(url)
    yield optuna.load_study(study_name="dates", storage=storage)
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture
def mirror(database: Database) -> Iterator[Mirror]:
    mirror = Mirror(database, "dates")
    yield mirror
    delete_study(database.url, "dates")


def test_optuna_reads_what_the_mirror_wrote(database: Database, mirror: Mirror) -> None:
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    mirror.update(
        [
            a_trial(2, "FAILED", user_attrs={"reason": "NAN_LOSS"}),
            a_trial(0, "COMPLETE", values=(0.25,), intermediate_values={500: 0.5, 1000: 0.25}, started=started),
            a_trial(1, "PAUSED", intermediate_values={500: 0.75}),
            a_trial(3, "RUNNING"),
        ]
    )
    with reading(database.url) as study:
        first, _, third, _ = study.trials
        assert [trial.state.name for trial in study.trials] == ["COMPLETE", "RUNNING", "FAIL", "RUNNING"]
        assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
        assert (study.best_value, study.best_params) == (0.25, {"encoder": "gru", "rate": 1e-3})
    assert first.intermediate_values == {500: 0.5, 1000: 0.25}
    assert first.datetime_start == started.astimezone().replace(tzinfo=None)
    assert third.user_attrs == {"reason": "NAN_LOSS"}


def test_a_trial_goes_on_in_the_mirror_and_is_told_once(database: Database, mirror: Mirror) -> None:
    mirror.update([a_trial(0, "RUNNING")])
    mirror.update([a_trial(0, "PAUSED", intermediate_values={500: 0.5}, user_attrs={"parameters": 9})])
    mirror.update([a_trial(0, "COMPLETE", intermediate_values={500: 0.5, 1000: 0.25}, values=(0.25,))])
    mirror.update([a_trial(0, "COMPLETE", intermediate_values={1500: 0.125}, values=(0.125,))])
    with reading(database.url) as study:
        (trial,) = study.trials
    assert (trial.state, trial.value, trial.user_attrs) == (TrialState.COMPLETE, 0.25, {"parameters": 9})
    assert trial.intermediate_values == {500: 0.5, 1000: 0.25}


def test_a_new_mirror_goes_on_with_the_study_that_is_there(database: Database, mirror: Mirror) -> None:
    mirror.update([a_trial(0, "COMPLETE", values=(0.5,)), a_trial(1, "PAUSED", intermediate_values={500: 0.5})])
    later = Mirror(database, "dates")
    later.update(
        [
            a_trial(0, "COMPLETE", values=(0.5,)),
            a_trial(1, "COMPLETE", values=(0.25,), intermediate_values={500: 0.5, 1000: 0.25}),
            a_trial(2, "RUNNING"),
        ]
    )
    with reading(database.url) as study:
        assert [(trial.number, trial.value) for trial in study.trials] == [(0, 0.5), (1, 0.25), (2, None)]


def test_a_trial_is_not_mirrored_under_another_number(mirror: Mirror) -> None:
    with pytest.raises(ValueError, match="trial 1 cannot be mirrored before trial 0"):
        mirror.update([a_trial(1, "RUNNING")])


def test_several_objectives_have_a_direction_each(database: Database, mirror: Mirror) -> None:
    delete_study(database.url, "dates")
    two = Mirror(database, "dates", ("minimize", "maximize"))
    two.update([a_trial(0, "COMPLETE", values=(0.25, 30.0))])
    with reading(database.url) as study:
        assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
        assert study.trials[0].values == [0.25, 30.0]
    with pytest.raises(ValueError, match="other directions"):
        Mirror(database, "dates")


def test_both_version_tables_live_in_one_database(database: Database, mirror: Mirror) -> None:
    assert {"alembic_version", "automl_version"} <= set(inspect(database.reading).get_table_names())
    open_database(database.url).close()


def test_our_tables_find_room_beside_a_study_that_was_there_first(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    optuna.create_study(study_name="dates", storage=url).add_trial(optuna.create_trial(value=0.5))
    open_database(url).close()
    with reading(url) as study:
        assert study.best_value == 0.5


def test_the_mirror_is_silent_and_leaves_optuna_s_voice_as_it_was(
    sqlite: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    before = optuna.logging.get_verbosity()
    mirror = Mirror(sqlite, "dates")
    mirror.update([a_trial(0, "COMPLETE", values=(0.5,))])
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


@contextmanager
def locked(database: Database, table: str) -> Iterator[None]:
    """Somebody else holds a table of a server, as while an index is made."""
    engine = create_engine(database.writing.url, poolclass=NullPool)
    statement = "LOCK TABLE {} IN SHARE MODE" if engine.dialect.name == "postgresql" else "LOCK TABLES {} READ"
    with engine.begin() as connection:
        connection.exec_driver_sql(statement.format(table))
        yield
        if engine.dialect.name != "postgresql":
            connection.exec_driver_sql("UNLOCK TABLES")


def test_a_mirror_that_waits_for_others_keeps_no_search_from_its_lease(
    database: Database, mirror: Mirror, lease: Lease
) -> None:
    if database.reading.dialect.name == "sqlite":
        pytest.skip("whoever writes to SQLite waits before it holds anything")
    with ThreadPoolExecutor(2) as pool, locked(database, "trials"):
        waiting = pool.submit(mirror.update, [a_trial(0, "RUNNING")], lease)
        time.sleep(0.3)
        pool.submit(renew, database, lease, 60).result(timeout=30)
        assert isinstance(waiting.exception(timeout=30), BusyError)
    mirror.update([a_trial(0, "RUNNING")], lease)
    assert 0 in mirror


def test_a_study_that_others_lock_is_not_made_and_nobody_waits_for_it(database: Database, mirror: Mirror) -> None:
    if database.reading.dialect.name == "sqlite":
        pytest.skip("whoever writes to SQLite waits before it holds anything")
    with ThreadPoolExecutor(1) as pool, locked(database, "studies"):
        assert pool.submit(Mirror, database, "others").exception(timeout=60) is not None
    assert 0 not in mirror


def test_a_mirror_whose_lease_is_lost_writes_nothing(database: Database, mirror: Mirror, lease: Lease) -> None:
    claim(database, "dates", "first", 60)
    with pytest.raises(LeaseLost):
        mirror.update([a_trial(0, "RUNNING")], lease)
    with reading(database.url) as study:
        assert (study.trials, 0 in mirror) == ([], False)


def test_only_the_mirror_is_in_a_hurry(database: Database, mirror: Mirror) -> None:
    asked = {"postgresql": "SHOW lock_timeout", "mysql": "SELECT @@lock_wait_timeout"}
    statement = asked.get(database.reading.dialect.name)
    if statement is None:
        pytest.skip("SQLite waits as long as ever")
    with database.write() as transaction:
        usual = transaction.connection.exec_driver_sql(statement).scalar()
    with database.write(2) as transaction:
        assert transaction.connection.exec_driver_sql(statement).scalar() in (2, "2s")
    mirror.update([a_trial(0, "RUNNING")])
    with database.write() as transaction:
        assert transaction.connection.exec_driver_sql(statement).scalar() == usual
