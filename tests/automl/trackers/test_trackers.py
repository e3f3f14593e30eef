"""Trackers: TensorBoard's files are read again; MLflow and Weights & Biases are pretended, and asked what they were told."""

import struct
import sys
from collections import defaultdict
from types import SimpleNamespace

import pytest

from automl.errors import InputError
from automl.trackers import Told, check_trackers
from automl.trackers.following import Following, dials_of
from storage.database import open_database
from tests.automl.trackers.fakes import FakeMLflow, FakeWandB
from tests.storage.kept_search import keep_search


@pytest.fixture
def followed(tmp_path):
    """Follows a kept search, from its beginning to its end, by a tracker; returns what was said of it."""
    database = open_database(f"sqlite:///{tmp_path / 'automl.db'}")
    row = keep_search(database, tmp_path / "checkpoints")
    told = Told(row.name, "sequence_to_sequence", "sequence_error_rate", tmp_path / "runs")

    def follow(name):
        said = []
        with Following(database, row.id, [name], told, said.append):
            pass
        return said

    yield follow
    database.close()


def events(folder):
    """The scalars of TensorBoard's event files: trial → (tag, step) → value."""
    from tensorboardX.proto.event_pb2 import Event

    found = defaultdict(list)
    for path in sorted(folder.glob("*/events.*")):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + size])
            found[path.parent.name] += [
                (value.tag, event.step, value.simple_value)
                for value in event.summary.value
                if value.WhichOneof("value") == "simple_value"
            ]
            data = data[16 + size :]
    return found


def test_tensorboard_gets_a_folder_for_each_trial_and_nothing_twice(followed, tmp_path):
    pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
    assert followed("tensorboard") == []
    found = events(tmp_path / "runs" / "dates")
    assert [(tag, step) for tag, step, _ in found["trial-0000"] if tag == "valid/loss"] == [
        ("valid/loss", 10),
        ("valid/loss", 20),
    ]
    assert ("valid/tokens", 10, 500.0) in found["trial-0001"]
    assert followed("tensorboard") == []
    assert events(tmp_path / "runs" / "dates") == found


def test_mlflow_gets_a_run_for_each_trial_and_nothing_twice(followed, monkeypatch):
    fake = FakeMLflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    assert followed("mlflow") == []
    assert set(fake.experiments) == {"automl/dates"}
    assert fake.endings == {"trial 0": "FINISHED", "trial 1": "KILLED", "trial 2": "FAILED", "trial 3": "KILLED"}
    assert fake.parameters["trial 3"] == {"width": "8", "number": "3"}
    assert [step for name, _, step in fake.metrics["trial 0"] if name == "sequence_error_rate"] == [10, 20]
    before = {run: list(metrics) for run, metrics in fake.metrics.items()}
    assert followed("mlflow") == []
    assert fake.metrics == before
    assert len(fake.runs) == 4


def test_wandb_gets_numbers_and_dials_and_nothing_of_the_machine(followed, monkeypatch):
    fake = FakeWandB()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    assert followed("wandb") == []
    assert {name: run.ended for name, run in fake.runs.items()} == {
        "trial 0": [0],
        "trial 1": [0],
        "trial 2": [1],
        "trial 3": [0],
    }
    run = fake.runs["trial 0"]
    assert [step for step, _ in run.logged] == [10, 20]
    assert set(run.logged[0][1]) == {"loss", "sequence_error_rate", "tokens", "seconds"}
    settings = run.options["settings"]
    assert (settings.console, settings.save_code, settings.x_disable_meta) == ("off", False, True)


def test_a_tracker_that_fails_is_told_no_more_and_harms_nothing(followed, monkeypatch):
    def fail(**_):
        raise ConnectionError("https://somewhere/with/a/secret")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(Settings=SimpleNamespace, init=fail))
    assert followed("wandb") == ["tracker wandb is told no more: ConnectionError"]


def test_a_tracker_that_is_not_known_or_not_installed_is_refused(monkeypatch):
    with pytest.raises(InputError, match="'comet' is not known; use tensorboard, mlflow, wandb"):
        check_trackers(("comet",))
    monkeypatch.setattr("automl.trackers.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"install automl-seq2seq\[mlflow\]"):
        check_trackers(("mlflow",))


def test_dials_are_named_by_their_paths():
    assert dials_of({"encoder": {"kind": "Recurrent", "size": 8}, "tied": True, "none": None}) == {
        "encoder.kind": "Recurrent",
        "encoder.size": 8,
        "tied": True,
        "none": "None",
    }
