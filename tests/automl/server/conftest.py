import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import uvicorn
from sqlalchemy import URL

from automl.bundle import write_bundle
from automl.executors import EXECUTORS, InlineExecutor
from automl.server.app import guarded
from automl.server.connections import Server, protocol
from automl.server.options import Limits
from tests.automl.server.browser import launched
from tests.automl.server.service import Place, PretendedTrainer, opened
from tests.servers import administer, fresh_database, with_driver

EVERYWHERE = ("test_api", "test_watching")


def pretend(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AUTOML_CACHE", str(folder / "cache"))
    patch.delenv("AUTOML_CHECKPOINTS", raising=False)
    trainer = PretendedTrainer(folder / "automl.checkpoints")
    patch.setitem(EXECUTORS, "inline", lambda *_: InlineExecutor(lambda: trainer))
    patch.setattr("automl.server.models.export", lambda bundle, folder, *_: write_bundle(bundle, folder))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let what the API does be the same over each storage; the rest of the tests are over SQLite."""
    if "storage" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in EVERYWHERE:
        metafunc.parametrize("storage", ["SQLite", "PostgreSQL"], indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """A database on a server of PostgreSQL; others can be made beside it."""
    with TemporaryDirectory(prefix="automl-postgresql-") as folder:
        Path(folder).chmod(0o755)  # the server's user is another one where the tests run as root
        with fresh_database("PostgreSQL", Path(folder)) as url:
            yield with_driver(url)


@pytest.fixture
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database."""
    if getattr(request, "param", "SQLite") == "SQLite":
        yield f"sqlite:///{tmp_path / 'automl.db'}"
        return
    server, name = request.getfixturevalue("postgres"), f"automl_test_{uuid.uuid4().hex[:12]}"
    administer(server, f"CREATE DATABASE {name}")
    yield server.set(database=name, query={}).render_as_string(hide_password=False)
    administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str) -> Iterator[Place]:
    pretend(tmp_path, monkeypatch)
    monkeypatch.setenv("AUTOML_CHECKPOINTS", str(tmp_path / "automl.checkpoints"))
    with opened(Place(tmp_path, url=storage)) as place:
        yield place


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A service with a finished search of ada's, called words, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        pretend(folder, patch)
        with opened(Place(folder)) as place:
            place.submit(place.person())
            place.work()
            yield place


@pytest.fixture
def running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> Iterator[Callable[..., tuple[Place, int]]]:
    """Starts services that listen to a port of this machine, in threads."""
    pretend(tmp_path, monkeypatch)
    monkeypatch.setenv("AUTOML_CHECKPOINTS", str(tmp_path / "automl.checkpoints"))
    started: list[tuple[Server, threading.Thread, Place]] = []

    def start(limits: Limits | None = None, port: int = 0, **tls: Path) -> tuple[Place, int]:
        place = Place(tmp_path, limits, storage)
        config = uvicorn.Config(
            guarded(place.app),
            host="127.0.0.1",
            port=port,
            http=protocol(place.options.limits),
            ws="none",
            log_config=None,
            timeout_graceful_shutdown=1,
            **tls,
        )
        sock = config.bind_socket()
        sock.listen()
        server = Server(config, place.options.limits, place.app.state.service.feed.close)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        started.append((server, thread, place))
        return place, sock.getsockname()[1]

    def stop() -> None:
        for server, thread, place in started:
            place.app.state.service.feed.close_soon()
            server.should_exit = True
            thread.join()
            place.close()
        started.clear()

    start.stop = stop  # type: ignore[attr-defined]
    yield start
    stop()


@pytest.fixture
def chromium() -> Iterator[object]:
    with launched() as browser:
        yield browser
