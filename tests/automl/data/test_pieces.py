from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data import pieces
from automl.data.tokenizers import Tokenizer, normalise
from search_spaces.tokenizers import BytePairs, Bytes, Characters, Unigram, Whitespace, Whole
from search_spaces.tokenizers import Tokenizer as Kind

TRAIN = ["der Hund, 12 Äpfel", "don't  stop", "हिन्दी में", "日本 語", "e\u0301t\u00e9\u200d 🙂", "<unk > <pad >"] * 3
TEXTS = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.text(st.sampled_from("abÄ12,'\u0301\u200d\u00a0\t\n\x1c\x85\u2028\ufeff  🙂日में"), max_size=15),
        st.sampled_from(TRAIN),
    ),
    max_size=8,
)
KINDS = [Characters(), Whitespace(), Bytes(), BytePairs(400), Unigram(400), Whole()]


@cache
def learnt(kind: Kind) -> Tokenizer:
    return Tokenizer.learn(kind, TRAIN)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
@given(texts=TEXTS)
def test_many_texts_have_the_ids_of_each(kind: Kind, texts: list[str]) -> None:
    clean = [normalise(text.encode("utf-8", "replace").decode()) for text in texts]
    ids, lengths = learnt(kind).encode(clean)
    rows = learnt(kind).encode_batch(clean)
    assert lengths.tolist() == [len(row) for row in rows]
    assert ids.tolist() == [token for row in rows for token in row]


def test_pieces_beyond_what_is_remembered_are_tokenized_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MOST_PIECES", 2)
    asked: list[str] = []

    def encode(new: list[str]) -> list[list[int]]:
        asked.extend(new)
        return [[len(piece)] * len(piece) for piece in new]

    divided = pieces.Pieces(pieces.words, encode)
    for texts in (["a bb a"], ["a ccc"], ["a", ""]):
        divided(texts)
    assert asked == ["a", "bb", "ccc", "a"]
