"""What `storage` must not drag in."""

import subprocess
import sys

import pytest

MODULES = [
    *("attempts", "checkpoints", "database", "events", "leases", "migrations"),
    *("objects", "schema", "searches", "segments", "study", "trials"),
]


@pytest.mark.parametrize(
    ("imports", "absent"),
    [
        ("storage.objects", "sqlalchemy alembic optuna jax numpy"),
        (", ".join(f"storage.{module}" for module in MODULES), "jax flax optuna alembic automl search_spaces"),
    ],
)
def test_importing_does_not_import(imports: str, absent: str) -> None:
    script = f"import sys, {imports}; sys.exit(' '.join(m for m in {absent.split()!r} if m in sys.modules) or 0)"
    child = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (child.returncode, child.stderr) == (0, "")
