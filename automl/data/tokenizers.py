"""Text to token ids and back, on Hugging Face tokenizers, learned from the training split only."""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import chain
from typing import Any, assert_never

from automl.errors import InputError

PAD, BOS, EOS, UNK = range(4)

# A space in their names keeps them apart from every token: whitespace tokens hold none, the others are one character.
SPECIAL_TOKENS = ("<pad >", "<bos >", "<eos >", "<unk >")


class TokenizerKind(StrEnum):
    """How a text falls into tokens."""

    CHARACTERS = "characters"
    WHITESPACE = "whitespace"
    BYTES = "bytes"


def normalise(text: str) -> str:
    """Bring a text to Unicode NFC without white space around it, the form in which every text is kept."""
    return unicodedata.normalize("NFC", text).strip()


def split_tokens(kind: TokenizerKind, text: str) -> list[str]:
    """Split a text into the tokens of a kind, without a vocabulary."""
    text = unicodedata.normalize("NFC", text)
    match kind:
        case TokenizerKind.CHARACTERS:
            return list(text)
        case TokenizerKind.WHITESPACE:
            return text.split()
        case TokenizerKind.BYTES:
            return [f"{byte:02x}" for byte in text.encode()]
        case _:
            assert_never(kind)


def automatic_kind(texts: Iterable[str]) -> TokenizerKind:
    """Choose between whitespace and characters.

    Whitespace where the texts are sequences of symbols, such as phones or commands: at least half of them hold
    several tokens, every token recurs ten times on average, and there are at most 500 different tokens of at most three
    characters on average, or at most 50 of any length. Characters otherwise.
    """
    rows = [text.split() for text in texts]
    counts = Counter(chain.from_iterable(rows))
    tokens = counts.total()
    several = 2 * sum(len(row) > 1 for row in rows) >= len(rows)
    if not tokens or not several or tokens < 10 * len(counts):
        return TokenizerKind.CHARACTERS
    mean_length = sum(len(token) * count for token, count in counts.items()) / tokens
    limit = 500 if mean_length <= 3 else 50
    return TokenizerKind.WHITESPACE if len(counts) <= limit else TokenizerKind.CHARACTERS


class Tokenizer:
    """Maps texts to ids and back; `<pad >`, `<bos >`, `<eos >` and `<unk >` are ids 0 to 3."""

    def __init__(self, kind: TokenizerKind, backend: Any) -> None:
        self.kind = kind
        self._backend = backend

    @classmethod
    def learn(cls, kind: TokenizerKind, texts: Iterable[str]) -> "Tokenizer":
        """Learn the vocabulary of the training texts: every token, in the order of its text."""
        if kind is TokenizerKind.BYTES:
            return cls(kind, _bytes_backend())
        tokens = sorted(set(chain.from_iterable(split_tokens(kind, text) for text in texts)))
        return cls(kind, _symbols_backend(kind, tokens))

    @classmethod
    def from_json(cls, document: str) -> "Tokenizer":
        """Read a `tokenizer.json` written by `to_json`.

        Raises:
            InputError: The document is not one of ours.
        """
        from tokenizers import Tokenizer as Backend

        try:
            decoder = json.loads(document)["decoder"]
            kind = _KINDS[decoder["type"] if decoder else None]
            return cls(kind, Backend.from_str(document))
        except Exception as error:  # the backend raises bare exceptions
            raise InputError("tokenizer.json is damaged or of another program; export the model again") from error

    def to_json(self) -> str:
        """Write the tokenizer as a `tokenizer.json` that Hugging Face tokenizers read."""
        return str(self._backend.to_str())

    @property
    def size(self) -> int:
        """Number of ids, the four special ones included."""
        return int(self._backend.get_vocab_size())

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Turn texts into ids, without begin and end."""
        return [encoding.ids for encoding in self._backend.encode_batch_fast(list(texts))]

    def decode_batch(self, rows: Iterable[Iterable[int]]) -> list[str]:
        """Turn ids into texts; special ids are skipped."""
        kept = [[int(token) for token in row if token >= len(SPECIAL_TOKENS)] for row in rows]
        return list(self._backend.decode_batch(kept))

    def tokens(self, text: str) -> list[str]:
        """Split a text into tokens as `encode_batch` does, whether the vocabulary holds them or not."""
        return split_tokens(self.kind, text)


def _symbols_backend(kind: TokenizerKind, tokens: Sequence[str]) -> Any:
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    vocabulary = {token: index for index, token in enumerate((*SPECIAL_TOKENS, *tokens))}
    backend = Backend(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS[UNK]))
    backend.normalizer = normalizers.NFC()
    if kind is TokenizerKind.CHARACTERS:
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        backend.decoder = decoders.Fuse()
    else:
        # The information separators are white space to Python and not to the backend.
        separators = pre_tokenizers.Split(Regex("[\x1c-\x1f]"), "removed")
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), separators])
    return backend


def _bytes_backend() -> Any:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*SPECIAL_TOKENS, *alphabet))}
    backend = Backend(models.BPE(vocabulary, []))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return backend


_KINDS = {"Fuse": TokenizerKind.CHARACTERS, "ByteLevel": TokenizerKind.BYTES, None: TokenizerKind.WHITESPACE}
