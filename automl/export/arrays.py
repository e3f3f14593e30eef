"""Arrays around an exported program: sources padded into one, tokens out of one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.tokenizers import PAD
from automl.export.runtimes import Spoken

ROWS = 64


def as_array(sources: Sequence[Sequence[int]], length: int | None = None) -> NDArray[np.int32]:
    """Return sources as one array, padded to the longest or to a length."""
    array = np.full((len(sources), length or max(1, *map(len, sources))), PAD, np.int32)
    for row, source in zip(array, sources, strict=True):
        row[: len(source)] = source
    return array


def spoken(tokens: Any, scores: Any) -> Spoken:
    """Return the arrays of a program as lists, without padding."""
    rows = np.asarray(tokens).tolist()
    return Spoken([[token for token in row if token != PAD] for row in rows], np.asarray(scores).tolist())
