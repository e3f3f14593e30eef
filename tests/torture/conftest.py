"""The databases of the storage tests."""

from tests.storage.conftest import database, database_url, server_urls, sqlite

__all__ = ["database", "database_url", "server_urls", "sqlite"]
