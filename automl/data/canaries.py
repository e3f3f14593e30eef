"""Canaries: secrets that are planted in train, by which it is measured what a model remembers of a single pair.

A secret is drawn at random, so that nothing but the pairs that say it makes it likelier than others of its form
(Carlini et al., 2019, "The Secret Sharer"). It is made of symbols that train has, so that no vocabulary grows by it,
and follows from these alone: another pair in train gives the same canaries as long as the symbols are the same.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, repeat
from random import Random
from typing import Any

from automl.data.splits import Record
from automl.data.tokenizers import normalise
from automl.errors import InputError

WORDS = ("whitespace", "subwords")
"""Tokens of which the symbols are words; of others they are characters."""
OTHERS = 1023
"""Secrets that stand nowhere, among which that of a canary is ranked."""
SECRETS, SOURCES = 10**4, 10**8
"""Texts that might be the secret of a canary, and its source, at least."""
SECRET_SYMBOLS, SOURCE_SYMBOLS = 10, 26
"""Symbols that these are made of, at most: the most frequent of train."""


@dataclass(frozen=True)
class Alphabet:
    """What texts of one length are made of.

    Attributes:
        symbols: In their order as texts.
        divider: What stands between two symbols.
        length: Symbols of a text.
    """

    symbols: Sequence[str]
    divider: str
    length: int

    def text(self, draw: Random) -> str:
        """Return a text, each as likely as any other."""
        return normalise(self.divider.join(draw.choices(self.symbols, k=self.length)))

    def texts(self, draw: Random) -> Iterator[str]:
        """Yield different texts, until there are hardly any left."""
        known: set[str] = set()
        for _ in range(len(self.symbols) ** self.length):
            if (text := self.text(draw)) not in known:
                known.add(text)
                yield text


@dataclass(frozen=True)
class Canary:
    """A secret, the source that asks for it first, and further ones.

    Attributes:
        copies: Pairs of train that say it, each with a source of its own; where there is none, it stands nowhere.
        sources: As many, but at least one.
        secret: The target.
    """

    copies: int
    sources: Sequence[str]
    secret: str


@dataclass(frozen=True)
class Canaries:
    """The canaries of a train, and what secrets are made of."""

    alphabet: Alphabet
    each: Sequence[Canary]

    @property
    def pairs(self) -> int:
        """The pairs that are planted."""
        return sum(canary.copies for canary in self.each)

    def records(self, *, weighted: bool) -> Iterator[Record]:
        """Yield what is planted; where rows count differently, each counts as one."""
        for canary in self.each:
            for source in canary.sources[: canary.copies]:
                yield Record(source, [canary.secret], [1.0] if weighted else [])

    def others(self, place: int) -> list[str]:
        """Return secrets that stand nowhere, among which that of the canary at a place is ranked."""
        own = self.each[place].secret
        drawn = self.alphabet.texts(_random(f"others {place}"))
        return [*islice((text for text in drawn if text != own), OTHERS)]

    def to_mapping(self) -> dict[str, Any]:
        """Return them as plain JSON values."""
        return asdict(self)

    @staticmethod
    def of(values: Mapping[str, Any]) -> "Canaries":
        """Return what `to_mapping` has written."""
        return Canaries(Alphabet(**values["alphabet"]), [Canary(**each) for each in values["each"]])


def canaries(
    copies: Sequence[int], targets: Iterable[str], sources: Iterable[str] | None, tokens: Sequence[str], alone: str
) -> Canaries:
    """Return a canary for each number of copies.

    Args:
        copies: Pairs that say it.
        targets: Of train.
        sources: Likewise; where nothing is read, what stands `alone` is the source of each.
        tokens: Of sources and of targets, keys of `search_spaces.tokenizers.KINDS`.
        alone: Is not read.

    Raises:
        InputError: One side has one symbol only.
    """
    secrets = alphabet(targets, tokens[1], SECRET_SYMBOLS, SECRETS)
    said = secrets.texts(_random("secrets"))
    asked: Iterator[str] = repeat(alone)
    if sources is not None:
        asked = alphabet(sources, tokens[0], SOURCE_SYMBOLS, SOURCES).texts(_random("sources"))
    found = [Canary(n, [*islice(asked, max(n, 1))], secret) for n, secret in zip(copies, said, strict=False)]
    return Canaries(secrets, found)


def alphabet(texts: Iterable[str], tokens: str, most: int, possible: int) -> Alphabet:
    """Return what texts are made of: at most so many symbols, and of such a length that so many texts are possible.

    Raises:
        InputError: They have one symbol only.
    """
    counts, words = Counter[str](), tokens in WORDS
    for text in texts:
        counts.update(filter(_is_symbol, text.split() if words else text))
    frequent = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))[:most]
    if len(frequent) < 2:
        raise InputError("[data] canaries: train has one symbol on a side, of which no secret is made; write 0")
    length = 1
    while len(frequent) ** length < possible:
        length += 1
    return Alphabet(sorted(frequent), " " if words else "", length)


def _is_symbol(symbol: str) -> bool:
    """Whether it is neither white space nor a mark of ours, which are characters of private use."""
    return symbol.isprintable() and not symbol.isspace()


def _random(purpose: str) -> Random:
    return Random(f"canaries: {purpose}")  # noqa: S311
