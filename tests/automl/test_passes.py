"""How often train is seen within a budget, and on how many cores one trial is trained for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from automl import searches
from automl.passes import cores_a_trial, expected_passes
from automl.planning import plan_of
from automl.searches import DEFAULTS
from automl.settings import Settings
from automl.tasks.document import PrivacySection
from storage import objects
from tests.automl.timed import given, slower


def test_are_as_many_as_there_is_time(tmp_path: Path) -> None:
    some, more = (expected_passes(*given(tmp_path, time=time)) or 0.0 for time in ("10m", "1h"))
    assert more > 5 * some > 0.0


def test_are_unknown_without_a_limit_of_time(tmp_path: Path) -> None:
    assert expected_passes(*given(tmp_path, trials=2)) is None


@pytest.mark.parametrize(("passes", "cores"), [(100.0, 1), (41.0, 1), (30.0, 2), (15.0, 4), (0.01, 8)])
def test_fewer_call_for_more_cores_as_far_as_the_rows_of_a_batch_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: float, cores: int
) -> None:
    assert cores_a_trial(*slower(given(tmp_path, time="1h"), monkeypatch, passes), 16) == cores


@pytest.mark.parametrize(("there", "used"), [(1, 1), (2, 2), (3, 1), (4, 4), (5, 4), (6, 2), (8, 8), (12, 4), (64, 8)])
def test_a_trial_has_a_power_of_two_of_the_cores_so_that_few_are_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: int, used: int
) -> None:
    assert cores_a_trial(*slower(given(tmp_path, time="1h"), monkeypatch, 1.0), there) == used


def test_where_the_time_of_processes_is_counted_a_trial_has_a_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cores_a_trial(*slower(given(tmp_path, time="1h", device_time="1h"), monkeypatch, 1.0), 2) == 1


def test_private_steps_are_taken_on_a_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document, *others = slower(given(tmp_path, time="1h"), monkeypatch, 1.0)
    private = document.model_copy(update={"privacy": PrivacySection(epsilon=8.0)})
    assert cores_a_trial(private, *others, 2) == 1


def test_there_are_as_many_processes_as_the_cores_of_each_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "cores", lambda: 6)
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    document, space, table = given(tmp_path, time="1h")
    plan = replace(plan_of(document, space, table, objects.place(str(tmp_path / "checkpoints")), 0.0), cores=2)
    assert searches._workers(Settings(), DEFAULTS, plan) == 3
    assert searches.workload_of(table, plan, Settings(), DEFAULTS).threads == 2
    assert searches.workload_of(table, plan, Settings(), replace(DEFAULTS, workers=1)).threads == 6


def test_in_a_short_time_others_are_trained_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores_a_trial(*slower(given(tmp_path, time="5m"), monkeypatch, 1.0), 2) == 1


def test_without_a_limit_of_time_a_trial_has_a_core(tmp_path: Path) -> None:
    assert cores_a_trial(*given(tmp_path, trials=2), 8) == 1


def test_a_batch_of_few_long_rows_is_not_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores_a_trial(*slower(given(tmp_path, length=60, time="1h"), monkeypatch, 1.0), 8) == 1
