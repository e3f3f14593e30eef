"""Tokenizers: how a text falls into the tokens that a model reads or says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from search_spaces.dials import choice


@dataclass(frozen=True)
class Characters:
    """Unicode characters (Lee et al., 2017)."""


@dataclass(frozen=True)
class Whitespace:
    """What stands between white space, such as words, phones or commands."""


@dataclass(frozen=True)
class Bytes:
    """The bytes of UTF-8 (Xue et al., 2022)."""


@dataclass(frozen=True)
class BytePairs:
    """Subwords: the most frequent neighbours become one, again and again, from bytes on (Sennrich et al., 2016).

    The size counts all ids; train may give fewer.
    """

    vocabulary_size: int = choice(4000, 1000, 2000, 4000, 8000, 16000, 32000)


@dataclass(frozen=True)
class Unigram:
    """Subwords: the likeliest split under a unigram model, with bytes for whatever it lacks (Kudo, 2018).

    The size counts all ids; train may give fewer.
    """

    vocabulary_size: int = choice(4000, 1000, 2000, 4000, 8000, 16000, 32000)


@dataclass(frozen=True)
class LikeSource:
    """As the source, with a vocabulary of its own or with one that is learnt from both (Sennrich et al., 2016, 3.2)."""

    shared: bool = choice(True, True, False)


@dataclass(frozen=True)
class Whole:
    """The whole text as one token: a class."""


@dataclass(frozen=True)
class Pixels:
    """No text: each value of each channel of each pixel of an image is a token, row by row."""


@dataclass(frozen=True)
class Boxes:
    """No text: an object of an image is five tokens, its edges in so many steps along a side and its class.

    (Chen et al., 2022, Pix2Seq, section 2.)
    """

    bins: int = choice(64, 32, 64, 128, 224)


Tokenizer = Characters | Whitespace | Bytes | BytePairs | Unigram | Whole | Pixels | Boxes
TargetTokenizer = Tokenizer | LikeSource

SOURCE = (Characters, Whitespace, Bytes, BytePairs, Unigram)
LEARNT = (BytePairs, Unigram)
"""Kinds whose tokens depend on what is learnt, so that scores counted in them compare with no others."""

KINDS: Mapping[str, tuple[type[Tokenizer], ...]] = {
    "characters": (Characters,),
    "whitespace": (Whitespace,),
    "bytes": (Bytes,),
    "subwords": LEARNT,
    "whole": (Whole,),
    "pixels": (Pixels,),
    "boxes": (Boxes,),
}
"""What a task document may call tokens → the kinds that are then left to a search."""


def narrowing(source: str, target: str) -> dict[str, list[str]]:
    """Return what is left of the tokenizers' dials, for what a task document calls source and target tokens."""
    both = source == target == "subwords"
    targets = (LikeSource,) if both else KINDS[target]
    return {
        "source_tokens": [kind.__name__ for kind in KINDS[source]],
        "target_tokens": [kind.__name__ for kind in targets],
    }


def default(source: str, target: str) -> tuple[Tokenizer, TargetTokenizer]:
    """Return the tokenizers that are tried first, for what a task document calls source and target tokens."""
    both = source == target == "subwords"
    return KINDS[source][0](), LikeSource() if both else KINDS[target][0]()


def most(source: Tokenizer, target: TargetTokenizer) -> tuple[int, int] | None:
    """Return the most ids that each side may have; nothing where that is for train to say."""
    own = source if isinstance(target, LikeSource) else target
    if isinstance(source, LEARNT) and isinstance(own, LEARNT):
        return source.vocabulary_size, own.vocabulary_size
    return None


def called(kind: type[Tokenizer]) -> str:
    """Return what a task document calls the tokens of a kind."""
    return next(word for word, kinds in KINDS.items() if kind in kinds)


def name(kind: type[Tokenizer]) -> str:
    """Return what a kind is called in sentences: `characters`, `byte pairs`."""
    return re.sub("(?<!^)(?=[A-Z])", " ", kind.__name__).lower()
