from pathlib import Path

import pytest

from automl.data.corpus import NO_SOURCE, build_corpus
from automl.data.sources import Columns
from automl.errors import InputError
from automl.planning import space_of
from automl.tasks.document import TaskDocument, document_from_mapping
from automl.tasks.generation import read_texts
from search_spaces.encoders import Identity


def document(folder: Path, text: str) -> TaskDocument:
    (folder / "train.txt").write_text(text, encoding="utf-8")
    return document_from_mapping({"name": "x", "kind": "generation", "data": {"train": "train.txt"}}, folder)


def test_every_line_is_a_text_and_empty_ones_are_counted(tmp_path: Path) -> None:
    document(tmp_path, "one\n\ntwo\n  \n")
    pairs = read_texts(tmp_path / "train.txt", Columns())
    assert pairs.targets == [["one"], ["two"]]
    assert (pairs.rows_in, pairs.dropped, pairs.first_dropped) == (4, {"empty": 2}, {"empty": 2})


def test_texts_are_held_out_and_have_one_source_that_says_nothing(tmp_path: Path) -> None:
    corpus = build_corpus(
        document(tmp_path, "".join(f"text {i}\n" for i in range(40)) + "text 1\n"), tmp_path / "cache"
    )
    texts = {name: [said for _, said in corpus.pairs(name)] for name in ("train", "valid", "test")}
    assert [len(each) for each in texts.values()] == [32, 4, 4]
    assert len({text for each in texts.values() for text in each}) == 40
    assert corpus.meta["dropped"]["train"] == {"duplicate": 1}
    assert {source for source, _ in corpus.pairs("train")} == {NO_SOURCE}


def test_nothing_is_read_before_a_text(tmp_path: Path) -> None:
    space = space_of(document(tmp_path, "a\n"))
    assert isinstance(space.default().encoder, Identity)
    assert space.kinds("encoder") == ("Identity",)


def test_a_file_of_pairs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a\tb\n")
    with pytest.raises(InputError, match=r"\.tsv is not known for this kind of task; use \.txt"):
        read_texts(tmp_path / "a.tsv", Columns())
