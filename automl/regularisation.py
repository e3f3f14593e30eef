"""Regularisation of the defaults: as much as the passes over train that there is time for call for.

What holds a model back from fitting its pairs by heart costs score where it sees them only a few times. A search looks
for other recipes, too, but first looks cannot tell: they rank against regularisation whatever it is worth at the end.
"""

from math import log

from automl.constraints import Constraints
from automl.data.table import TokenTable
from automl.metrics import METRICS, LikelihoodMetric
from automl.tasks.document import TaskDocument
from search_spaces.dials import Value
from search_spaces.spaces import Space

FRESH, STALE = 4.0, 40.0
"""Passes up to which data seen again are about as good as new, and after which they teach nothing more.

Muennighoff et al., 2023, sections 5 and 6.
"""
HELD_BACK = ("dropout", "augmentation.Varied.shift")
TRAINED = 0.75
"""Share of the time in which the first trial is trained: the rest is for compiling, scoring and the end."""
SPEED, ACCELERATED = 2e10, 2e11
"""Operations of training a second, of a small model on a processor core and on an accelerator."""


def regularised(document: TaskDocument, space: Space, table: TokenTable, *, accelerated: bool) -> Space:
    """Return a space whose defaults hold back as much as the time calls for; ranges and what is pinned stay.

    Where likelihood is the objective, they smooth no labels: a model that has learnt to be unsure pays for it there.
    """
    wanted: dict[str, Value] = {}
    if isinstance(METRICS.get(document.metrics[0]), LikelihoodMetric):
        wanted["label_smoothing"] = 0.0
    if document.limits.time is not None:
        share = share_of(_passes(document.limits.time, space, table, ACCELERATED if accelerated else SPEED))
        wanted |= {dial: round(share * float(space.preferred[dial]), 3) for dial in HELD_BACK}
    return space.preferring(wanted)


def share_of(passes: float) -> float:
    """Return how much of the usual regularisation so many passes over train call for, from 0 to 1."""
    return min(max(log(max(passes, FRESH) / FRESH) / log(STALE / FRESH), 0.0), 1.0)


def _passes(seconds: float, space: Space, table: TokenTable, speed: float) -> float:
    operations = Constraints({}, table).operations_a_token(space.default())
    return TRAINED * seconds * speed / operations / max(table.said_tokens("train"), 1)
