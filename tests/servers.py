"""Servers of databases: those that the environment names or that answer here, and some of the test's own."""

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

VARIABLES = {"PostgreSQL": "AUTOML_TEST_POSTGRES", "MariaDB": "AUTOML_TEST_MYSQL"}
STANDARD = {
    "PostgreSQL": "postgresql://postgres@127.0.0.1:5432/postgres?connect_timeout=2",
    "MariaDB": "mysql://root@127.0.0.1:3306/?connect_timeout=2",
}
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[4]))
SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def unprivileged(user: str) -> list[str]:
    """What runs a command as that user: servers refuse to run as root."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.geteuid() == 0 else []


@dataclass(frozen=True)
class PostgreSQL:
    """A server from Debian's binaries, which may be restarted at will."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "start", "-w", "-D", self.folder / "data", "-l", self.folder / "log", "-o", options)

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "stop", "-w", "-m", mode, "-D", self.folder / "data")

    def create(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "--no-sync")

    def _run(self, name: str, *arguments: object) -> None:
        command = [*unprivileged("postgres"), str(BINARIES[-1].with_name(name)), *map(str, arguments)]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, timeout=2 * SECONDS)


@dataclass(frozen=True)
class MariaDB:
    """The same of MariaDB."""

    folder: Path
    port: int
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/automl"

    def start(self) -> None:
        place = ["--no-defaults", f"--datadir={self.folder / 'data'}", f"--pid-file={self.folder / 'pid'}"]
        network = [f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self.folder / 'socket'}"]
        command = [*unprivileged("mysql"), "mariadbd", *place, *network, "--skip-grant-tables", "--skip-networking=0"]
        with (self.folder / "log").open("ab") as log:
            server = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        self.running.append(server)
        until = time.monotonic() + SECONDS
        while not answers(make_url(self.url).set(database="", drivername=DRIVERS["mysql"])):
            assert time.monotonic() < until, (self.folder / "log").read_text()[-500:]
            time.sleep(0.1)

    def stop(self, mode: str = "fast") -> None:
        """End it; `immediate` kills it, so that it has to recover."""
        server = self.running.pop()
        server.send_signal(9 if mode == "immediate" else 15)
        server.wait(SECONDS)

    def create(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "mysql", "mysql")
        install = ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
        command = [*unprivileged("mysql"), *install, f"--datadir={self.folder / 'data'}"]
        subprocess.run(command, check=True, cwd=self.folder, capture_output=True, timeout=2 * SECONDS)
        (self.folder / "data" / "automl").mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.folder / "data" / "automl", "mysql", "mysql")


Server = PostgreSQL | MariaDB


def new_server(kind: str, folder: Path) -> Server:
    """Make and start a server; skip the test where it is not installed."""
    if not (BINARIES if kind == "PostgreSQL" else shutil.which("mariadbd")):
        pytest.skip(f"{kind}'s server is not installed on this machine")
    folder.mkdir(parents=True)
    server: Server = (PostgreSQL if kind == "PostgreSQL" else MariaDB)(folder, free_port())
    server.create()
    server.start()
    return server


@contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[str]:
    """URL of an empty database: on the server that the environment names, on that of the standard port, or on an own one.

    A server that is named has to answer; where it lets no database be made, the one that the URL names is used.
    """
    named = os.environ.get(VARIABLES[kind])
    found = with_driver(named or STANDARD[kind])
    if not named and not answers(found):
        server = new_server(kind, folder / "server")
        try:
            yield server.url
        finally:
            server.stop("immediate")
        return
    name = f"automl_test_{uuid.uuid4().hex[:12]}"
    try:
        administer(found, f"CREATE DATABASE {name}")
    except DBAPIError:
        if not found.database:
            raise
        yield found.render_as_string(hide_password=False)
        return
    yield found.set(database=name, query={}).render_as_string(hide_password=False)
    administer(found, f"DROP DATABASE {name}")


def with_driver(url: str) -> URL:
    found = make_url(url)
    return found.set(drivername=DRIVERS.get(found.drivername, found.drivername))


def administer(url: URL, statement: str) -> None:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


def answers(url: URL) -> bool:
    try:
        administer(url, "SELECT 1")
    except OperationalError:
        return False
    return True
