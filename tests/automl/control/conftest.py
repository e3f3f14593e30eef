import pytest

from tests.automl.control.pretended_search import Bench, NoMirror


@pytest.fixture
def mirrored_bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.database.close()


@pytest.fixture
def bench(mirrored_bench, monkeypatch):
    monkeypatch.setattr("automl.control.mirror.Mirror", NoMirror)
    return mirrored_bench
