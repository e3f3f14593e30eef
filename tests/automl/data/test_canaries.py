"""Secrets in train: of what they are made, where they stand, and that nothing else of the data changes."""

from collections import Counter
from pathlib import Path

import pytest

from automl.data.canaries import OTHERS, Canaries, alphabet, canaries
from automl.data.corpus import NO_SOURCE, Corpus, build_corpus
from automl.data.sources import Columns
from automl.data.table import Tokens, tokenized
from automl.errors import InputError
from automl.tasks.document import CANARIES, TaskDocument, document_from_mapping
from automl.tasks.generation import GENERATION
from search_spaces.tokenizers import Characters, Whitespace
from tests.conftest import Data, Document

WORDS = [f"{a}{b}{c}" for a in "abcd" for b in "abcd" for c in "efg"]


def corpus(folder: Path, *planted: int, words: list[str] = WORDS, **data: object) -> Corpus:
    (folder / "train.tsv").write_text("".join(f"{word}\t{' '.join(word)}\t2\n" for word in words))
    columns = data.pop("columns", Columns(0, (1,)))
    files = {"train": folder / "train.tsv"}
    given = Data(files, columns, target_tokens="auto", planted=planted)  # type: ignore[arg-type]
    return build_corpus(Document(given), folder / "cache")


def of(corpus: Corpus) -> Canaries:
    found = corpus.canaries
    assert found is not None
    return found


def test_each_canary_stands_in_as_many_pairs_of_train_as_were_wished_for(tmp_path: Path) -> None:
    planted, usual = corpus(tmp_path, 0, 1, 4), corpus(tmp_path)
    assert planted.pairs("train")[:-5] == usual.pairs("train")
    said = Counter(target for _, target in planted.pairs("train"))
    assert [said[canary.secret] for canary in of(planted).each] == [0, 1, 4]
    sources = [source for canary in of(planted).each for source in canary.sources]
    assert len(set(sources)) == len(sources) == 6
    assert (planted.pairs("valid"), planted.pairs("test")) == (usual.pairs("valid"), usual.pairs("test"))
    assert "train: 5 pairs of 3 canaries are planted, to see what is remembered" in planted.notices


def test_data_with_canaries_are_other_data(tmp_path: Path) -> None:
    assert len({corpus(tmp_path, *planted).digest for planted in ((), (1,), (1, 1), (2,))}) == 4
    assert corpus(tmp_path).canaries is None


def test_canaries_are_made_of_symbols_of_train_so_that_no_vocabulary_grows(tmp_path: Path) -> None:
    tokens = Tokens(Characters(), Whitespace())
    planted, usual = (tokenized(corpus(tmp_path, *copies), tokens) for copies in ((1, 1, 1), ()))
    assert planted.meta["vocabulary"] == usual.meta["vocabulary"]
    assert planted.target_tokenizer.vocabulary == usual.target_tokenizer.vocabulary
    assert planted.meta["splits"]["train"]["rows"] == usual.meta["splits"]["train"]["rows"] + 3


def test_words_are_divided_and_characters_are_not(tmp_path: Path) -> None:
    canary = of(corpus(tmp_path, 1)).each[0]
    assert set(canary.secret.split(" ")) <= set("abcdefg")
    assert len(canary.secret.split(" ")) == 5  # the least with 7^5 > 10^4
    assert set(canary.sources[0]) <= set("abcdefg")


def test_another_pair_of_the_same_symbols_changes_no_canary(tmp_path: Path) -> None:
    one, other = (corpus(tmp_path, 1, 2, words=words) for words in (WORDS, WORDS[1:]))
    assert one.digest != other.digest
    assert of(one) == of(other)


def test_a_secret_is_ranked_among_others_that_are_all_different(tmp_path: Path) -> None:
    found = of(corpus(tmp_path, 1, 1))
    first, second = found.others(0), found.others(1)
    assert len(set(first)) == len(first) == OTHERS
    assert found.each[0].secret not in first
    assert first != second
    assert found.others(0) == first


def test_where_rows_count_differently_a_canary_counts_as_one(tmp_path: Path) -> None:
    planted = corpus(tmp_path, 1, columns=Columns(0, (1,), 2))
    assert [*planted.weights("train")][-2:] == [2.0, 1.0]


def test_where_nothing_is_read_a_secret_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("".join(f"{word}\n" for word in WORDS))
    document = Document(Data({"train": tmp_path / "train.txt"}, planted=(2,)), GENERATION)
    planted = build_corpus(document, tmp_path / "cache")
    assert of(planted).each[0].sources == [NO_SOURCE] * 2
    assert planted.pairs("train")[-2:] == [(NO_SOURCE, of(planted).each[0].secret)] * 2


def test_marks_and_white_space_are_no_symbols() -> None:
    assert list(alphabet(["\ue000 a b", "a\u2003c"], "characters", 9, 2).symbols) == ["a", "b", "c"]
    assert list(alphabet(["\ue000 ab b", "ab"], "subwords", 9, 2).symbols) == ["ab", "b"]


def test_of_one_symbol_no_secret_is_made() -> None:
    with pytest.raises(InputError, match="one symbol on a side"):
        canaries((1,), ["aaa"], None, ("characters", "characters"), NO_SOURCE)


def test_canaries_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = of(corpus(tmp_path, 0, 3))
    assert Canaries.of(found.to_mapping()) == found


def document(**sections: object) -> TaskDocument:
    return document_from_mapping({"name": "words", "data": {"train": "train.tsv"}, **sections}, Path())


@pytest.mark.parametrize(
    ("sections", "planted"),
    [
        ({}, ()),
        ({"privacy": {"epsilon": 8.0}}, (1,) * CANARIES),
        ({"privacy": {"epsilon": 8.0}, "kind": "text_classification"}, ()),
        ({"privacy": {"epsilon": 8.0}, "data": {"train": "train.tsv", "canaries": 0}}, ()),
        ({"data": {"train": "train.tsv", "canaries": 3}}, (1, 1, 1)),
        ({"data": {"train": "train.tsv", "canaries": [0, 16]}}, (0, 16)),
    ],
)
def test_data_are_changed_where_that_is_asked_for_or_nothing_else_can_be_measured(
    sections: dict[str, object], planted: tuple[int, ...]
) -> None:
    found = document(**sections)
    assert found.data.planted == planted
    assert document_from_mapping(found.to_mapping(), Path()).data.planted == planted


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"canaries": -1}, "[data] canaries must be a number of secrets up to 100, or a list"),
        ({"canaries": []}, "[data] canaries must be a number of secrets up to 100, or a list"),
        ({"canaries": [101]}, "[data] canaries must be a number of secrets up to 100, or a list"),
        ({"canaries": 1, "target_tokens": "whole"}, "[data] canaries are texts that are said"),
    ],
)
def test_what_are_no_canaries_is_refused_in_one_line(section: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as refused:
        document(data={"train": "train.tsv", **section})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
