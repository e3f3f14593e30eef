"""Breakdown: which outputs are wrong, by the length of sources, by how rare their symbols are, and symbol by symbol."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from automl.explanation.predictions import Prediction

LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
FREQUENCIES = (0, 1, 10, 100, 1000)
MOST_SYMBOLS = 15


@dataclass(frozen=True)
class Group:
    """Predictions that have something in common.

    Attributes:
        name: What: such as "8 to 15".
        rows: How many.
        wrong: How many of them are wrong.
        edits: Tokens to be changed in all of them.
        probability: Mean of the probabilities that the model gave to its outputs.
    """

    name: str
    rows: int
    wrong: int
    edits: int
    probability: float

    @property
    def error_rate(self) -> float:
        """Share of rows that are wrong."""
        return self.wrong / self.rows


@dataclass(frozen=True)
class Mistake:
    """A target symbol, how often it is the right one, and what else is found likeliest in its place.

    Attributes:
        instead: What is most often found likeliest where it is not this symbol, and `times` how often.
    """

    symbol: str
    rows: int
    wrong: int
    instead: str
    times: int


@dataclass(frozen=True)
class Breakdown:
    """Where the errors are.

    Attributes:
        by_length: By tokens of the source.
        by_rarity: By how often the rarest symbol of the source occurs in `counted`.
        counted: Where symbols were counted: in train, or in the predictions themselves.
        mistakes: The target symbols that are missed most often, what stands before them being right.
    """

    by_length: Sequence[Group]
    by_rarity: Sequence[Group]
    counted: str
    mistakes: Sequence[Mistake]


def breakdown(predictions: Sequence[Prediction], train: Mapping[str, int] | None = None) -> Breakdown:
    """Return where the errors of predictions with references are.

    Args:
        train: How often each source symbol occurs in the training data, where that is known.
    """
    known = [each for each in predictions if each.right is not None]
    read = [each for each in known if each.source_symbols]
    counts = symbols_of(each.source_symbols for each in read) if train is None else train
    return Breakdown(
        by_length=_groups(read, LENGTHS, lambda each: len(each.source_symbols)),
        by_rarity=_groups(read, FREQUENCIES, lambda each: min(counts.get(s, 0) for s in each.source_symbols)),
        counted="these predictions" if train is None else "train",
        mistakes=_mistakes(known),
    )


def symbols_of(sources: Iterable[Sequence[str]]) -> Counter[str]:
    """Return how often each symbol occurs."""
    return Counter(chain.from_iterable(sources))


def _groups(
    predictions: Sequence[Prediction], edges: Sequence[int], measure: Callable[[Prediction], int]
) -> list[Group]:
    """Return the groups between edges that hold something."""
    members: dict[int, list[Prediction]] = {}
    for each in predictions:
        members.setdefault(max(edge for edge in edges if edge <= measure(each)), []).append(each)
    return [_group(_range(edge, edges), members[edge]) for edge in sorted(members)]


def _range(edge: int, edges: Sequence[int]) -> str:
    after = edges.index(edge) + 1
    if after == len(edges):
        return f"{edge:,} or more"
    last = edges[after] - 1
    return f"{edge:,}" if last == edge else f"{edge:,} to {last:,}"


def _group(name: str, members: Sequence[Prediction]) -> Group:
    return Group(
        name,
        len(members),
        sum(not each.right for each in members),
        sum(each.edits or 0 for each in members),
        sum(each.probability for each in members) / len(members),
    )


def _mistakes(predictions: Sequence[Prediction]) -> list[Mistake]:
    rows: Counter[str] = Counter()
    instead: dict[str, Counter[str]] = {}
    for each in predictions:
        if each.expected is None:
            continue
        rows.update(each.expected.tokens)
        for token, likeliest in zip(each.expected.tokens, each.expected.likeliest, strict=True):
            if token != likeliest:
                instead.setdefault(token, Counter())[likeliest] += 1
    worst = sorted(instead, key=lambda token: (-instead[token].total(), token))[:MOST_SYMBOLS]
    return [Mistake(token, rows[token], instead[token].total(), *instead[token].most_common(1)[0]) for token in worst]
