import re
import tomllib
from pathlib import Path

import pytest
import typer

from automl.cli import app
from automl.metrics import METRICS
from automl.planning import space_of
from automl.tasks.document import document_from_mapping
from search_spaces.presets import PRESETS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_readme_names_every_command() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert [name for name in commands if f"`automl {name}" not in README] == []


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^make (\w+)", README, flags=re.MULTILINE))
    assert targets == {"search", "test"}
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_the_task_document_of_the_readme_is_valid() -> None:
    document = document_from_mapping(tomllib.loads(blocks("toml")[0]), ROOT)
    assert space_of(document).default().dropout == pytest.approx(0.3)


def test_the_readme_names_every_metric_and_preset() -> None:
    assert [name for name in (*METRICS, *PRESETS) if name not in README] == []


def test_the_python_of_the_readme_compiles() -> None:
    for block in blocks("python"):
        compile(block, "README.md", "exec")


def test_the_tree_of_the_readme_names_files_that_exist() -> None:
    tree = README.split("## What lies where")[1].split("```")[1]
    names = re.findall(r"^(?:  )?([\w/]+(?:\.py|/))", tree, flags=re.MULTILINE)
    folders = [ROOT / folder for folder in ("", "automl", "search_spaces", "storage")]
    assert [name for name in names if not any((folder / name).exists() for folder in folders)] == []


def test_nothing_names_a_registry_host() -> None:
    hosts = "|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "index" + "-url", "find" + "-links"))
    text = [ROOT / name for name in ("pyproject.toml", "Makefile", "requirements.lock", ".ci/run", "README.md")]
    assert [path.name for path in text if re.search(hosts, path.read_text(encoding="utf-8"))] == []
