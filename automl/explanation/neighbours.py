"""Neighbours: the training examples that a model encodes most like a source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.metrics.edits import edit_distances

if TYPE_CHECKING:
    from automl.inference import Model

COUNT = 3


@dataclass(frozen=True)
class Neighbour:
    """A training example near a source.

    Attributes:
        similarity: Cosine of the means of the vectors that the two sources are encoded as.
        edits: Tokens in which the two sources differ; 0 where train has this very source.
    """

    source: str
    targets: Sequence[str]
    similarity: float
    edits: int


def nearest(
    model: "Model", sources: Sequence[str], train: Mapping[str, Sequence[str]], count: int = COUNT
) -> list[list[Neighbour]]:
    """Return for each source the examples of train that the model encodes most alike, the nearest first."""
    known = list(train)
    similar = _directions(model.gist(sources)) @ _directions(model.gist(known)).T
    places = np.argsort(-similar, axis=1, kind="stable")[:, :count]
    pairs = [(row, int(place)) for row, chosen in enumerate(places) for place in chosen]
    ours, theirs = ([model.source_tokens(text) for text in texts] for texts in _texts(pairs, sources, known))
    found: list[list[Neighbour]] = [[] for _ in sources]
    for (row, place), edits in zip(pairs, edit_distances(ours, theirs).tolist(), strict=True):
        near = Neighbour(known[place], list(train[known[place]]), float(similar[row, place]), edits)
        found[row].append(near)
    return found


def _texts(
    pairs: Sequence[tuple[int, int]], sources: Sequence[str], known: Sequence[str]
) -> tuple[list[str], list[str]]:
    return [sources[row] for row, _ in pairs], [known[place] for _, place in pairs]


def _directions(vectors: Any) -> Any:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
