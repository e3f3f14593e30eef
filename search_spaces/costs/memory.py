"""Memory: an upper bound of what a step of training holds at its peak."""

from search_spaces.costs.operations import loss
from search_spaces.costs.weights import parameters, trained
from search_spaces.costs.work import Extent
from search_spaces.seq2seq import Seq2Seq

BYTES = 4
STATE = 4
"""Parameters, both moments and the average."""
STEP = 4
"""Gradient, its sum over batches, direction and what of the state is new."""
ADAPTED_WHOLE, ADAPTED_FACTORS = 5, 7
"""Of LoRA: the matrices before, with what is added, their gradient, and the average before and after; of the factors
parameters, both moments, gradient, its sum, direction and what is new."""
SPARE = 1.2
"""What the backward pass makes beside what is kept for it."""


def step_memory(configuration: Seq2Seq, extent: Extent) -> int:
    """Return the most bytes of a step on batches of an extent: state, batch, and what is kept for the gradient."""
    vocabularies = extent.source_vocabulary, extent.target_vocabulary
    own, moved = parameters(configuration, *vocabularies), trained(configuration, *vocabularies)
    is_adapted = configuration.tuned == "lora"
    held = ADAPTED_WHOLE * own + ADAPTED_FACTORS * moved if is_adapted else (STATE + STEP) * own
    batch = 2 * extent.rows * (extent.source + extent.target)
    return round(BYTES * (held + batch + SPARE * loss(configuration, extent).kept))
