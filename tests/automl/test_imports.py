import json
import subprocess
import sys

import pytest

READING = ["automl.data.table", "automl.tasks.document", "automl.metrics", "automl.budget"]
COMPUTING_NOTHING = [
    "automl",
    "automl.cli",
    "automl.searches",
    "automl.control.controller",
    "automl.executors",
    "automl.doctor",
    "automl.client",
    "automl.commands.serve",
    "automl.server.app",
    "storage.studies",
    "storage.study",
]
CODE = """
import importlib, json, sys
added, known = {}, set()
for module in sys.argv[1:]:
    importlib.import_module(module)
    added[module] = sorted(sys.modules.keys() - known)
    known.update(sys.modules)
print(json.dumps(added))
"""


@pytest.fixture(scope="module")
def added() -> dict[str, set[str]]:
    """What each module imports beside what those before it do, in one process: where none adds JAX, none needs it."""
    command = [sys.executable, "-c", CODE, *READING, *COMPUTING_NOTHING]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return {module: set(names) for module, names in json.loads(finished.stdout).items()}


@pytest.mark.parametrize("module", READING)
def test_reading_data_needs_no_jax(added: dict[str, set[str]], module: str) -> None:
    assert added[module] & {"jax", "flax", "optax", "sqlalchemy", "polars"} == set()


@pytest.mark.parametrize("module", COMPUTING_NOTHING)
def test_what_does_not_compute_needs_no_jax(added: dict[str, set[str]], module: str) -> None:
    assert added[module] & {"jax", "flax", "optax"} == set()
