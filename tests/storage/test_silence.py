"""A server that is there and says nothing is given up, and asked again."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest
from optuna.storages import RDBStorage
from sqlalchemy import make_url

from storage import database as databases
from storage import engines
from storage.database import open_database
from storage.engines import BusyError, ConnectionLost
from storage.searches import claim, create_search, get_search, release, renew
from storage.spending import delete_search
from storage.studies import study_of

LONG = 120.0


class Proxy:
    """Passes on what is said to a server and back; held, it takes everything and passes on nothing."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.flows = threading.Event()
        self.flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.flows.set()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._server)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError), one:
            while data := one.recv(65536):
                self.flows.wait()
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(request: pytest.FixtureRequest, server_urls: Callable[[str], str]) -> Iterator[tuple[Proxy, str]]:
    url = make_url(server_urls(request.param))
    with closing(
        Proxy(url.host or "127.0.0.1", url.port or {"PostgreSQL": 5432, "MariaDB": 3306}[request.param])
    ) as it:
        yield it, url.set(host="127.0.0.1", port=it.port).render_as_string(hide_password=False)


@pytest.mark.parametrize("proxy", ["PostgreSQL", "MariaDB"], indirect=True)
def test_a_lease_is_renewed_again_after_a_silence_that_keeps_the_connection(
    proxy: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "SILENCE_SECONDS", 2.0)
    monkeypatch.setattr(engines, "CONNECT_SECONDS", 2.0)
    monkeypatch.setattr(databases, "PAUSES", (0.0,))
    between, url = proxy
    open_database(url).close()
    with closing(open_database(url)) as database, ThreadPoolExecutor(1) as pool:
        create_search(database, "silent", {}, "d" * 64)
        lease = claim(database, "silent", "me", 60)
        between.flows.clear()
        try:
            with pytest.raises((BusyError, ConnectionLost)):
                pool.submit(renew, database, lease, 60).result(LONG)
        finally:
            between.flows.set()
        monkeypatch.setattr(databases, "PAUSES", (0.1, 1.0, 2.0, 4.0))
        renew(database, lease, 60)
        assert get_search(database, "silent").held  # type: ignore[union-attr]
        release(database, lease)
        delete_search(database, "silent", "me")


@pytest.mark.parametrize("proxy", ["PostgreSQL", "MariaDB"], indirect=True)
def test_a_statement_that_is_cut_off_by_silence_is_run_again(
    proxy: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "SILENCE_SECONDS", 2.0)
    between, url = proxy
    tries: list[int] = []

    def work(transaction: databases.Transaction) -> int:
        transaction.connection.exec_driver_sql("SELECT 1")
        tries.append(1)
        if len(tries) == 1:
            between.flows.clear()
            threading.Timer(4.0, between.flows.set).start()
        return int(transaction.connection.exec_driver_sql("SELECT 2").scalar_one())

    open_database(url).close()
    with closing(open_database(url)) as database, ThreadPoolExecutor(1) as pool:
        try:
            assert pool.submit(database.transact, work).result(LONG) == 2
        finally:
            between.flows.set()
    assert len(tries) > 1


@pytest.mark.parametrize("proxy", ["PostgreSQL", "MariaDB"], indirect=True)
@pytest.mark.parametrize("silent", ["at once", "in a statement"])
def test_a_study_is_not_waited_for_where_the_server_says_nothing(
    proxy: tuple[Proxy, str], silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    between, url = proxy
    study = study_of(url, "silent", ["minimize"])
    monkeypatch.setattr(engines, "SILENCE_SECONDS", 2.0)
    monkeypatch.setattr(engines, "CONNECT_SECONDS", 2.0)
    original = RDBStorage.get_study_id_from_name

    def find(storage: RDBStorage, name: str) -> int:
        between.flows.clear()
        return original(storage, name)

    if silent == "at once":
        between.flows.clear()
    else:
        monkeypatch.setattr(RDBStorage, "get_study_id_from_name", find)
    with ThreadPoolExecutor(1) as pool:
        try:
            assert pool.submit(study_of, url, "silent", ["minimize"]).exception(30.0) is not None
        finally:
            between.flows.set()
    monkeypatch.setattr(RDBStorage, "get_study_id_from_name", original)
    assert study_of(url, "silent", ["minimize"]) == study
