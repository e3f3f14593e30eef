"""Membership: how well rows of train are told from those of valid by what the model gives them."""

import numpy as np
from numpy.typing import NDArray

from automl.models.parameters import Parameters
from automl.segments import Membership
from automl.training.arrays import on_device
from automl.training.evaluation import Evaluator, all_rows, forced_sums
from automl.training.signature import Signature

ROWS = 1000


def membership(valid: Evaluator, signature: Signature, parameters: Parameters) -> Membership | None:
    """Compare the losses of at most 1,000 rows of valid with as many of train, no longer than those of valid.

    Returns:
        Nothing where no row of train is as short.
    """
    bucket, table = valid.bucket, valid.table
    losses = []
    for split in (table.split("train"), valid.arrays):
        lengths = np.diff(split.source_offsets), np.diff(split.target_offsets)
        fitting = np.flatnonzero((lengths[0] <= bucket.source) & (lengths[1] < bucket.target))
        some = split.some(fitting[np.linspace(0, len(fitting) - 1, min(ROWS, len(fitting))).round().astype(int)])
        if not some.rows:
            return None
        place = (on_device(some, table.copies), all_rows(some.rows), bucket)
        sums = forced_sums(valid.programs, signature, parameters, *place)
        loss, tokens = (np.asarray(each)[: some.rows] for each in (sums.loss, sums.tokens))
        losses.append(loss / np.maximum(tokens, 1))
    train, held_out = losses
    share = told(train, held_out)
    return Membership(share, float(train.mean()), float(held_out.mean()), min(len(train), len(held_out)))


def told(train: NDArray[np.floating], valid: NDArray[np.floating]) -> float:
    """Return how often a loss of train is below one of valid, ties as half: the area under the ROC curve."""
    order = np.sort(valid)
    below = np.searchsorted(order, train, side="left")
    until = np.searchsorted(order, train, side="right")
    return float(1 - (below + until).mean() / (2 * len(valid)))
