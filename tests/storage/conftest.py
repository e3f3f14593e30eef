"""A database of each kind; a server that does not answer is skipped by name."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from storage.checkpoints import forget_unreferenced
from storage.database import Database, open_database
from storage.leases import Lease
from storage.searches import claim, create_search, delete_search, list_searches

SERVERS = {
    "PostgreSQL": "postgresql+psycopg://postgres@127.0.0.1:5432/postgres?connect_timeout=2",
    "MariaDB": "mysql+pymysql://root@127.0.0.1:3306/?connect_timeout=2",
}
KINDS = ("SQLite", *SERVERS)


@pytest.fixture(scope="session")
def server_urls() -> Iterator[dict[str, str]]:
    """URL of an empty database of this run, by server, filled when first asked for."""
    urls: dict[str, str] = {}
    yield urls
    for kind, url in urls.items():
        _administer(kind, f"DROP DATABASE {sqlalchemy.make_url(url).database}")


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path, server_urls: dict[str, str]) -> str:
    kind = request.param
    if kind == "SQLite":
        return f"sqlite:///{tmp_path / 'automl.db'}"
    if kind not in server_urls:
        name = f"automl_test_{uuid.uuid4().hex[:12]}"
        try:
            _administer(kind, f"CREATE DATABASE {name}")
        except sqlalchemy.exc.OperationalError:
            pytest.skip(f"{kind} does not answer on this machine")
        url = sqlalchemy.make_url(SERVERS[kind]).set(database=name, query={})
        server_urls[kind] = url.render_as_string(hide_password=False)
    return server_urls[kind]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    yield database
    for search in list_searches(database):
        delete_search(database, search.name, search.owner)
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


def _administer(kind: str, statement: str) -> None:
    engine = sqlalchemy.create_engine(SERVERS[kind], isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
    finally:
        engine.dispose()
