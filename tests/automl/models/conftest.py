"""Models hold without implicit promotion of types; their cases are every encoder with every decoder and attention."""

import pytest

from tests.automl.compiled import compiled_once
from tests.automl.models.cases import CASES, Case

__all__ = ["compiled_once"]


@pytest.fixture(autouse=True)
def no_promotion(strict_types: None) -> None:
    """Every test of models runs so."""


@pytest.fixture(params=CASES, scope="session")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]
