"""Text to token ids and back, on Hugging Face tokenizers, learned from the training split only."""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Any, NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from automl.data import subwords
from automl.data.pieces import Flat, Octets, Pieces, Points, points, symbols, whole, words
from automl.errors import InputError
from search_spaces import tokenizers as kinds
from search_spaces.tokenizers import Boxes, BytePairs, Bytes, Characters, Pixels, Unigram, Whitespace, Whole

PAD, BOS, EOS, UNK = range(4)

# A space in their names keeps them apart from every token: whitespace tokens hold none, the others are one character.
SPECIAL_TOKENS = ("<pad >", "<bos >", "<eos >", "<unk >")


AT_ONCE = 10_000
"""Texts whose characters are counted at once."""
MOST_SYMBOLS = 32_000
"""Different characters or words that a vocabulary holds, at most; the rarest beyond are unknown to it."""


def normalise(text: str) -> str:
    """Bring a text to Unicode NFC without white space around it, the form in which every text is kept."""
    return unicodedata.normalize("NFC", text).strip()


def automatic_tokens(texts: Iterable[str]) -> str:
    """Choose between `whitespace`, `subwords` and `characters`.

    Whitespace where the texts are sequences of symbols, such as phones or commands: at least half of them hold
    several tokens, every token recurs ten times on average, and there are at most 500 different tokens of at most three
    characters on average, or at most 50 of any length. Subwords for running text: at least five words in the mean,
    and 5,000 different ones. Characters otherwise.
    """
    counts, rows, several = Counter[str](), 0, 0
    for text in texts:
        own = text.split()
        counts.update(own)
        rows, several = rows + 1, several + (len(own) > 1)
    tokens = counts.total()
    if not tokens:
        return "characters"
    mean_length = sum(len(word) * count for word, count in counts.items()) / tokens
    if 2 * several >= rows and tokens >= 10 * len(counts) and len(counts) <= (500 if mean_length <= 3 else 50):
        return "whitespace"
    return "subwords" if tokens >= 5 * rows and len(counts) >= 5_000 else "characters"


class Said(NamedTuple):
    """What a model said: ids, and where it is known the log-probability of each.

    `likeliest` are the likeliest ids in place of each, the likeliest first, and the log-probabilities of these.
    """

    tokens: Sequence[int]
    each: Sequence[float] = ()
    likeliest: tuple[Sequence[Sequence[int]], Sequence[Sequence[float]]] | None = None


class Tokenizer:
    """Maps texts to ids and back; `<pad >`, `<bos >`, `<eos >` and `<unk >` are ids 0 to 3."""

    def __init__(self, kind: type[kinds.Tokenizer], backend: Any) -> None:
        self.kind = kind
        self._backend = backend

    @classmethod
    def learn(cls, tokens: kinds.Tokenizer, texts: Iterable[str]) -> "Tokenizer":
        """Learn the vocabulary of the training texts; the same texts give the same."""
        texts = (unicodedata.normalize("NFC", text) for text in texts)
        match tokens:
            case Characters():
                return cls(Characters, _characters(_counted_characters(texts)))
            case Whitespace():
                return cls(Whitespace, _whitespace(Counter(chain.from_iterable(map(str.split, texts)))))
            case Bytes():
                return cls(Bytes, _bytes())
            case BytePairs(size):
                return cls(BytePairs, subwords.byte_pairs(SPECIAL_TOKENS, size, texts))
            case Unigram(size):
                return cls(Unigram, subwords.unigrams(SPECIAL_TOKENS, size, texts))
            case Whole():
                return cls(Whole, _whole(texts))
            case Pixels() | Boxes():
                raise TypeError("what images hold is not learnt from texts alone")
            case _:
                assert_never(tokens)

    @classmethod
    def from_json(cls, document: str) -> "Tokenizer":
        """Read a `tokenizer.json` written by `to_json`.

        Raises:
            InputError: The document is not one of ours.
        """
        from tokenizers import Tokenizer as Backend

        try:
            contents = json.loads(document)
            if contents["model"]["type"] in (kinds.Pixels.__name__, kinds.Boxes.__name__):
                return _of_images(contents["model"])
            decoder = contents["decoder"]
            kind = _KINDS[contents["model"]["type"], decoder["type"] if decoder else None]
            if _around(contents) != _around(json.loads(_empty(kind).to_str())):
                raise ValueError("splits texts as no tokenizer of ours does")
            backend = Backend.from_str(document)
            numbers = backend.get_vocab()
            if sorted(numbers.values()) != [*range(backend.get_vocab_size())]:
                raise ValueError("tokens are not numbered from 0")
            if [numbers.get(token) for token in SPECIAL_TOKENS] != [*range(len(SPECIAL_TOKENS))]:
                raise ValueError("the first tokens are not the special ones")
            if contents["model"].get("unk_token") not in (None, SPECIAL_TOKENS[UNK]):
                raise ValueError("what is unknown is no token")
            return cls(kind, backend)
        except Exception as error:  # the backend raises bare exceptions
            raise InputError("tokenizer.json is damaged or of another program; export the model again") from error

    def to_json(self) -> str:
        """Write the tokenizer as a `tokenizer.json` that Hugging Face tokenizers read."""
        return str(self._backend.to_str())

    @property
    def size(self) -> int:
        """Number of ids, the four special ones included."""
        return int(self._backend.get_vocab_size())

    @property
    def vocabulary(self) -> dict[str, int]:
        """Every token and its id."""
        return dict(self._backend.get_vocab())

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Turn texts into ids, without begin and end."""
        return [encoding.ids for encoding in self._backend.encode_batch_fast(list(texts))]

    def encode(self, texts: Sequence[str]) -> Flat:
        """Turn many texts in Unicode NFC into the same ids as `encode_batch` does, end to end, with their numbers."""
        return self._flat(texts)

    @cached_property
    def _flat(self) -> Callable[[Sequence[str]], Flat]:
        if self.kind is Characters:
            return Points(self.vocabulary, UNK)
        if self.kind is Bytes:
            return Octets(self.vocabulary)
        return Pieces(whole if self.kind is Whole else symbols if self.kind is Whitespace else words, self.encode_batch)

    def decode_batch(self, rows: Iterable[Iterable[int]]) -> list[str]:
        """Turn ids into texts; special ids are skipped."""
        kept = [[int(token) for token in row if token >= len(SPECIAL_TOKENS)] for row in rows]
        return list(self._backend.decode_batch(kept))

    def said(self, answers: Iterable[Said]) -> list[str]:
        """Turn what was said into texts."""
        return self.decode_batch(answer.tokens for answer in answers)

    def tokens(self, text: str) -> list[str]:
        """Split a text into tokens as `encode_batch` does, whether the vocabulary holds them or not."""
        text = unicodedata.normalize("NFC", text)
        if self.kind in (Characters, Whole):
            return list(text) if self.kind is Characters else [text]
        return text.split() if self.kind is Whitespace else list(self._backend.encode(text).tokens)


def _of_images(document: Mapping[str, Any]) -> "Tokenizer":
    from automl.data import boxes, pixels

    kind = pixels.Pixels if document["type"] == kinds.Pixels.__name__ else boxes.Boxes
    return kind.of(document)


def _empty(kind: type[kinds.Tokenizer]) -> Any:
    """Return the backend of a kind with next to no vocabulary."""
    from tokenizers import models

    if kind is BytePairs:
        return subwords.backend(models.BPE())
    if kind is Unigram:
        return subwords.backend(models.Unigram([(SPECIAL_TOKENS[UNK], 0.0)], 0))
    return Tokenizer.learn(kind(), ())._backend


def _around(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a `tokenizer.json` is not its model, and whether that leaves things to chance."""
    return {**contents, "model": contents["model"].get("dropout")}


