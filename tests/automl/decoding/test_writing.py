import pytest

from automl.data.tokenizers import EOS, Tokenizer
from automl.decoding.generation import Generation
from automl.decoding.writing import Writer
from automl.lengths import constant
from search_spaces import tokenizers as kinds


def writer(kind: kinds.Tokenizer) -> Writer:
    return Writer(Tokenizer.learn(kind, ["the cat . Bob: said", "the cat . Ann: said"] * 5), constant(20))


def test_a_prefix_of_characters_keeps_its_last_space() -> None:
    spelt = writer(kinds.Characters())
    assert (
        spelt.tokenizer.decode_batch([spelt.bounds("the ", None, 20).prefix + spelt.tokens("cat"), [EOS]])[0]
        == "the cat"
    )
    assert len(spelt.tokens(" cat ")) == 5
    assert writer(kinds.Whitespace()).tokens(" cat ") == writer(kinds.Whitespace()).tokens("cat")


@pytest.mark.parametrize(
    ("kind", "stop", "looked_for"),
    [
        (kinds.Characters(), "Bob: ", 5),
        (kinds.Bytes(), ". ", 2),
        (kinds.Whitespace(), "Bob:", 1),
        (kinds.Whitespace(), " the", 0),  # the text ends before it only where something stands before it
        (kinds.BytePairs(300), "Bob:", 0),
    ],
)
def test_the_loop_ends_at_a_stop_only_if_its_tokens_are_all_of_it(
    kind: kinds.Tokenizer, stop: str, looked_for: int
) -> None:
    rows = writer(kind).asked(Generation(stops=(stop,)), None).stops
    assert sum(bool(token) for row in rows for token in row) == looked_for
