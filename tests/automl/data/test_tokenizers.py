import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.tokenizers import BOS, EOS, MOST_SYMBOLS, PAD, UNK, Tokenizer, automatic_tokens, copies
from automl.errors import InputError
from search_spaces.tokenizers import SOURCE, Bytes, Characters, Whitespace, Whole

# Characters without a meaning yet compose differently in the tables of different Unicode versions.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn"])).map(lambda text: unicodedata.normalize("NFC", text))
HARD = [
    "",
    "a b  c ",
    "e\u0323\u0301",
    "👩‍👩‍👧 🇫🇷",
    "שלום עולם",
    "<pad >",
    "<unk> [BOS]",
    "x\u2028y\x85\x1cz\r\n",
    "न्दी",
    "Ġ",
]


def round_trip(tokenizer: Tokenizer, text: str) -> str:
    return tokenizer.decode_batch(tokenizer.encode_batch([text]))[0]


@settings(deadline=None)
@given(TEXT)
@pytest.mark.parametrize("kind", [Characters, Bytes])
def test_characters_and_bytes_round_trip(kind: type, text: str) -> None:
    assert round_trip(Tokenizer.learn(kind(), [text]), text) == text


@pytest.mark.parametrize("text", HARD)
@pytest.mark.parametrize("kind", SOURCE)
def test_hard_texts_round_trip(kind: type, text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    expected = " ".join(text.split()) if kind is Whitespace else text
    assert round_trip(Tokenizer.learn(kind(), HARD), text) == expected


@settings(deadline=None)
@given(TEXT)
def test_whitespace_round_trips_up_to_white_space(text: str) -> None:
    assert round_trip(Tokenizer.learn(Whitespace(), [text]), text) == " ".join(text.split())


@settings(deadline=None)
@given(TEXT)
@pytest.mark.parametrize("kind", SOURCE)
def test_tokens_are_those_that_are_encoded(kind: type, text: str) -> None:
    tokenizer = Tokenizer.learn(kind(), [text])
    assert len(tokenizer.tokens(text)) == len(tokenizer.encode_batch([text])[0])


def test_bytes_know_every_text() -> None:
    tokenizer = Tokenizer.learn(Bytes(), [])
    assert tokenizer.size == 260
    assert round_trip(tokenizer, "日本語") == "日本語"


def test_unknown_symbols_become_unk_and_are_not_said() -> None:
    tokenizer = Tokenizer.learn(Characters(), ["ab"])
    assert tokenizer.encode_batch(["aXb"]) == [[4, UNK, 5]]
    assert tokenizer.decode_batch([[BOS, 4, UNK, 5, EOS, PAD, PAD]]) == ["ab"]


def test_composed_and_decomposed_letters_are_one_token() -> None:
    tokenizer = Tokenizer.learn(Characters(), ["é"])
    assert tokenizer.encode_batch(["e\u0301"]) == tokenizer.encode_batch(["é"]) == [[4]]


@pytest.mark.parametrize("kind", SOURCE)
def test_json_carries_everything(kind: type) -> None:
    tokenizer = Tokenizer.learn(kind(), HARD)
    copy = Tokenizer.from_json(tokenizer.to_json())
    assert (copy.kind, copy.size) == (kind, tokenizer.size)
    assert copy.encode_batch(HARD) == tokenizer.encode_batch(HARD)
    assert copy.to_json() == tokenizer.to_json()


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"decoder": {"type": "Fuse"}}', '{"decoder": {"type": "BPE"}}'])
def test_foreign_json_is_refused(document: str) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.json is damaged"):
        Tokenizer.from_json(document)


def test_phones_and_commands_are_whitespace_tokens() -> None:
    assert automatic_tokens(["k a t", "t a k"] * 20) == "whitespace"
    assert automatic_tokens(["I_LOOK I_WALK", "I_WALK I_TURN_RIGHT I_WALK"] * 20) == "whitespace"


def test_running_text_is_subwords() -> None:
    assert automatic_tokens([f"the {i} of the word{i} is new" for i in range(5_000)]) == "subwords"


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["cat", "act"] * 20,
        [f"{day} may 19{day}" for day in range(10, 99)],
        [f"{i} new" for i in range(9_000)],
        [f"the {i} of the word{i} is new" for i in range(2_000)],
        ["a b c", "d e f"],
        ["a", "a", "b c"] * 40,
    ],
)
def test_everything_else_is_characters(texts: list[str]) -> None:
    assert automatic_tokens(texts) == "characters"


def test_the_rarest_of_very_many_words_are_unknown() -> None:
    words = [f"w{i}" for i in range(MOST_SYMBOLS + 5)]
    tokenizer = Tokenizer.learn(Whitespace(), [" ".join(words), " ".join(words[5:])])
    assert tokenizer.size == MOST_SYMBOLS + 4
    assert tokenizer.encode_batch([" ".join(words[:6])])[0][:5] == [UNK] * 5


def test_a_source_token_can_be_copied_as_the_target_token_of_the_same_text() -> None:
    source, target = Tokenizer.learn(Characters(), ["abc"]), Tokenizer.learn(Whitespace(), ["c a long"])
    ids = target.vocabulary
    assert copies(source, target).tolist() == [PAD] * 4 + [ids["a"], PAD, ids["c"]]


def test_a_class_is_one_token_whatever_is_in_it() -> None:
    labels = ["very good", "good", "<pad >", "schön: 1"]
    tokenizer = Tokenizer.from_json(Tokenizer.learn(Whole(), labels).to_json())
    assert tokenizer.kind is Whole
    assert [len(ids) for ids in tokenizer.encode_batch(["very good", "good", "schön: 1"])] == [1, 1, 1]
    assert round_trip(tokenizer, "very good") == "very good"
    assert tokenizer.tokens("very good") == ["very good"]
    assert tokenizer.encode_batch(["bad"]) == [[UNK]]
    assert tokenizer.vocabulary["<pad >"] == PAD
