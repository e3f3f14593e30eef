import json

import pytest

from automl.data.fields import joined as fields
from automl.data.tokenizers import Tokenizer
from automl.data.turns import joined
from automl.decoding.reading import Reader
from automl.errors import InputError
from search_spaces.tokenizers import Characters


def reader(*columns: str) -> Reader:
    return Reader(Tokenizer.learn(Characters(), ["ab"]), True, columns, 0, 100, "refuse", print)


ROW = {"said": "hi || ho", "asked": "so"}


@pytest.mark.parametrize("source", [ROW, json.dumps(ROW), fields(list(ROW.values())), "hi\tho\tso", "hi || ho || so"])
def test_a_conversation_of_several_columns_may_be_an_object_turns_or_prepared(source: object) -> None:
    prepared = reader(*ROW).prepared(source)
    assert prepared == joined(["hi", "ho", "so"])
    assert reader(*ROW).prepared(prepared) == prepared


def test_columns_that_a_conversation_has_not_are_refused() -> None:
    with pytest.raises(InputError, match="a source has the column 'asks'"):
        reader(*ROW).prepared('{"asks": "so"}')


def test_of_one_column_every_text_is_said() -> None:
    assert reader("said").prepared('{"said": "hi"}') == joined(['{"said": "hi"}'])