def copies(source: Tokenizer, target: Tokenizer) -> NDArray[np.int32]:
    """Return for each source id the target id of the same text, or `PAD`; special ids have none."""
    known, found = target.vocabulary, np.full(source.size, PAD, np.int32)
    for token, index in source.vocabulary.items():
        if index >= len(SPECIAL_TOKENS):
            found[index] = known.get(token, PAD)
    return found


def _counted_characters(texts: Iterable[str]) -> Counter[str]:
    counts = np.zeros(0x110000, np.int64)
    left = iter(texts)
    while batch := [*islice(left, AT_ONCE)]:
        found = np.bincount(points(batch))
        counts[: len(found)] += found
    return Counter({chr(point): int(counts[point]) for point in np.flatnonzero(counts)})


def _vocabulary(symbols: Mapping[str, int]) -> dict[str, int]:
    """Number the special tokens and then the most frequent symbols, in the order of their text."""
    frequent = sorted(symbols.items(), key=lambda item: (-item[1], item[0]))[:MOST_SYMBOLS]
    return {token: index for index, token in enumerate((*SPECIAL_TOKENS, *sorted(symbol for symbol, _ in frequent)))}


def _characters(characters: Mapping[str, int]) -> Any:
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    backend = Backend(models.WordLevel(_vocabulary(characters), unk_token=SPECIAL_TOKENS[UNK]))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    return backend


def _whitespace(symbols: Mapping[str, int]) -> Any:
    from tokenizers import Regex, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    backend = Backend(models.WordLevel(_vocabulary(symbols), unk_token=SPECIAL_TOKENS[UNK]))
    backend.normalizer = normalizers.NFC()
    # The information separators are white space to Python and not to the backend.
    separators = pre_tokenizers.Split(Regex("[\x1c-\x1f]"), "removed")
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), separators])
    return backend


def _whole(texts: Iterable[str]) -> Any:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers

    backend = Backend(
        models.WordLevel(
            _vocabulary(Counter(text for text in texts if text not in SPECIAL_TOKENS)), unk_token=SPECIAL_TOKENS[UNK]
        )
    )
    backend.normalizer = normalizers.NFC()
    backend.decoder = decoders.Sequence([decoders.Fuse()])
    return backend


def _bytes() -> Any:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    backend = Backend(models.BPE(_vocabulary(Counter(pre_tokenizers.ByteLevel.alphabet())), []))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return backend


_KINDS: Mapping[tuple[str, str | None], type[kinds.Tokenizer]] = {
    ("WordLevel", "Fuse"): Characters,
    ("WordLevel", None): Whitespace,
    ("WordLevel", "Sequence"): Whole,
    ("BPE", "ByteLevel"): Bytes,
    ("BPE", "Sequence"): BytePairs,
    ("Unigram", "Sequence"): Unigram,
}
"""Model and decoder of a `tokenizer.json` → what it is."""
