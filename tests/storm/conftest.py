"""Databases for storms, and one program for all of them."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.servers import VARIABLES, Server, fresh_database, new_server


@pytest.fixture(scope="session", autouse=True)
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the tests share their one program; `AUTOML_STORM_CACHE` keeps it from run to run."""
    with pytest.MonkeyPatch.context() as patched:
        if "AUTOML_STORM_CACHE" not in os.environ:
            patched.setenv("AUTOML_STORM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Servers of the test's own, by their kind."""
    with ExitStack() as stack:

        def started(kind: str) -> Server:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix=f"automl-{kind.lower()}-")))
            folder.chmod(0o755)  # its user is another one where the tests run as root
            server = new_server(kind, folder / "server")
            stack.callback(server.stop, "immediate")
            return server

        yield started


@pytest.fixture
def storm_url(tmp_path: Path, new: Callable[[str], Server]) -> Iterator[Callable[[str], str]]:
    """Where to find a database of a kind that nothing else uses."""
    with ExitStack() as stack:

        def url(kind: str) -> str:
            if kind == "SQLite":
                return f"sqlite:///{tmp_path / 'automl.db'}"
            if VARIABLES[kind] in os.environ:
                return stack.enter_context(fresh_database(kind, tmp_path))
            return new(kind).url

        yield url
