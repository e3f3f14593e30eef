"""The application as OpenAPI describes it: what the types of its routes alone do not say."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from automl.server.documents import SEARCH, UPLOAD

Schema = dict[str, Any]
NAMED = {
    "DataSection": dict.fromkeys(("train", "valid", "test"), f"^{UPLOAD}$"),
    "PretrainingSection": {"unlabelled": f"^{UPLOAD}$", "from": f"^{SEARCH}$"},
}
"""Patterns of what stands in a task document here where paths would; an id of an upload is formed as a name is."""


class Application(FastAPI):
    """FastAPI, with its OpenAPI document made exact."""

    def openapi(self) -> Schema:
        """Return the document, in which files of task documents are uploads, and an empty file is none."""
        if self.openapi_schema is None:
            document = super().openapi()
            schemas: dict[str, Schema] = document["components"]["schemas"]
            for part in _parts(schemas):
                if "contentMediaType" in part:
                    part["minLength"] = 1
            for section, patterns in NAMED.items():
                for name, pattern in patterns.items():
                    _restrict(schemas[section]["properties"][name], pattern)
        return self.openapi_schema or {}


def _parts(value: Any) -> Iterator[Schema]:
    """Yield all objects in a document."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _parts(inner)


def _restrict(schema: Schema, pattern: str) -> None:
    """Say that a text has a pattern; where nothing is allowed, it stays allowed."""
    for part in _parts(schema):
        if part.get("type") == "string":
            part.pop("format", None)
            part["pattern"] = pattern
