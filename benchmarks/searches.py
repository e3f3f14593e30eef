"""Searches as benchmarks run them: by the command line, in a folder of their own."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def automl(folder: Path, *arguments: str) -> Any:
    """Run a command in a folder, and return the JSON document that it prints."""
    code = "import sys; from automl.cli import run; sys.exit(run(sys.argv[1:]))"
    finished = subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, stdout=subprocess.PIPE, check=True)
    return json.loads(finished.stdout)


def read_lines(results: Path) -> list[dict[str, Any]]:
    """Return the results so far."""
    return [json.loads(line) for line in results.read_text("utf-8").splitlines()] if results.exists() else []


def keep(line: Mapping[str, Any], results: Path) -> None:
    """Add a line to the results, in one write."""
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def commit() -> str:
    """Return the commit of the code, and whether anything but the lines of results was changed since."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    name = _said(*git, "rev-parse", "--short", "HEAD")
    changed = _said(*git, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    return f"{name}-dirty" if changed else name


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def toml(document: Mapping[str, Any]) -> str:
    """Return a task document as its file would say it."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in document.items() if not isinstance(value, dict)]
    tables = [
        "\n".join([f"[{key}]", *(f"{name} = {json.dumps(each)}" for name, each in value.items())])
        for key, value in document.items()
        if isinstance(value, dict)
    ]
    return "\n".join([*plain, *tables]) + "\n"
