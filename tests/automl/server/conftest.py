import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

from automl.executors import EXECUTORS, InlineExecutor
from automl.server.app import guarded
from automl.server.connections import Server, protocol
from automl.server.options import Limits
from tests.automl.server.service import Place, PretendedTrainer, opened


def pretend(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AUTOML_CACHE", str(folder / "cache"))
    patch.delenv("AUTOML_CHECKPOINTS", raising=False)
    trainer = PretendedTrainer(folder / "automl.checkpoints")
    patch.setitem(EXECUTORS, "inline", lambda *_: InlineExecutor(lambda: trainer))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    pretend(tmp_path, monkeypatch)
    with opened(Place(tmp_path)) as place:
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
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Place, int]]]:
    """Starts services that listen to a port of this machine, in threads."""
    pretend(tmp_path, monkeypatch)
    started: list[tuple[Server, threading.Thread, Place]] = []

    def start(limits: Limits | None = None, port: int = 0) -> tuple[Place, int]:
        place = Place(tmp_path, limits)
        seconds = place.options.limits.header_seconds
        config = uvicorn.Config(
            guarded(place.app),
            host="127.0.0.1",
            port=port,
            http=protocol(seconds),
            ws="none",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        sock = config.bind_socket()
        server = Server(config, place.app.state.service.feed.close)
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
