"""Finishes: what may be made of the best trials at the end of a search, and the time that is kept for it."""

from dataclasses import replace

from automl.budget import Budget, Finish
from automl.control.finishing import is_searched
from automl.metrics.costs import objective
from automl.tasks.document import TaskDocument

SHARE = 0.2
"""Share of the time that is kept to make an ensemble, or to train a model on what the best trials say."""
TEACHER = 0.1
"""Share that is kept beside it to find out which of them say that together."""


def finish_of(document: TaskDocument) -> Finish:
    """Return what is made of the best trials; the best alone where what is wished for cannot be."""
    return "single" if why_single(document) else document.limits.finish


def why_single(document: TaskDocument) -> str | None:
    """Say in one sentence why what is wished for cannot be, and the best trial is alone; nothing where it can."""
    wish = document.limits.finish
    alone = f'finish = "{wish}" is left out'
    if wish == "single":
        return None
    if len(document.metrics) > 1:
        return f"{alone}: it is for one objective, and there are {len(document.metrics)}"
    if wish == "ensemble" and (document.latency is not None or document.most.keys() - {"parameters"}):
        return f'{alone}: but for parameters, limits are of single models; "distill" makes one'
    if wish == "distill" and document.kind == "object_detection":
        return f"{alone}: boxes are learnt in another order each time, and a teacher says them in one"
    return None


def kept_for(document: TaskDocument) -> float | None:
    """Return the seconds that are kept for the end, more than usual where the winner may have to decode by a beam."""
    time = document.limits.time
    if time is None:
        return None
    match finish_of(document):
        case "ensemble":
            return SHARE * time
        case "distill":
            return (SHARE + TEACHER) * time
        case "single":
            return min(0.1 * time, 120.0) if is_searched(objective(document.metrics[0])) else None


def searching(document: TaskDocument, pretraining: float = 0.0) -> Budget:
    """Return the budget of the trials: of computing, a model that is distilled has its own share.

    `pretraining` is what that has had of it, in seconds.
    """
    limits = document.limits
    if limits.device_time is None:
        return limits
    share = 1 - SHARE if finish_of(document) == "distill" else 1.0
    return replace(limits, device_time=max(share * limits.device_time - pretraining, 0.0))
