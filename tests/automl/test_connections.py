"""The connections of a search that keeps its database on a server: to that server, and to nobody else.

What Python opens is told by an audit hook. Clients of databases connect by libraries in C, which it does not see: the
sockets of every process of the search are looked at as well, by what Linux says of them, many times a second.
"""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import make_url

from storage.database import open_database
from storage.searches import list_searches
from tests.automl.marked import DOCUMENT, Left, leave
from tests.servers import fresh_database

LISTENING = "0A"
SOCKET = "socket:["
LOOK_SECONDS = 0.05


@dataclass
class Sockets:
    """Looks at the sockets of the processes whose environment has a word in it, until it is left."""

    word: bytes
    found: set[tuple[str, int]] = field(default_factory=set)
    others: set[Path] = field(default_factory=set)
    """Processes that were there before."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look while the context is open."""
        over = threading.Event()
        self.others = processes()

        def look() -> None:
            while not over.wait(LOOK_SECONDS):
                self.look()

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def look(self) -> None:
        """Note whom the processes are connected to."""
        for process in processes() - self.others:
            with suppress(OSError):  # it has ended, or is another user's
                if self.word in (process / "environ").read_bytes():
                    self.found |= _remotes(process)


def processes() -> set[Path]:
    """The folders of all processes."""
    return set(Path("/proc").glob("[0-9]*"))


def _remotes(process: Path) -> set[tuple[str, int]]:
    """Return the other ends of the TCP sockets that a process has open."""
    links = [str(each.readlink()) for each in (process / "fd").iterdir()]
    own = {link.removeprefix(SOCKET).rstrip("]") for link in links if link.startswith(SOCKET)}
    rows = [row.split() for name in ("tcp", "tcp6") for row in (process / "net" / name).read_text().splitlines()[1:]]
    return {_address(row[2]) for row in rows if row[9] in own and row[3] != LISTENING}


def _address(said: str) -> tuple[str, int]:
    """Return an address as the kernel says it: words of four bytes in the order of the machine, and a port."""
    digits, port = said.split(":")
    words = b"".join(bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    return str(ipaddress.ip_address(words)), int(port, 16)


@dataclass(frozen=True)
class Searched:
    """A search on a server, and whom its processes were connected to."""

    url: str
    left: Left
    found: set[tuple[str, int]]

    @property
    def server(self) -> set[tuple[str, int]]:
        """The addresses of the server."""
        named = make_url(self.url)
        known = socket.getaddrinfo(named.host, named.port or 5432, proto=socket.IPPROTO_TCP)
        return {(str(address[0]), int(address[1])) for *_, address in known}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    if not Path("/proc/self/net/tcp").exists():
        pytest.skip("this system does not list the sockets of a process in /proc")
    folder = tmp_path_factory.mktemp("connections")
    sockets = Sockets(str(folder / "connections.txt").encode())
    with TemporaryDirectory(prefix="automl-connections-") as place:
        Path(place).chmod(0o755)  # the server's user is another one where the tests run as root
        with fresh_database("PostgreSQL", Path(place)) as url:
            search = ("search", "secret.toml", "--trials", "2", "--workers", "1", "--storage", url)
            with sockets.watched():
                left = leave(folder, DOCUMENT, {"search": search})
            yield Searched(url, left, sockets.found)


def test_the_search_was_kept_on_the_server(searched: Searched) -> None:
    assert searched.left.said["search"].code == 0, searched.left.said["search"].err
    with closing(open_database(searched.url)) as database:
        assert [(row.name, row.state) for row in list_searches(database)] == [("secret", "finished")]


def test_a_whole_search_is_connected_to_its_database_alone(searched: Searched) -> None:
    assert searched.found
    assert searched.found <= searched.server


def test_nothing_else_is_opened_by_python(searched: Searched) -> None:
    known = [f"{host!r}, {port}" for host, port in searched.server]
    lines = searched.left.connections.splitlines()
    assert [line for line in lines if not any(each in line for each in known)] == []
