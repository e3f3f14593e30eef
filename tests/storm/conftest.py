"""Databases for storms, and one program for all of them."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.storm.postgres import Server, new_server


@pytest.fixture(scope="session", autouse=True)
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the tests share their one program; `AUTOML_STORM_CACHE` keeps it from run to run."""
    with pytest.MonkeyPatch.context() as patched:
        if "AUTOML_STORM_CACHE" not in os.environ:
            patched.setenv("AUTOML_STORM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="automl-postgres-") as folder:
        Path(folder).chmod(0o755)  # its user is another one where the tests run as root
        server = new_server(Path(folder) / "server")
        yield server
        server.stop("immediate")


@pytest.fixture
def storm_url(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Where to find a database of a kind that nothing else uses."""

    def url(kind: str) -> str:
        if kind == "SQLite":
            return f"sqlite:///{tmp_path / 'automl.db'}"
        found = os.environ.get("AUTOML_STORM_POSTGRES")
        return found or str(request.getfixturevalue("server").url)

    return url
