import subprocess
import sys
from pathlib import Path

import pytest

from automl.data.table import TokenTable, build_table
from automl.tasks.document import read_document

EXAMPLE = Path(__file__).parents[2] / "examples" / "dates"


def generate(folder: Path, *arguments: str) -> None:
    command = [sys.executable, str(EXAMPLE / "generate.py"), "--out", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dates")
    generate(folder)
    (folder / "task.toml").write_bytes((EXAMPLE / "task.toml").read_bytes())
    return folder


@pytest.fixture(scope="module")
def table(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenTable:
    return build_table(read_document(folder / "task.toml"), tmp_path_factory.mktemp("cache"))


def columns(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_table_drops_nothing(table: TokenTable) -> None:
    assert [table.split(name).rows for name in ("train", "valid", "test")] == [10_000, 1_000, 2_000]
    assert table.notices == []


def test_no_date_is_in_two_files(folder: Path) -> None:
    dates = [date for name in ("train", "valid", "test") for _, date in columns(folder / f"{name}.tsv")]
    assert len(set(dates)) == len(dates) == 13_000


def test_no_text_means_two_dates(folder: Path) -> None:
    texts = [text for name in ("train", "valid", "test") for text, _ in columns(folder / f"{name}.tsv")]
    assert len(set(texts)) == len(texts)


def test_unseen_dates_are_five_texts_of_no_file(folder: Path) -> None:
    unseen = [fields[0] for fields in columns(folder / "unseen.txt")]
    seen = {text for name in ("train", "valid", "test") for text, _ in columns(folder / f"{name}.tsv")}
    assert len(unseen) == 5
    assert not seen & set(unseen)


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        generate(tmp_path / name, "--rows", "20", "--seed", seed)
    a, b, c = (columns(tmp_path / name / "train.tsv") for name in "abc")
    assert a == b != c
    assert len(a) == 20


def test_the_document_says_data_metric_and_budget_only() -> None:
    document = read_document(EXAMPLE / "task.toml")
    assert document.model_fields_set == {"name", "data", "metric", "budget"}
    assert document.limits.time == 180
