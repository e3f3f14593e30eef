"""Subwords, learnt from words and their counts: byte pairs by Hugging Face tokenizers, unigrams by SentencePiece.

Both split a text into words first, each with the space before it, and see the bytes of a word as printable
letters. So every text has tokens, whatever train holds, and is had back from them to the last space.
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Any

from automl.data.pieces import words

TEXTS = 200_000
"""Texts that are learnt from, at most: an even sample of those there are."""
WORDS = 100_000
"""Different words that unigrams are learnt from, at most: the most frequent."""
LONGEST = 24
"""Bytes of a unigram, at most."""
DIGITS = 6
"""Decimals of a unigram's log-probability: with more, reading `tokenizer.json` again gives others."""

# Letters with their marks and joiners, digits, all else, white space; the first three with a space before them.
_WORD = r" ?[\p{L}\p{M}\x{200C}\x{200D}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+"


def byte_pairs(special: Sequence[str], size: int, texts: Iterable[str]) -> Any:
    """Learn merges of pairs that occur at least twice, until there are `size` ids or none is left."""
    from tokenizers import Tokenizer, models, trainers

    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        special_tokens=list(special),
        initial_alphabet=_alphabet(),
    )
    learner = Tokenizer(models.BPE())
    learner.train_from_iterator(chain.from_iterable(repeat(word, count) for word, count in _counted(texts)), trainer)
    # The trainer marks special tokens so that their names are found in texts; in a model of their own they are not.
    model = json.loads(learner.to_str())["model"]
    return backend(models.BPE(model["vocab"], [tuple(pair) for pair in model["merges"]]))


def unigrams(special: Sequence[str], size: int, texts: Iterable[str]) -> Any:
    """Learn the likeliest pieces; bytes that train lacks are less likely than all of them."""
    from tokenizers import models

    scores = _unigram_scores(_counted(texts)[:WORDS], size - len(special) - len(_alphabet()))
    least = min(scores.values(), default=0.0) - 10.0
    scores |= {byte: least for byte in _alphabet() if byte not in scores}
    pieces = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    vocabulary = [(name, 0.0) for name in special] + pieces
    return backend(models.Unigram(vocabulary, unk_id=len(special) - 1, byte_fallback=False))


def sample(texts: Callable[[], Iterator[str]]) -> Iterator[str]:
    """Return an even sample of at most `TEXTS` texts, in their order; they are gone through twice."""
    count = sum(1 for _ in texts())
    return islice(texts(), 0, None, -(-count // TEXTS) or 1)


def backend(model: Any) -> Any:
    """Return a tokenizer around a model of subwords: a space before the text makes its first word like any other."""
    from tokenizers import Tokenizer, decoders, normalizers

    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Prepend(" ")])
    made.pre_tokenizer = _words()
    made.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    return made


def _words() -> Any:
    from tokenizers import Regex, pre_tokenizers

    split = pre_tokenizers.Split(Regex(_WORD), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _counted(texts: Iterable[str]) -> list[tuple[str, int]]:
    """Return the words of texts as printable letters and how often each occurs, the most frequent first."""
    division, counts = _words(), Counter[str]()
    for piece, count in Counter(chain.from_iterable(map(words, texts))).items():
        for word, _ in division.pre_tokenize_str(f" {piece}"):
            counts[word] += count
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _unigram_scores(counts: Sequence[tuple[str, int]], pieces: int) -> dict[str, float]:
    """Return log-probabilities of the single letters of the words and of so many longer pieces.

    The trainer of Hugging Face tokenizers gives other pieces each time; that of SentencePiece does not.
    """
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    letters = set(chain.from_iterable(word for word, _ in counts))
    if len(letters) < 2:
        return dict.fromkeys(letters, 0.0)
    written = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=_lines(counts),
        model_writer=written,
        input_format="tsv",
        model_type="unigram",
        vocab_size=pieces + len(letters) + 1,
        max_sentencepiece_length=LONGEST,
        **_PLAIN,
    )
    learnt = SentencePieceProcessor(model_proto=written.getvalue())
    numbers = islice(range(learnt.get_piece_size()), 1, None)  # the first is its unknown
    return {learnt.id_to_piece(number): round(learnt.get_score(number), DIGITS) for number in numbers}


def _lines(counts: Sequence[tuple[str, int]]) -> Iterator[str]:
    yield from (f"{word}\t{count}" for word, count in counts)


# Whatever the trainer would do to a text beside learning is done before, or not at all; one thread adds in one order.
_PLAIN: dict[str, Any] = {
    "normalization_rule_name": "identity",
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "split_by_unicode_script": False,
    "split_by_number": False,
    "split_by_whitespace": False,
    "character_coverage": 1.0,
    "hard_vocab_limit": False,
    "max_sentence_length": 2**20,
    "bos_id": -1,
    "eos_id": -1,
    "pad_id": -1,
    "num_threads": 1,
    "minloglevel": 2,
}
