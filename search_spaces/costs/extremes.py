"""Extremes: how small and how large the models of a space are."""

from collections.abc import Callable

from search_spaces.costs.weights import parameters
from search_spaces.dials import Choice, OneOf, Value
from search_spaces.dials import parameters as dials_of
from search_spaces.seq2seq import READING, RECIPE, Seq2Seq
from search_spaces.spaces import Space

ROUNDS = 2
"""What a kind costs depends on the dials below it, so all are turned again."""


def fewest_and_most_parameters(space: Space, source_vocabulary: int, target_vocabulary: int) -> tuple[int, int]:
    """Return how many parameters the smallest and the largest model have, for vocabularies of some sizes."""

    def count(configuration: Seq2Seq) -> int:
        return parameters(configuration, source_vocabulary, target_vocabulary)

    families = space.defaults()
    least = min(-_highest(space, family, lambda configuration: -count(configuration)) for family in families)
    return least, max(_highest(space, family, count) for family in families)


def _highest(space: Space, family: Seq2Seq, count: Callable[[Seq2Seq], int]) -> int:
    """Turn one dial after the other as high as it goes, the families staying as they are; return the count there."""
    values = dials_of(family)
    for path in _of_models(space) * ROUNDS:
        if path in dials_of(space.configured(values)):
            turned = {choice: count(space.configured({**values, path: choice})) for choice in _choices(space, path)}
            values[path] = max(turned, key=turned.__getitem__)
    return count(space.configured(values))


def _of_models(space: Space) -> list[str]:
    """Return the dials of a model below its families, kinds before what is below them."""
    left_out = {*RECIPE, *READING}
    paths = [path for path in space.ranges if path.split(".")[0] not in left_out and path not in {"encoder", "decoder"}]
    return sorted(paths, key=lambda path: path.count("."))


def _choices(space: Space, path: str) -> tuple[Value, ...]:
    dial = space.ranges[path]
    if isinstance(dial, Choice):
        return dial.values
    return dial.names() if isinstance(dial, OneOf) else (space.preferred[path],)
