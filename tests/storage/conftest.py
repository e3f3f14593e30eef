"""A database of each kind; where a server is neither there nor can be started, its tests are skipped by name."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from storage.accounts import list_accounts
from storage.checkpoints import forget_unreferenced
from storage.database import Database, open_database
from storage.leases import Lease
from storage.searches import claim, create_search, list_searches
from storage.spending import delete_search
from storage.uploads import delete_upload, list_uploads
from tests.servers import fresh_database

KINDS = ("SQLite", "PostgreSQL", "MariaDB")


@pytest.fixture(scope="session")
def server_urls() -> Iterator[Callable[[str], str]]:
    """URL of an empty database of this run, by the kind of its server."""
    urls: dict[str, str] = {}
    with ExitStack() as stack:

        def url(kind: str) -> str:
            if kind not in urls:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix=f"automl-{kind.lower()}-")))
                folder.chmod(0o755)  # the server's user is another one where the tests run as root
                urls[kind] = stack.enter_context(fresh_database(kind, folder))
            return urls[kind]

        yield url


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path, server_urls: Callable[[str], str]) -> str:
    if request.param == "SQLite":
        return f"sqlite:///{tmp_path / 'automl.db'}"
    return server_urls(request.param)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    yield database
    for search in list_searches(database):
        delete_search(database, search.name, search.owner)
    for account in list_accounts(database):
        for upload in list_uploads(database, account.id):
            delete_upload(database, upload.id)
    forget_unreferenced(database)
    database.close()


@pytest.fixture
def lease(database: Database) -> Lease:
    create_search(database, "dates", {"name": "dates"}, "d" * 64)
    return claim(database, "dates", "first", 60)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'automl.db'}")
    yield database
    database.close()
