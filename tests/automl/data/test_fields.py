import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.fields import MARKS, MOST, joined, mark, source_of
from automl.data.tokenizers import Tokenizer, normalise
from automl.errors import InputError
from search_spaces.tokenizers import Characters, Whitespace

TEXTS = st.lists(st.text("ab\t{}\"'é"), min_size=2, max_size=MOST)


def test_each_column_stands_behind_its_mark_and_one_alone_is_its_text() -> None:
    assert joined([" who? ", "", "Ann"]) == f"{mark(0)} who? {mark(1)}  {mark(2)} Ann"
    assert joined([" who? "]) == "who?"
    assert joined(["", " "]) == ""


@given(TEXTS)
def test_no_text_can_pass_for_a_mark(texts: list[str]) -> None:
    clean = [text.replace("\t", " ") for text in texts]
    source = joined([f"{mark(1)}{text}" for text in clean])
    assert [part.strip() for part in MARKS.split(source)[1:]] == [*map(normalise, clean)] or source == ""


def test_a_mark_is_a_token_of_characters_and_of_words() -> None:
    source = joined(["ab", "c"])
    for kind in (Characters(), Whitespace()):
        assert {mark(0), mark(1)} <= Tokenizer.learn(kind, [source]).vocabulary.keys()


@pytest.mark.parametrize(
    "raw",
    [
        "who?\tAnn",
        '{"context": "Ann", "question": "who?"}',
        {"question": "who?", "context": "Ann", "answer": "of no use"},
        joined(["who?", "Ann"]),
    ],
)
def test_a_prediction_is_asked_for_by_columns_in_their_order_or_by_name(raw: object) -> None:
    assert source_of(raw, ["question", "context"]) == joined(["who?", "Ann"])  # type: ignore[arg-type]


def test_what_lacks_a_column_is_read_with_it_empty() -> None:
    empty = joined(["who?", ""])
    assert (
        source_of("who?", ["question", "context"]) == source_of({"question": "who?"}, ["question", "context"]) == empty
    )
    assert source_of("{who?", ["question", "context"]) == joined(["{who?", ""])
    assert source_of('{"a": 1}', ["question"]) == '{"a": 1}'


def test_what_is_no_row_of_the_task_is_refused() -> None:
    with pytest.raises(InputError, match="3 columns; this model reads 'question', 'context'"):
        source_of("a\tb\tc", ["question", "context"])
    with pytest.raises(InputError, match="'query' and none of those"):
        source_of({"query": "a"}, ["question", "context"])
    with pytest.raises(InputError, match="'context' is not a text"):
        source_of({"question": "a", "context": 3.5}, ["question", "context"])
