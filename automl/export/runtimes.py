"""Runtimes: what every exported form has in common, and what it is compared by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from automl.bundle import Bundle
from search_spaces.seq2seq import Seq2Seq


class Spoken(NamedTuple):
    """What a runtime made of sources: target tokens of each, and their log-probability.

    Where it tells more, `told` holds for each source the fields of `Said`.
    """

    tokens: list[list[int]]
    scores: list[float]
    told: Sequence[tuple[Any, ...]] = ()


Runtime = Callable[[Sequence[Sequence[int]]], Spoken]
"""Decodes sources, given as tokens, greedily."""


@dataclass(frozen=True)
class Form:
    """An exported form.

    Attributes:
        packages: What has to be installed to write and to run it; what does not name `jax` runs without it.
        refusal: Says why a model, given as the configuration of each of its members, cannot have this form, or nothing.
        write: Writes a model into an empty folder.
        open: Returns the runtime of such a folder, which needs nothing else.
        agreement: Least share of sources whose tokens are those of the model itself.
        tolerance: Largest difference of log-probabilities where the tokens are the same.
        grows: Whether targets of sources that are longer than all of train may be longer too, as the model's may.
    """

    packages: tuple[str, ...]
    refusal: Callable[[Sequence[Seq2Seq]], str | None]
    write: Callable[[Bundle, Path], None]
    open: Callable[[Path], Runtime]
    agreement: float = 1.0
    tolerance: float = 1e-3
    grows: bool = False


def in_batches(sources: Sequence[Sequence[int]], run: Callable[[list[list[int]]], Spoken], rows: int) -> Spoken:
    """Run sources in batches of like lengths; what they say comes in the order of the sources."""
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    tokens: list[list[int]] = [[] for _ in sources]
    scores = [0.0] * len(sources)
    for start in range(0, len(order), rows):
        members = order[start : start + rows]
        spoken = run([list(sources[index]) for index in members])
        for place, index in enumerate(members):
            tokens[index], scores[index] = spoken.tokens[place], spoken.scores[place]
    return Spoken(tokens, scores)
