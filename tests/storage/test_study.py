"""The Optuna study beside our tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState
from sqlalchemy import inspect

from storage.database import Database, open_database
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
