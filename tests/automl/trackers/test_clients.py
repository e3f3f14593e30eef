"""Trackers by the real clients of MLflow and Weights & Biases, into folders instead of to servers."""

import sys

import pytest

from automl.trackers import Told
from automl.trackers.following import Following
from storage.database import open_database
from tests.storage.kept_search import keep_search

pytestmark = pytest.mark.filterwarnings("default")  # of packages of others


@pytest.fixture
def followed(tmp_path, monkeypatch):
    """Follows a kept search by a tracker, twice, as when a search goes on; returns what was said of it."""
    monkeypatch.chdir(tmp_path)
    database = open_database(f"sqlite:///{tmp_path / 'automl.db'}")
    row = keep_search(database, tmp_path / "checkpoints")
    told = Told(row.name, "sequence_to_sequence", "sequence_error_rate", tmp_path / "runs")

    def follow(name):
        said = []
        for _ in range(2):
            with Following(database, row.id, [name], told, said.append):
                pass
        return said

    yield follow
    database.close()


def test_mlflow_keeps_a_run_of_each_trial_with_its_dials_and_scores(followed, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{tmp_path / 'mlruns'}")
    assert followed("mlflow") == []
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("automl/dates")
    runs = {run.data.tags["automl.trial"]: run for run in client.search_runs([experiment.experiment_id])}
    assert {trial: run.info.status for trial, run in runs.items()} == {
        "0": "FINISHED",
        "1": "KILLED",
        "2": "FAILED",
        "3": "KILLED",
    }
    assert runs["0"].data.params == {"width": "8", "number": "0"}
    history = client.get_metric_history(runs["0"].info.run_id, "sequence_error_rate")
    assert [(metric.step, metric.value) for metric in history] == [(10, 0.5), (20, 0.5)]


def test_mlflow_takes_as_many_dials_as_a_configuration_can_have(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    from automl.trackers.mlflow import tracker

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{tmp_path / 'mlruns'}")
    told = tracker(Told("wide", "sequence_to_sequence", "loss", tmp_path))
    told.begin(0, {f"dial.{number}": "x" * number for number in range(250)})
    told.close()
    (run,) = mlflow.MlflowClient().search_runs([mlflow.get_experiment_by_name("automl/wide").experiment_id])
    assert len(run.data.params) == 250


def test_wandb_keeps_a_run_of_each_trial_and_nothing_of_the_machine(followed, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setattr("socket.gethostname", lambda: "the-name-of-a-machine")
    assert followed("wandb") == []
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert {folder.name.rpartition("-dates-")[2] for folder in folders} == {"0", "1", "2", "3"}
    kept = b"".join(path.read_bytes() for path in (tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    for said in (b"sequence_error_rate", b"dates", b"width"):
        assert said in kept
    for unsaid in (str(tmp_path), sys.executable, "the-name-of-a-machine"):
        assert unsaid.encode() not in kept
