import json
from pathlib import Path

import pytest

from automl.data.corpus import Corpus, build_corpus, open_corpus
from automl.data.forms import Form
from automl.errors import InputError
from tests.conftest import Data, Document


@pytest.fixture
def data(tmp_path: Path) -> Data:
    words = [f"{a}{b}" for a in "abcd" for b in "abcd"]
    lines = {
        "train": [f"{word}\t{' '.join(word)}\t{' '.join(word)} a" for word in words],
        "valid": ["aaa\ta a a\tb b b", "axb\ta x b"],
        "test": ["bbb\tb b b"],
    }
    for name, rows in lines.items():
        (tmp_path / f"{name}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return Data({name: tmp_path / f"{name}.tsv" for name in lines}, target_tokens="auto")


@pytest.fixture
def corpus(data: Data, tmp_path: Path) -> Corpus:
    return build_corpus(Document(data), tmp_path / "cache")


def test_train_has_every_acceptable_target_and_the_others_their_first(corpus: Corpus) -> None:
    assert len(corpus.pairs("train")) == 32
    assert corpus.pairs("train")[:2] == [("aa", "a a"), ("aa", "a a a")]
    assert corpus.pairs("valid") == [("aaa", "a a a"), ("axb", "a x b")]
    assert corpus.references("valid") == [["a a a", "b b b"], ["a x b"]]
    assert corpus.sources("test") == ["bbb"]


def test_tokens_are_as_the_document_says_or_as_train_looks(corpus: Corpus) -> None:
    assert corpus.tokens == ("characters", "whitespace")
    assert corpus.notices == []


def test_running_text_is_said_to_be_searched(tmp_path: Path) -> None:
    rows = [f"{i}\tthe {i} of the word{i} is new\n" for i in range(6_500)]
    (tmp_path / "train.tsv").write_text("".join(rows), encoding="utf-8")
    data = Data({"train": tmp_path / "train.tsv"}, target_tokens="auto")
    corpus = build_corpus(Document(data), tmp_path / "cache")
    assert corpus.tokens == ("characters", "subwords")
    assert "target: running text, so that subwords are searched; [data] target_tokens pins others" in corpus.notices


def test_the_files_are_read_once(data: Data, corpus: Corpus, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("read again")

    assert build_corpus(Document(data, Form(read=fail)), tmp_path / "cache").folder == corpus.folder


@pytest.mark.parametrize("name", ["train.jsonl", "valid.jsonl", "meta.json"])
@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", None])
def test_a_damaged_corpus_is_rebuilt(data: Data, corpus: Corpus, tmp_path: Path, name: str, damage) -> None:
    path = corpus.folder / name
    content = path.read_bytes()
    path.write_bytes(damage(content)) if damage else path.unlink()
    with pytest.raises(InputError, match="not a whole corpus"):
        open_corpus(corpus.folder)
    build_corpus(Document(data), tmp_path / "cache")
    assert path.read_bytes() == content
    assert len(list(corpus.folder.parent.iterdir())) == 1


def test_a_corpus_of_another_format_is_refused(corpus: Corpus) -> None:
    (corpus.folder / "meta.json").write_text(json.dumps(corpus.meta | {"version": 0}), encoding="utf-8")
    with pytest.raises(InputError, match="not a whole corpus"):
        open_corpus(corpus.folder)


def test_only_the_owner_sees_the_folder(corpus: Corpus) -> None:
    assert corpus.folder.stat().st_mode & 0o777 == 0o700
    assert corpus.folder.parent.stat().st_mode & 0o777 == 0o700
