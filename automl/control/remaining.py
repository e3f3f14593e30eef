"""How many seconds are left: of the wall clock, and of computing shared by all workers, whichever ends first."""

from collections.abc import Iterable
from dataclasses import dataclass

from automl.control.history import Trial
from automl.control.plan import Plan


@dataclass(frozen=True)
class Remaining:
    """Seconds in which segments may train, on each worker; none where there is no limit."""

    total: float | None
    left: float | None


def remaining(
    plan: Plan, workers: int, consumed: float, computed: float, after: float, paid: tuple[float, float] | None = None
) -> Remaining:
    """Return what is left.

    Args:
        plan: Its budget limits the search, its reserve is not for training.
        workers: A limit of device time is shared by so many.
        consumed: Seconds of the wall clock over all runs.
        computed: Seconds of computing over all runs and workers.
        after: Seconds that a segment needs after training, for scores and checkpoint.
        paid: Seconds of the steps that privacy allows, and of those that are charged.
    """
    budget = plan.budget
    limits = [] if paid is None else [paid]
    if budget.time is not None:
        limits.append((budget.time - plan.kept, consumed))
    if budget.device_time is not None:
        limits.append(((budget.device_time - plan.kept_of_computing) / workers, computed / workers))
    if not limits:
        return Remaining(None, None)
    total, spent = min(limits, key=lambda limit: limit[0] - limit[1])
    return Remaining(total, total - spent - after)


def computed_seconds(trials: Iterable[Trial], in_flight: Iterable[float]) -> float:
    """Return the seconds of all committed segments, and of those that run, given by how long they have run."""
    return sum(sum(s.seconds.values()) for trial in trials for s in trial.segments) + sum(in_flight)
