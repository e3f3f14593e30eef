"""Sizing: how wide the first default is, by what the budget lets it see.

A model that sees many tokens for each of its parameters has learnt all it can long before the end: a wider one would
have come to a lower loss with the same operations.
"""

from automl.constraints import Constraints
from automl.data.table import TokenTable
from automl.metrics.costs import COSTS
from automl.passes import STALE, first_default, first_passes
from automl.tasks.document import TaskDocument
from search_spaces.dials import parameters
from search_spaces.spaces import WIDE_RATES, Space

BALANCED = 20.0
"""Tokens seen for each parameter of the model that has the lowest loss for its operations (Hoffmann et al., 2022)."""


def sized(
    document: TaskDocument, space: Space, table: TokenTable, *, cores: int = 1, accelerated: bool = False
) -> Space:
    """Return a space whose first default is so many choices wider as bring it nearest to balance; ranges stay.

    It stays as it is where time is no limit; where a pre-training, or what is fine-tuned, has a size already; where
    steps are private, whose noise grows with the number of parameters; and where a cost is an objective or latency is
    limited, which is not known before the first trial.
    `cores` and `accelerated` are those of `passes.first_passes`.
    """
    is_dear = document.latency is not None or not COSTS.keys().isdisjoint(document.metrics)
    if is_dear or document.pretraining is not None or document.privacy is not None:
        return space
    constraints = Constraints(document.most, table)
    while (larger := _wider(space, constraints)) is not None:
        found = [_tokens_a_parameter(document, each, table, cores, accelerated) for each in (space, larger)]
        if found[0] * found[1] < BALANCED**2:
            break
        space = larger
    return space


def _wider(space: Space, constraints: Constraints) -> Space | None:
    """Return the space with a default that is one choice wider, if there is one within the limits.

    There is none where its rate is pinned, which is too high for it.
    """
    default = space.default()
    wider = space.wider(default)
    if wider is None or first_default(space, constraints) != default or not constraints.admit(wider):
        return None
    own = parameters(default)
    changed = {path: value for path, value in parameters(wider).items() if value != own[path]}
    if any(path in own and path not in changed for path in WIDE_RATES):
        return None
    return space.preferring(changed)


def _tokens_a_parameter(
    document: TaskDocument, space: Space, table: TokenTable, cores: int, accelerated: bool
) -> float:
    """Return how many target tokens the default sees for each of its parameters; those of stale passes do not count."""
    constraints = Constraints(document.most, table)
    passes = first_passes(document, space, table, cores=cores, accelerated=accelerated) or 0.0
    seen = min(passes, STALE) * table.said_tokens("train")
    return seen / constraints.costs({"parameters"}, space.default())["parameters"]
