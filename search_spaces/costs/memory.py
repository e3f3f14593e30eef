"""Memory: an upper bound of what a step of training holds at its peak."""

from search_spaces.costs.operations import loss
from search_spaces.costs.weights import parameters
from search_spaces.costs.work import Extent
from search_spaces.seq2seq import Seq2Seq

BYTES = 4
STATE = 4
"""Parameters, both moments and the average."""
STEP = 4
"""Gradient, its sum over batches, direction and what of the state is new."""
SPARE = 1.2
"""What the backward pass makes beside what is kept for it."""


def step_memory(configuration: Seq2Seq, extent: Extent) -> int:
    """Return the most bytes of a step on batches of an extent: state, batch, and what is kept for the gradient."""
    own = parameters(configuration, extent.source_vocabulary, extent.target_vocabulary)
    batch = 2 * extent.rows * (extent.source + extent.target)
    return round(BYTES * ((STATE + STEP) * own + batch + SPARE * loss(configuration, extent).kept))
