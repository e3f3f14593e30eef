"""What benchmarks import of the product, which they do late and so without notice when it has moved."""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PRODUCT = ("automl", "search_spaces", "storage")


def _imports(file: Path) -> list[tuple[str, str]]:
    """Return (module, name) of all that a file takes from the product, wherever in it."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    taken = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module and node.level == 0]
    return [(node.module or "", name.name) for node in taken for name in node.names]


@pytest.mark.parametrize("file", sorted(BENCHMARKS.rglob("*.py")), ids=lambda file: str(file.relative_to(BENCHMARKS)))
def test_all_that_a_benchmark_imports_of_the_product_exists(file: Path) -> None:
    taken = [(module, name) for module, name in _imports(file) if module.partition(".")[0] in PRODUCT]
    absent = [
        f"{module}.{name}"
        for module, name in taken
        if not hasattr(import_module(module), name) and find_spec(f"{module}.{name}") is None
    ]
    assert not absent
