from collections.abc import Iterator

import pytest

from automl.decoding import steps
from tests.automl.compiled import compiled_once

__all__ = ["compiled_once"]


@pytest.fixture(scope="package", autouse=True)
def small_rooms() -> Iterator[None]:
    """Let caches begin with room for two tokens, so that they grow within the few tokens of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "LEAST_ROOM", 2)
        yield
