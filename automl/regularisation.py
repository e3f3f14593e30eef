"""Regularisation of the defaults: as much as the danger calls for that train is learnt by heart.

There is none where a model sees its pairs but a few times, or has too few parameters for them; there, what holds it
back costs score. A search looks for other recipes, too, but first looks cannot tell: they rank against regularisation
whatever it is worth at the end.
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
FEW, MANY = 0.1, 10.0
"""Parameters for each target token of train below which a model cannot learn train by heart, and above which it can.

Around one: models of language keep a few bits a parameter (Morris et al., 2025), and a token has about as many.
"""
HELD_BACK = ("dropout", "augmentation.Varied.shift")
TRAINED = 0.75
"""Share of the time in which the first trial is trained: the rest is for compiling, scoring and the end."""
SPEED, ACCELERATED = 3e10, 3e11
"""Operations of training a second, of a small model on a processor core and on an accelerator."""


def regularised(document: TaskDocument, space: Space, table: TokenTable, *, accelerated: bool) -> Space:
    """Return a space whose defaults hold back as much as time and data call for; ranges and what is pinned stay.

    Where likelihood is the objective, they smooth no labels: a model that has learnt to be unsure pays for it there.
    """
    wanted: dict[str, Value] = {}
    if isinstance(METRICS.get(document.metrics[0]), LikelihoodMetric):
        wanted["label_smoothing"] = 0.0
    if document.limits.time is not None:
        passes = _passes(document.limits.time, space, table, ACCELERATED if accelerated else SPEED)
        share = between(passes, FRESH, STALE) * between(_parameters_a_token(space, table), FEW, MANY)
        wanted |= {dial: round(share * float(space.preferred[dial]), 3) for dial in HELD_BACK}
    return space.preferring(wanted)


def between(value: float, low: float, high: float) -> float:
    """Return how far a value has come from one that counts as 0 to one that counts as 1, by the logarithm."""
    return min(max(log(max(value, low) / low) / log(high / low), 0.0), 1.0)


def _passes(seconds: float, space: Space, table: TokenTable, speed: float) -> float:
    operations = Constraints({}, table).operations_a_token(space.default())
    return TRAINED * seconds * speed / operations / max(table.said_tokens("train"), 1)


def _parameters_a_token(space: Space, table: TokenTable) -> float:
    (parameters,) = Constraints({}, table).costs({"parameters"}, space.default()).values()
    return parameters / max(table.said_tokens("train"), 1)
