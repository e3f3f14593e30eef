"""Regularisation of the defaults: as much as the danger calls for that train is learnt by heart.

There is none where a model sees its pairs but a few times, or has too few parameters for them; there, what holds it
back costs score. A search looks for other recipes, too, but first looks cannot tell: they rank against regularisation
whatever it is worth at the end.
"""

from math import log

from automl.constraints import Constraints
from automl.data.table import TokenTable
from automl.metrics import METRICS, LikelihoodMetric
from automl.passes import FRESH, STALE, first_default, first_passes
from automl.tasks.document import TaskDocument
from search_spaces.dials import Value
from search_spaces.spaces import Space

FEW, MANY = 0.1, 10.0
"""Parameters for each target token of train below which a model cannot learn train by heart, and above which it can.

Around one: models of language keep a few bits a parameter (Morris et al., 2025), and a token has about as many.
"""
HELD_BACK = ("dropout", "augmentation.Varied.shift")
STEPS = 4
"""The share of the usual regularisation is a multiple of 1 / STEPS: a little more time has the same defaults."""


def regularised(
    document: TaskDocument, space: Space, table: TokenTable, *, cores: int = 1, accelerated: bool = False
) -> Space:
    """Return a space whose defaults hold back as much as time and data call for; ranges and what is pinned stay.

    Where likelihood is the objective, they smooth no labels: a model that has learnt to be unsure pays for it there.
    What is fine-tuned keeps the recipe of its bundle. `cores` and `accelerated` are those of `passes.first_passes`.
    """
    if document.pretraining is not None and document.pretraining.from_ is not None:
        return space
    wanted: dict[str, Value] = {}
    if isinstance(METRICS.get(document.metrics[0]), LikelihoodMetric):
        wanted["label_smoothing"] = 0.0
    passes = first_passes(document, space, table, cores=cores, accelerated=accelerated)
    if passes is not None:
        constraints, tokens = Constraints(document.most, table), max(table.said_tokens("train"), 1)
        parameters = constraints.costs({"parameters"}, first_default(space, constraints))["parameters"]
        share = between(passes, FRESH, STALE) * between(parameters / tokens, FEW, MANY)
        share = round(share * STEPS) / STEPS
        wanted |= {dial: round(share * float(space.preferred[dial]), 4) for dial in HELD_BACK}
    return space.preferring(wanted)


def between(value: float, low: float, high: float) -> float:
    """Return how far a value has come from one that counts as 0 to one that counts as 1, by the logarithm."""
    return min(max(log(max(value, low) / low) / log(high / low), 0.0), 1.0)
