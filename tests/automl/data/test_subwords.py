"""What holds for byte pairs and unigrams alike."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data import subwords
from automl.data.tokenizers import UNK, Tokenizer
from search_spaces.tokenizers import LEARNT, BytePairs, Unigram

WORDS = ["lower", "lowest", "newer", "newest", "wider", "widest", "न्दी", "שָׁלוֹם", "می‌خواهم", "日本語"]
SYLLABLES = ["ba", "do", "ki", "lu", "mer", "nost", "pa", "ri", "sun", "te"]
TEXTS = [f"{a}{b}{c} {d}, {a}  {c}{b}!" for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES[:3] for d in WORDS]
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn"])).map(lambda text: unicodedata.normalize("NFC", text))
BASE = 260
"""The special ids and the bytes."""

Kind = type[BytePairs] | type[Unigram]

every_kind = pytest.mark.parametrize("kind", LEARNT)


@pytest.fixture(scope="module", params=LEARNT)
def learnt(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.learn(request.param(320), TEXTS)


@settings(deadline=None)
@given(text=TEXT)
def test_every_text_round_trips_and_nothing_is_unknown(learnt: Tokenizer, text: str) -> None:
    (ids,) = learnt.encode_batch([text])
    assert UNK not in ids
    assert learnt.decode_batch([ids]) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "  a  b   c ",
        "e\u0323\u0301",
        "👩‍👩‍👧 🇫🇷 ❤️",
        "שָׁלוֹם עולם",
        "<pad ><unk >",
        "x\u2028y\x85\x1cz\r\n\t",
        "▁Ġ a",
    ],
)
def test_hard_texts_round_trip(learnt: Tokenizer, text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    assert learnt.decode_batch(learnt.encode_batch([text])) == [text]


def test_words_of_train_are_fewer_tokens_than_bytes(learnt: Tokenizer) -> None:
    (ids,) = learnt.encode_batch(["newest lowest"])
    assert len(ids) <= 6 < len("newest lowest")
    assert learnt.tokens("newest lowest") != learnt.tokens("lowest newest")
    assert len(learnt.tokens("newest lowest")) == len(ids)


def test_the_first_word_is_the_same_token_as_a_later_one(learnt: Tokenizer) -> None:
    (ids,) = learnt.encode_batch(["newest newest"])
    assert ids[: len(ids) // 2] == ids[len(ids) // 2 :]


@pytest.mark.parametrize("word", ["न्दी", "שָׁלוֹם", "می‌خواهم"])
def test_marks_and_joiners_stay_in_their_word(word: str) -> None:
    pieces = [piece for piece, _ in subwords._words().pre_tokenize_str(f"{word} {word}")]
    assert len(pieces) == 2


@every_kind
def test_the_size_is_what_was_asked_for_or_all_that_train_gives(kind: Kind) -> None:
    assert Tokenizer.learn(kind(300), TEXTS).size == 300
    most = Tokenizer.learn(kind(32_000), TEXTS).size
    assert 320 < most < 1_000
    assert Tokenizer.learn(kind(16_000), TEXTS).size == most


@every_kind
@pytest.mark.parametrize("texts", [[], [""], ["a"], ["aaaa", "aaaa"], ["ab"], ["日"], ["  "]])
def test_hardly_any_text_leaves_the_bytes(kind: Kind, texts: list[str]) -> None:
    tokenizer = Tokenizer.learn(kind(1_000), texts)
    assert BASE <= tokenizer.size < BASE + 10
    assert tokenizer.decode_batch(tokenizer.encode_batch(["日本 x"])) == ["日本 x"]


@every_kind
def test_the_same_texts_give_the_same_tokenizer_in_any_process(kind: Kind) -> None:
    code = (
        "import hashlib, sys; from automl.data.tokenizers import Tokenizer; from search_spaces import tokenizers as t;"
        "texts = sys.stdin.buffer.read().decode().split('\\n');"
        f"tokenizer = Tokenizer.learn(t.{kind.__name__}(320), texts);"
        "print(hashlib.sha256(tokenizer.to_json().encode()).hexdigest())"
    )
    texts = "\n".join(TEXTS * 3).encode()
    runs = [subprocess.run([sys.executable, "-c", code], input=texts, capture_output=True, check=True) for _ in "ab"]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64


def test_of_very_many_texts_an_even_sample_is_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subwords, "TEXTS", 3)
    for texts, sampled in (("abcdefg", "adg"), ("abc", "abc"), ("", "")):
        assert "".join(subwords.sample(lambda texts=texts: iter(texts))) == sampled
