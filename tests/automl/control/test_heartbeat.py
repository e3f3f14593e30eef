import threading

import pytest

from automl.control.heartbeat import Heartbeat
from storage.database import StorageError, open_database
from storage.searches import claim, create_search

OWNER = "a test"


@pytest.fixture
def database(tmp_path):
    database = open_database(f"sqlite:///{tmp_path / 'automl.db'}")
    create_search(database, "dates", {}, "0" * 64)
    yield database
    database.close()


def test_a_lost_lease_is_told(database):
    old = claim(database, "dates", OWNER, 60.0)
    claim(database, "dates", OWNER, 60.0)
    lost = threading.Event()
    with Heartbeat(database, old, 0.003, lost.set):
        assert lost.wait(30)


def test_a_lease_is_renewed_and_a_busy_database_is_borne(database, monkeypatch):
    beats, enough = [], threading.Event()

    def renew(*arguments):
        beats.append(arguments)
        if len(beats) == 3:
            enough.set()
        raise StorageError("database is busy")

    monkeypatch.setattr("automl.control.heartbeat.renew", renew)
    with Heartbeat(database, "lease", 0.003, enough.clear):
        assert enough.wait(30)
    assert beats[0] == (database, "lease", 0.003)
