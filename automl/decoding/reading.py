"""Reading: raw sources as the tokens that a model reads."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from automl.data.fields import object_in, source_of
from automl.data.pixels import Pixels
from automl.data.tokenizers import EOS, Tokenizer
from automl.errors import InputError

TooLong = Literal["refuse", "truncate"]


class SourceTooLong(InputError):
    """A source of a list has more tokens than the model reads.

    Attributes:
        place: Which one it is, from 0.
        why: All of the message but which one it is.
    """

    def __init__(self, place: int, why: str) -> None:
        super().__init__(f"source {place + 1} {why}")
        self.place, self.why = place, why

    def after(self, count: int) -> "SourceTooLong":
        """Return the same of a longer list, in which so many others are before."""
        return SourceTooLong(self.place + count, self.why)


@dataclass(frozen=True)
class Reader:
    """How a model reads.

    Attributes:
        tokenizer: Of its sources.
        has_source: Whether it reads a source at all.
        columns: Names or numbers of the columns that make a source.
        turns: How many turns of a conversation it reads, 0 for all; absent where sources are no conversations.
        longest: Most tokens that it reads.
        too_long: Whether a source of more is refused or read in part.
        on_notice: Told of sources that are read in part.
    """

    tokenizer: Tokenizer
    has_source: bool
    columns: tuple[str | int, ...]
    turns: int | None
    longest: int
    too_long: TooLong
    on_notice: Callable[[str], None]

    def encoded(self, sources: Iterable[Any]) -> list[Any]:
        """Return sources as tokens, as many as the model reads.

        Raises:
            TypeError: One is no source.
            InputError: One is too long, and such are refused, or has other columns, or holds half of a character.
        """
        encoded = self.tokens(sources)
        longest = max(map(len, encoded), default=0)
        if longest <= self.longest:
            return encoded
        if self.too_long == "refuse":
            place, tokens = next((i, len(t)) for i, t in enumerate(encoded) if len(t) > self.longest)
            why = f"has {tokens:,} tokens; this model reads {self.longest:,} at most; split it"
            raise SourceTooLong(place, why)
        count = sum(len(tokens) > self.longest for tokens in encoded)
        self.on_notice(f"{count} sources of up to {longest:,} tokens are read up to token {self.longest:,}")
        return [tokens[: self.longest] for tokens in encoded]

    def tokens(self, sources: Iterable[Any]) -> list[Any]:
        """Return sources as tokens, of any length."""
        if not self.has_source:
            return [[EOS] for _ in sources]  # a token that the model does not see
        return self.tokenizer.encode_batch([self.prepared(source) for source in sources])

    def prepared(self, source: Any) -> Any:
        """Return a source as train has them: of several columns one text, of a conversation what the model reads."""
        if isinstance(self.tokenizer, Pixels):
            return source
        source = source if isinstance(source, Mapping) else text_of(source)
        if self.turns is None:
            return source_of(source, self.columns)
        from automl.data.turns import recent
        from automl.tasks.dialogue import prepare

        if len(self.columns) > 1 and isinstance(source, str):  # tabs of a text divide turns, of which there may be more
            source = object_in(source) or source
        text = source if isinstance(source, str) else source_of(source, self.columns)
        return recent(prepare(text), self.turns)

    def sized(self, sources: Iterable[Any], *, refuse: bool = True) -> tuple[list[Any], list[float]]:
        """Return sources as tokens, and of images by how much they were made larger or smaller for that."""
        if not isinstance(self.tokenizer, Pixels):
            encoded = self.encoded(sources) if refuse else self.tokens(sources)
            return encoded, [1.0] * len(encoded)
        pairs = [self.tokenizer.sized(source) for source in sources]
        return [row for row, _ in pairs], [size for _, size in pairs]


def text_of(given: object) -> str:
    """Return what is given for a text if it is one.

    Raises:
        TypeError: It is something else.
        InputError: It holds half of a character.
    """
    if not isinstance(given, str):
        raise TypeError(f"a source is a text, not {type(given).__name__}")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"a source holds half of a character at place {error.start}; decode it as UTF-8") from None
    return given
