"""Models hold without implicit promotion of types; their cases are every encoder with every decoder and attention."""

from collections.abc import Iterator

import jax
import pytest

from tests.automl.models.cases import CASES, Case


@pytest.fixture(autouse=True)
def strict_types() -> Iterator[None]:
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture(params=CASES, scope="session")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]
