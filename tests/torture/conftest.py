"""The databases of the storage tests; and processes that can be forked."""

import sys

import pytest

from tests.storage.conftest import database, database_url, server_urls, sqlite

__all__ = ["database", "database_url", "server_urls", "sqlite"]


@pytest.fixture(autouse=True)
def forkable() -> None:
    """A process that has loaded JAX has threads, and may not fork."""
    if "jax" in sys.modules:
        pytest.skip("forks, and other tests have loaded JAX here: run `pytest tests/torture` by itself")
