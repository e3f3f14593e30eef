"""Sources of several columns and weights of rows, from the document to predictions."""

import json
from itertools import product
from pathlib import Path

import pytest

from automl.data.fields import joined
from automl.tasks.draft import draft
from tests.automl.command_line import Finished, here

DOCUMENT = """
[data]
train = "train.tsv"
source = ["verb", "object"]
target = "said"
weight = "weight"
source_tokens = "characters"
target_tokens = "characters"
[space]
preset = "tiny"
encoder = "Recurrent"
decoder = "Recurrent"
num_layers = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("columns")
    rows = [
        f"{a}{b}\t{1 + len(a)}\t{b}\t{a}\n" for a, b in product(("go", "eat", "see"), ("", "it", "us", "tea", "him"))
    ]
    (folder / "train.tsv").write_text("said\tweight\tobject\tverb\n" + "".join([*rows, *rows[:0]]))
    (folder / "task.toml").write_text(DOCUMENT)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Finished:
    return here(folder, "search", "task.toml", "--trials", "1", "--executor", "inline", "--json")


def test_rows_without_a_column_are_said_and_learnt_from(found: Finished) -> None:
    assert found.code == 0, found.err
    assert "train.tsv: 3 rows have no 'object' (the first on line 2); it is read as empty" in found.err


def test_the_winner_predicts_from_lines_of_columns_and_of_json(folder: Path, found: Finished) -> None:
    lines = ["go\ttea", json.dumps({"object": "tea", "verb": "go"}), joined(["go", "tea"])]
    predicted = here(folder, "predict", "models/task", text="\n".join(lines) + "\n")
    assert predicted.code == 0, predicted.err
    outputs = predicted.out.splitlines()
    assert (len(outputs), len(set(outputs))) == (3, 1)
    refused = here(folder, "predict", "models/task", text="go\ttea\tnow\n")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "a source of 3 columns; this model reads 'verb', 'object'" in refused.err


def test_its_score_is_had_again_from_a_file_with_the_columns(folder: Path, found: Finished) -> None:
    evaluated = here(folder, "evaluate", "models/task", "train.tsv", "--json")
    assert (evaluated.code, evaluated.json["rows"]) == (0, 15)
    (folder / "light.tsv").write_text((folder / "train.tsv").read_text().replace("\t3\t", "\t-3\t"))
    refused = here(folder, "evaluate", "models/task", "light.tsv")
    assert (refused.code, "line 2, the weight is '-3'" in refused.err) == (2, True)


def test_a_draft_says_that_columns_could_be_joined_and_rows_weighed(tmp_path: Path) -> None:
    rows = [f"{i}\t{i % 3 + 1}\tabout {i}\twhat is {i}\n" for i in range(12)]
    (tmp_path / "a.tsv").write_text("answer\tweight\tcontext\tquestion\n" + "".join(rows))
    text = draft(tmp_path / "a.tsv").to_toml(tmp_path)
    assert '# source = ["question", "context"]  # would read these columns as one text' in text
    assert '# weight = "weight"' in text
