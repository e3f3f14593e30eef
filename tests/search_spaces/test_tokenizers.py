import pytest

from search_spaces.dials import from_dict, to_dict
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space, space
from search_spaces.tokenizers import KINDS, BytePairs, LikeSource, Unigram, default, name, narrowing
from tests.search_spaces.sampling import sampled

WORDS = [(source, target) for source in KINDS for target in KINDS if source != "boxes" and target != "pixels"]
"""Boxes are only said, and pixels only read."""


def of(source: str, target: str) -> Space:
    return space(narrowing(source, target))


@pytest.mark.parametrize(("source", "target"), WORDS)
def test_only_what_the_document_leaves_open_is_searched(source: str, target: str) -> None:
    for configuration in sampled(of(source, target), 20):
        assert isinstance(configuration.source_tokens, KINDS[source])
        assert isinstance(configuration.target_tokens, (*KINDS[target], LikeSource))
    free = [path for side in ("source_tokens", "target_tokens") for path in of(source, target).free(side)]
    assert (free != []) == ("subwords" in (source, target) or target == "boxes")


@pytest.mark.parametrize(("source", "target"), WORDS)
def test_the_default_of_the_space_is_that_of_the_document(source: str, target: str) -> None:
    first = of(source, target).default()
    assert (first.source_tokens, first.target_tokens) == default(source, target)


def test_two_sides_of_subwords_are_alike_so_that_the_dials_are_few() -> None:
    both = of("subwords", "subwords")
    assert list(both.free("target_tokens")) == ["target_tokens.LikeSource.shared"]
    assert "source_tokens.BytePairs.vocabulary_size" in both.parameters(both.default())
    drawn = sampled(both, 200)
    assert {configuration.target_tokens for configuration in drawn} == {LikeSource(True), LikeSource(False)}
    assert {type(configuration.source_tokens) for configuration in drawn} == {BytePairs, Unigram}


def test_tokenizers_are_json_and_back() -> None:
    configuration = Seq2Seq(source_tokens=Unigram(8000), target_tokens=LikeSource(shared=False))
    assert from_dict(Seq2Seq, to_dict(configuration)) == configuration


def test_a_size_outside_the_range_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"source_tokens.BytePairs.vocabulary_size: 500 is outside its range 1000,"):
        space({"source_tokens.BytePairs.vocabulary_size": 500})


def test_kinds_have_names_for_sentences() -> None:
    assert [name(kind) for kind in (BytePairs, Unigram)] == ["byte pairs", "unigram"]
