"""What every kind of task keeps to: its example, its document, its space and its metrics."""

import subprocess
import sys
from pathlib import Path

import pytest

from automl.data.corpus import SPLITS, Corpus, build_corpus
from automl.data.splits import DUPLICATE
from automl.description import KINDS
from automl.metrics import METRICS
from automl.planning import space_of
from automl.refusals import check_objective
from automl.tasks import TASKS
from automl.tasks.document import TaskDocument, read_document
from automl.tasks.draft import draft
from search_spaces.presets import PRESETS
from tests.automl.command_line import automl

ROOT = Path(__file__).parents[3]


def example(kind: str) -> Path:
    """The folder of a kind's example; that of the dates is the one of plain pairs."""
    return ROOT / "examples" / ("dates" if kind == "sequence_to_sequence" else kind)


@pytest.fixture(scope="module", params=TASKS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(kind)
    command = [sys.executable, str(example(kind) / "generate.py"), "--out", str(folder), "--rows", "300"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "task.toml").write_bytes((example(kind) / "task.toml").read_bytes())
    return folder


@pytest.fixture(scope="module")
def document(folder: Path) -> TaskDocument:
    return read_document(folder / "task.toml")


@pytest.fixture(scope="module")
def corpus(document: TaskDocument, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return build_corpus(document, tmp_path_factory.mktemp("cache"))


def test_its_example_is_of_its_kind_and_says_data_metric_and_budget_only(kind: str, document: TaskDocument) -> None:
    assert document.kind == kind
    assert document.model_fields_set <= {"name", "kind", "data", "metric", "budget"}
    assert document.limits.time in (120, 180)


def test_the_data_of_its_example_are_read_whole(corpus: Corpus) -> None:
    rows, dropped = corpus.meta["rows_of_file"], corpus.meta["dropped"]
    assert rows["train"] + sum(dropped["train"].values()) >= 300
    assert all(rows[name] > 0 for name in SPLITS)
    assert {reason for reasons in dropped.values() for reason in reasons} <= {DUPLICATE}


def test_its_kind_is_proposed_for_the_data_of_its_example(kind: str, folder: Path) -> None:
    assert draft(folder).kind == kind


def test_its_space_and_metrics_are_there(kind: str, document: TaskDocument, corpus: Corpus) -> None:
    space = space_of(document, corpus)
    check_objective(document, space)
    assert space.default() in space.defaults()
    assert all(name in METRICS for name in TASKS[kind].metrics)


def test_the_defaults_that_its_kind_prefers_are_those_of_its_space(
    kind: str, document: TaskDocument, corpus: Corpus
) -> None:
    free = space_of(document.model_copy(update={"space": {}}), corpus).preferred
    assert {path: free[path] for path in TASKS[kind].preferred} == TASKS[kind].preferred


@pytest.mark.parametrize("preset", PRESETS)
def test_what_its_kind_pins_goes_with_every_preset(preset: str, document: TaskDocument, corpus: Corpus) -> None:
    chosen = document.model_copy(update={"space": {"preset": preset, "dropout": 0.1}})
    assert space_of(chosen, corpus).default().dropout == 0.1


def test_the_readme_tells_of_it(kind: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"| `{kind}` |" in readme
    assert f"examples/{example(kind).name}" in readme


@pytest.mark.slow
def test_its_example_is_searched_and_its_winner_scores_as_reported(folder: Path) -> None:
    found = automl(folder, "search", "task.toml", "--trials", "2", "--json")
    assert found.code == 0, found.err
    evaluated = automl(folder, "evaluate", "models/task", str(next(folder.glob("test.*"))), "--json")
    assert evaluated.json["metrics"] == pytest.approx(found.json["best"]["test_scores"])


def test_a_bundle_may_be_of_every_kind_and_of_no_other() -> None:
    assert set(KINDS) == set(TASKS)
