"""What the data say about copying: without shared tokens there is nothing for a pointer-generator to do."""

import itertools
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.data.corpus import build_corpus
from automl.data.table import tokenized, tokens_of
from automl.planning import space_of
from automl.refusals import without_idle_copying
from automl.tasks.document import TaskDocument, document_from_mapping
from search_spaces.spaces import Space


def task(folder: Path, target: str, tokens: str, **space: Any) -> TaskDocument:
    sources = ["".join(letters) for letters in itertools.product("abc", repeat=4)]
    (folder / "train.tsv").write_text("".join(f"{source}\t{target * len(set(source))}\n" for source in sources))
    data = {"train": "train.tsv", "source_tokens": tokens, "target_tokens": tokens}
    return document_from_mapping({"name": "copying", "data": data, "space": space}, folder)


def space_left(folder: Path, document: TaskDocument) -> Space:
    corpus = build_corpus(document, folder / "cache")
    space = space_of(document, corpus)
    return without_idle_copying(document, space, tokenized(corpus, tokens_of(space.default())))


@pytest.mark.parametrize(
    ("target", "tokens", "kinds"),
    [
        ("xy", "characters", ("Softmax",)),
        ("xa", "characters", ("Softmax", "PointerGenerator")),
        ("xy", "subwords", ("Softmax", "PointerGenerator")),
    ],
)
def test_outputs_that_could_copy_nothing_are_left_out(
    tmp_path: Path, target: str, tokens: str, kinds: tuple[str, ...]
) -> None:
    left = space_left(tmp_path, task(tmp_path, target, tokens))
    assert left.kinds("output") == kinds
    assert type(left.default().output).__name__ == "Softmax"


@pytest.mark.parametrize("output", ["PointerGenerator", ["Softmax", "PointerGenerator"]])
def test_asking_for_them_by_name_is_refused_in_one_line(tmp_path: Path, output: Any) -> None:
    document = task(tmp_path, "xy", "characters", output=output)
    with pytest.raises(automl.InputError, match=r"^\[space\] output: no source token is also a target token") as caught:
        space_left(tmp_path, document)
    assert "\n" not in str(caught.value)
    left = space_left(tmp_path, task(tmp_path, "xa", "characters", output=output))
    assert "PointerGenerator" in left.kinds("output")
