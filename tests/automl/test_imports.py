import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["automl.data.table", "automl.tasks.document", "automl.metrics", "automl.budget"],
)
def test_reading_data_needs_no_jax(module: str) -> None:
    code = f"import sys, {module}; print(*{{'jax', 'flax', 'optax', 'sqlalchemy', 'polars'}} & sys.modules.keys())"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == ""


@pytest.mark.parametrize(
    "module",
    [
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
    ],
)
def test_what_does_not_compute_needs_no_jax(module: str) -> None:
    code = f"import sys, {module}; print(*{{'jax', 'flax', 'optax'}} & sys.modules.keys())"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == ""
