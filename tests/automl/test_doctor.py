import json
import subprocess
from pathlib import Path

import pytest

from automl import cli, doctor
from automl.doctor import STEPS, Check
from automl.errors import FailureReason, TrialFailure
from automl.settings import Settings
from storage.database import open_database
from storage.migrations import HEAD


def test_the_versions_of_what_is_needed_are_found() -> None:
    checks = {check.name: check for check in doctor.versions()}
    assert {"python", "jax", "optuna", "sqlalchemy"} <= checks.keys()
    assert all(check.level == "ok" for check in checks.values())


def test_a_package_that_is_not_installed_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED", ("no-such-package",))
    assert [check.level for check in doctor.versions()] == ["ok", "fail"]


def test_another_distribution_with_a_package_of_our_name_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor.clashes().level == "ok"
    information = tmp_path / "otherml-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: otherml\nVersion: 1.0\n")
    (information / "top_level.txt").write_text("automl\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    check = doctor.clashes()
    assert (check.level, check.advice) == ("fail", "pip uninstall otherml")


def test_a_package_that_hides_ours_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hiding.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(doctor, "PACKAGES", ("hiding",))
    assert "hides hiding" in doctor.clashes().found


def test_a_database_that_is_not_there_is_fine_and_is_not_made(tmp_path: Path) -> None:
    assert doctor.database(f"sqlite:///{tmp_path / 'a.db'}").level == "ok"
    assert not list(tmp_path.iterdir())


def test_a_database_says_its_schema_and_a_file_that_is_none_fails(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path / 'a.db'}").close()
    assert f"schema {HEAD}, searches: 0" in doctor.database(f"sqlite:///{tmp_path / 'a.db'}").found
    (tmp_path / "b.db").write_text("this is no database, whatever its name says" * 9)
    assert doctor.database(f"sqlite:///{tmp_path / 'b.db'}").level == "fail"


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    assert doctor.folder("cache", tmp_path / "a" / "b", "AUTOML_CACHE").level == "ok"
    (tmp_path / "file").touch()
    check = doctor.folder("cache", tmp_path / "file" / "b", "AUTOML_CACHE")
    assert check.level == "fail"
    assert "AUTOML_CACHE" in check.advice


def test_jax_names_its_devices_from_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert doctor.devices().level != "fail"
    monkeypatch.setenv("JAX_PLATFORMS", "abacus")
    assert doctor.devices().level == "fail"


def of_cache(folder: Path, **more: object) -> Settings:
    return Settings.model_validate({"cache": folder, "program_key": folder / "key", **more})


def test_compiled_programs_can_be_kept_where_searches_keep_them(tmp_path: Path) -> None:
    check = doctor.program_cache(of_cache(tmp_path))
    assert (check.level, check.found) == ("ok", f"{tmp_path / 'programs'}, up to 2 GiB")
    assert not list((tmp_path / "programs").iterdir())


def test_a_cache_of_programs_that_cannot_be_used_is_said_with_the_cause(tmp_path: Path) -> None:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs").chmod(0o777)
    check = doctor.program_cache(of_cache(tmp_path))
    assert (check.level, "others can write the folder" in check.found) == ("warn", True)
    assert "compiles anew" in check.advice


def test_a_cache_that_keeps_nothing_is_said(tmp_path: Path) -> None:
    check = doctor.program_cache(of_cache(tmp_path, program_bytes=0))
    assert (check.level, "AUTOML_PROGRAM_BYTES" in check.advice) == ("warn", True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("extra", "counted", "found"),
    [("cuda", False, "a GPU"), ("tpu", False, "a TPU"), (None, True, "an accelerator that searches count on")],
)
def test_an_accelerator_that_jax_does_not_reach_is_said(
    monkeypatch: pytest.MonkeyPatch, extra: str | None, counted: bool, found: str
) -> None:
    finished = subprocess.CompletedProcess([], 0, "cpu\nTFRT_CPU_0\n", "")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: finished)
    monkeypatch.setattr(doctor, "idle_accelerator", lambda: extra)
    monkeypatch.setattr(doctor, "has_accelerator", lambda: counted)
    check = doctor.devices()
    assert (check.level, check.found) == ("warn", f"cpu, although there is {found}")
    assert extra is None or f"[{extra}]" in check.advice


def test_a_program_compiled_in_one_process_is_loaded_in_the_next(tmp_path: Path) -> None:
    check = doctor.programs(tmp_path / "key")
    assert check.level == "ok", check.found
    assert "loaded by the next process" in check.found


def test_a_cache_that_never_hits_is_said_with_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"seconds": 1.0, "counts": {"loaded": 0}, "said": ["a compiled program was rejected"]}
    finished = subprocess.CompletedProcess([], 0, json.dumps(answer), "")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: finished)
    check = doctor.programs(tmp_path / "key")
    assert (check.level, check.found.rpartition(": ")[2]) == ("warn", "a compiled program was rejected")


def test_a_machine_that_cannot_compile_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "abacus")
    assert doctor.programs(tmp_path / "key").level == "fail"


def test_a_short_training_run_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    check = doctor.training()
    assert check.level == "ok", check.found
    assert int(check.found.split()[0]) >= STEPS


def test_training_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(scratch: Path, seconds: float) -> tuple[int, float]:
        raise TrialFailure(FailureReason.WORKER_LOST, "the worker process ended (signal 9)")

    monkeypatch.setattr(doctor, "_train", fail)
    assert doctor.training().level == "fail"


def test_training_that_does_not_end_in_time_is_said() -> None:
    assert doctor.training(seconds=0.0).found == "not done in 0 s"


@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_doctor_ends_with_1_where_something_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: doctor.Level, code: int
) -> None:
    check = Check("devices", level, "found", "do this")
    monkeypatch.setattr(doctor, "examine", lambda *_: iter([check]))
    assert cli.run(["doctor", "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found == {"version": 1, "healthy": code == 0, "checks": [check.to_mapping()]}
    assert cli.run(["doctor"]) == code
    assert capsys.readouterr().out == f"{level:<5} devices: found; do this\n"
