"""What earlier searches of the same database found on data that looks alike: a place for the next search to begin."""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from math import log, sqrt
from typing import Any

from search_spaces.dials import Choice, OneOf, SpaceError, Uniform, Value, from_dict, parameters
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space
from storage.searches import SearchRow

MOST = 3
"""So many searches give their best."""
FARTHEST = 3.0
"""Data that differs more, in factors of 2, does not look alike."""


@dataclass(frozen=True)
class Profile:
    """What data looks like: pairs in train, mean lengths in tokens and sizes of the vocabularies."""

    pairs: float
    source_length: float
    target_length: float
    source_vocabulary: float
    target_vocabulary: float

    def distance(self, other: "Profile") -> float:
        """Return how far apart two are: the length of the vector of factors of 2 between them."""
        return sqrt(sum(log(a / b, 2) ** 2 for a, b in zip(astuple(self), astuple(other), strict=True)))


def best_of_earlier(searches: Iterable[SearchRow], new: SearchRow, own: Profile, space: Space) -> list[Seq2Seq]:
    """Return what was best in other searches of the same account and kind of task, of the data most alike first.

    Configurations outside of the space, and those of another version, are left out, as is whatever a private search
    found: its promise holds for its own winner. Searches of the command line are nobody's, and learn of each other.
    """
    found: list[tuple[float, Seq2Seq]] = []
    for row in searches:
        summary = row.summary or {}
        if row.name == new.name or row.account_id != new.account_id or row.document.get("privacy"):
            continue
        if row.document.get("kind") != new.document["kind"] or not summary.get("best") or "data" not in summary:
            continue
        configuration = _configuration(summary["best"]["configuration"], space)
        distance = own.distance(Profile(**summary["data"]))
        if configuration is not None and distance <= FARTHEST:
            found.append((distance, configuration))
    nearest = sorted(found, key=lambda entry: entry[0])
    return list(dict.fromkeys(configuration for _, configuration in nearest))[:MOST]


def _configuration(values: Mapping[str, Any], space: Space) -> Seq2Seq | None:
    try:
        configuration = from_dict(Seq2Seq, values)
    except SpaceError:
        return None
    inside = all(_allows(space, path, value) for path, value in parameters(configuration).items())
    return configuration if inside else None


def _allows(space: Space, path: str, value: Value) -> bool:
    match space.ranges.get(path):
        case Choice(values):
            return value in values
        case Uniform(low, high):
            return isinstance(value, int | float) and low <= value <= high
        case OneOf() as dial:
            return value in dial.names()
        case None:
            return False
