import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.tokenizers import BOS, EOS, PAD, UNK, Tokenizer, TokenizerKind, automatic_kind
from automl.errors import InputError

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
@pytest.mark.parametrize("kind", [TokenizerKind.CHARACTERS, TokenizerKind.BYTES])
def test_characters_and_bytes_round_trip(kind: TokenizerKind, text: str) -> None:
    assert round_trip(Tokenizer.learn(kind, [text]), text) == text


@pytest.mark.parametrize("text", HARD)
@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_hard_texts_round_trip(kind: TokenizerKind, text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    expected = " ".join(text.split()) if kind is TokenizerKind.WHITESPACE else text
    assert round_trip(Tokenizer.learn(kind, HARD), text) == expected


@settings(deadline=None)
@given(TEXT)
def test_whitespace_round_trips_up_to_white_space(text: str) -> None:
    assert round_trip(Tokenizer.learn(TokenizerKind.WHITESPACE, [text]), text) == " ".join(text.split())


@settings(deadline=None)
@given(TEXT)
@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_tokens_are_those_that_are_encoded(kind: TokenizerKind, text: str) -> None:
    tokenizer = Tokenizer.learn(kind, [text])
    assert len(tokenizer.tokens(text)) == len(tokenizer.encode_batch([text])[0])


def test_bytes_know_every_text() -> None:
    tokenizer = Tokenizer.learn(TokenizerKind.BYTES, [])
    assert tokenizer.size == 260
    assert round_trip(tokenizer, "日本語") == "日本語"


def test_unknown_symbols_become_unk_and_are_not_said() -> None:
    tokenizer = Tokenizer.learn(TokenizerKind.CHARACTERS, ["ab"])
    assert tokenizer.encode_batch(["aXb"]) == [[4, UNK, 5]]
    assert tokenizer.decode_batch([[BOS, 4, UNK, 5, EOS, PAD, PAD]]) == ["ab"]


def test_composed_and_decomposed_letters_are_one_token() -> None:
    tokenizer = Tokenizer.learn(TokenizerKind.CHARACTERS, ["é"])
    assert tokenizer.encode_batch(["e\u0301"]) == tokenizer.encode_batch(["é"]) == [[4]]


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_json_carries_everything(kind: TokenizerKind) -> None:
    tokenizer = Tokenizer.learn(kind, HARD)
    copy = Tokenizer.from_json(tokenizer.to_json())
    assert (copy.kind, copy.size) == (kind, tokenizer.size)
    assert copy.encode_batch(HARD) == tokenizer.encode_batch(HARD)
    assert copy.to_json() == tokenizer.to_json()


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"decoder": {"type": "Fuse"}}', '{"decoder": {"type": "BPE"}}'])
def test_foreign_json_is_refused(document: str) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.json is damaged"):
        Tokenizer.from_json(document)


def test_phones_and_commands_are_whitespace_tokens() -> None:
    assert automatic_kind(["k a t", "t a k"] * 20) is TokenizerKind.WHITESPACE
    assert automatic_kind(["I_LOOK I_WALK", "I_WALK I_TURN_RIGHT I_WALK"] * 20) is TokenizerKind.WHITESPACE


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["cat", "act"] * 20,
        [f"{day} may 19{day}" for day in range(10, 99)],
        ["a b c", "d e f"],
        ["a", "a", "b c"] * 40,
    ],
)
def test_everything_else_is_characters(texts: list[str]) -> None:
    assert automatic_kind(texts) is TokenizerKind.CHARACTERS
