"""Keeps what tests of models compile from one run of the tests to the next."""

from collections.abc import Iterator

import jax
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from tests.automl.command_line import CACHE

KEPT = {"jax_compilation_cache_dir": str(CACHE / "jax"), "jax_persistent_cache_min_compile_time_secs": 0.0}
"""A program is found by all that it is compiled from; one that cannot be read is compiled anew, as JAX does by itself."""


@pytest.fixture(scope="module", autouse=True)
def compiled_once() -> Iterator[None]:
    """Let JAX keep programs, in a folder of the owner's alone. Tests of what the product keeps itself do without."""
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = {name: getattr(jax.config, name) for name in KEPT}
    try:
        configure(KEPT)
        yield
    finally:
        configure(before)


def configure(values: dict[str, str | float | None]) -> None:
    for name, value in values.items():
        jax.config.update(name, value)
    reset_cache()
