"""Which dials mattered: PED-ANOVA over the ranking of the trials (Watanabe et al., 2023)."""

from collections.abc import Callable, Sequence

from automl.control.ranking import Tried
from automl.control.sampler import Rows, study_of
from search_spaces.spaces import Space
from storage.studies import quiet

LEAST_TRIALS = 8
TOP = 0.25
"""A dial matters as far as its values among this share of the trials, the best, differ from those of all."""


def importances(space: Space, tried: Sequence[Tried]) -> dict[str, float]:
    """Return the share of each free dial, the largest first; nothing while too few trials are measured.

    The ranking is that of the proposals: a higher rung, then the objective there. A dial that the best trials do not
    differ in from the others has no share.
    """
    if sum(t.score is not None for t in tried) < LEAST_TRIALS:
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with quiet():
        study = study_of(Rows(space), tried, seed=0)
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=TOP))
    if len(set(shares.values())) <= 1:  # equal shares are Optuna's way to say that it sees no difference
        return {}
    return {path: float(share) for path, share in shares.items() if share > 0}


def importances_if_known(space: Space, tried: Sequence[Tried], warn: Callable[[str], None]) -> dict[str, float]:
    """Return the same; a search does not lose its winner where it cannot be told."""
    try:
        return importances(space, tried)
    except Exception as error:
        warn(f"which dials mattered is not known ({type(error).__name__})")
        return {}
