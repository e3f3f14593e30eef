import pytest

from automl.executors import EXECUTORS, InlineExecutor
from tests.automl.worker.queued_search import Place, PretendedTrainer


@pytest.fixture
def place(tmp_path, monkeypatch):
    place = Place(tmp_path)
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AUTOML_CHECKPOINTS", raising=False)
    trainer = PretendedTrainer(place)
    monkeypatch.setitem(EXECUTORS, "inline", lambda *_: InlineExecutor(lambda: trainer))
    return place
