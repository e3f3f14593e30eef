"""The commands that keep a database well."""

import json
import os
import time
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from automl.cli import run
from automl.tasks.document import read_document
from search_spaces.dials import to_dict
from search_spaces.presets import preset
from storage import objects
from storage.database import open_database
from storage.leases import current_owner
from storage.queues import queue_search
from storage.searches import claim, create_search, release
from storage.segments import list_segments
from storage.spending import delete_search
from storage.trials import add_trial
from tests.automl.command_line import write_task
from tests.storage.kept_search import commit, keep_search

CHECKPOINTS = Path("automl.checkpoints")


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.chdir(tmp_path)
    with closing(open_database("sqlite:///automl.db")) as database:
        return keep_search(database, CHECKPOINTS).id


def damage(search: int) -> str:
    with closing(open_database("sqlite:///automl.db")) as database:
        digest = list_segments(database, search)[0].checkpoint
    objects.path(CHECKPOINTS, digest).write_bytes(b"x")
    return digest


def test_a_sound_search_is_verified_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "dates"]) == 0
    assert capsys.readouterr() == ("", "automl: search 'dates': no violations\n")
    assert run(["verify", "dates", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": 1, "search": "dates", "violations": []}


def test_a_damaged_search_is_listed_and_ends_with_1(kept: int, capsys: pytest.CaptureFixture[str]) -> None:
    digest = damage(kept)
    assert run(["verify", "dates"]) == 1
    printed = capsys.readouterr()
    assert digest[:12] in printed.out
    assert printed.err == "automl: search 'dates': 1 violation\n"


def test_the_mirror_is_written_anew_unless_the_search_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = read_document(write_task(tmp_path)).to_mapping()
    with closing(open_database("sqlite:///automl.db")) as database:
        create_search(database, "copy", document, "0" * 64)
        lease = claim(database, "copy", current_owner(), 60)
        for number in range(2):
            add_trial(database, lease, to_dict(preset("tiny").default()), number, "default")
        commit(database, lease, CHECKPOINTS, 0, 0)
        commit(database, lease, CHECKPOINTS, 1, 0, complete=True)
        assert run(["verify", "copy", "--mirror"]) == 2
        assert "is running" in capsys.readouterr().err
        release(database, lease)
    stray = optuna.create_study(study_name="copy", storage="sqlite:///automl.db")
    stray.add_trial(optuna.create_trial(value=0.0))
    assert run(["verify", "copy", "--mirror"]) == 0
    first, second = optuna.load_study(study_name="copy", storage="sqlite:///automl.db").trials
    assert (first.state.name, first.intermediate_values) == ("RUNNING", {500: 0.5})
    assert (second.state.name, second.value) == ("COMPLETE", 0.5)


def test_prune_collects_what_nothing_points_to(kept: int, capsys: pytest.CaptureFixture[str]) -> None:
    objects.write(CHECKPOINTS, b"fresh")
    assert run(["prune"]) == 0
    assert capsys.readouterr().out == "0 files, 0 bytes\n"
    with closing(open_database("sqlite:///automl.db")) as database:
        delete_search(database, "dates")
    for file in CHECKPOINTS.glob("*/*"):
        os.utime(file, (0, 0))
    assert run(["prune", "--age", "1s", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 4
    assert list(CHECKPOINTS.glob("*/*")) == []


def test_prune_leaves_the_data_of_a_queued_search(capsys: pytest.CaptureFixture[str]) -> None:
    data, stray = objects.write(CHECKPOINTS, b"a b\n"), objects.write(CHECKPOINTS, b"stray")
    with closing(open_database("sqlite:///automl.db")) as database:
        create_search(database, "queued", {}, "0" * 64)
        queue_search(database, "queued", {"data": {"train": [data, ".tsv"]}})
    for file in CHECKPOINTS.glob("*/*"):
        os.utime(file, (0, 0))
    assert run(["prune", "--age", "1s"]) == 0
    assert (objects.is_sound(CHECKPOINTS, data), objects.exists(CHECKPOINTS, stray)) == (True, False)


def test_checkpoints_at_a_url_are_verified_pruned_exported_and_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_CHECKPOINTS", "memory://care/objects")
    place = objects.place("memory://care/objects")
    with closing(open_database("sqlite:///automl.db")) as database:
        keep_search(database, place, "far")
    stray = objects.write(place, b"stray")
    assert run(["verify", "far"]) == 0
    assert run(["export-study", "far", "far.zip"]) == 0
    time.sleep(0.01)
    assert run(["prune", "--age", "0.001s"]) == 0
    assert (run(["verify", "far"]), objects.exists(place, stray)) == (0, False)
    assert run(["import-study", "far.zip", "--name", "again"]) == 0
    assert (run(["verify", "again"]), run(["backup", "copy"])) == (0, 0)
    monkeypatch.setenv("AUTOML_CHECKPOINTS", "memory://care/elsewhere")
    assert run(["verify", "far"]) == 2


@pytest.mark.parametrize("command", [("verify", "dates"), ("export-study", "dates", "x.zip"), ("backup", "copy")])
def test_a_folder_of_checkpoints_that_is_gone_is_said_in_one_line(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    CHECKPOINTS.rename("elsewhere")
    assert run(command) == 2
    said = "checkpoints: the folder that checkpoints were written to is not there; mount it, or bring it back\n"
    assert capsys.readouterr().err.endswith(said)
    assert [name for name in ("x.zip", "copy") if Path(name).exists()] == []


def test_a_backup_is_verified_like_the_original(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backup", "copy"]) == 0
    assert capsys.readouterr().out == "copy/automl.db\n"
    assert run(["verify", "dates", "--storage", "sqlite:///copy/automl.db"]) == 0
    assert run(["backup", "copy"]) == 2


def test_a_backup_of_damaged_checkpoints_says_so(kept: int, capsys: pytest.CaptureFixture[str]) -> None:
    damage(kept)
    assert run(["backup", "copy"]) == 1
    assert "1 are damaged" in capsys.readouterr().err


def test_a_search_is_taken_elsewhere_in_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export-study", "dates", "dates.zip"]) == 0
    assert run(["import-study", "dates.zip", "--storage", "sqlite:///other.db"]) == 0
    assert "4 trials, interrupted" in capsys.readouterr().err
    assert run(["verify", "dates", "--storage", "sqlite:///other.db"]) == 0
    assert run(["import-study", "dates.zip"]) == 2
    assert run(["import-study", "dates.zip", "--name", "again"]) == 0


def test_what_takes_a_search_elsewhere_says_so_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [
        ("backup", "copy"),
        ("export-study", "dates", "dates.zip"),
        ("import-study", "dates.zip", "--name", "b"),
    ]
    found = [(run([*command, "--json"]), json.loads(capsys.readouterr().out)) for command in commands]
    assert [code for code, _ in found] == [0, 0, 0]
    assert [{**said, "version": 1} for _, said in found] == [said for _, said in found]
    (_, copied), (_, exported), (_, imported) = found
    assert (copied["database"], copied["damaged"]) == ("copy/automl.db", 0)
    assert (exported["search"], exported["file"]) == ("dates", "dates.zip")
    assert copied["checkpoints"] == exported["checkpoints"] > 0
    assert (imported["search"], imported["trials"], imported["state"]) == ("b", 4, "interrupted")


def test_a_file_that_holds_no_search_makes_no_database(capsys: pytest.CaptureFixture[str]) -> None:
    Path("no.zip").write_text("nothing")
    assert run(["import-study", "no.zip", "--storage", "sqlite:///new.db"]) == 2
    assert "no.zip is not a search as automl export-study writes it" in capsys.readouterr().err
    assert not Path("new.db").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "nothing"),
        ("export-study", "nothing", "x.zip"),
        ("import-study", "absent.zip"),
        ("prune", "--age", "x"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
