"""Rung 0: the tokens of a first look, by which all other rungs are counted."""

from collections.abc import Iterable, Mapping

from automl.control.history import Trial
from automl.control.plan import Plan
from automl.control.scheduler import first_look

OUTGROWN = 4.0
"""A rung 0 that a first look would go so many times beyond is too low: what stands there knows next to nothing."""


def measured(trials: Mapping[int, Trial]) -> int | None:
    """Return the tokens of the first segment of the first trial that did not fail; nothing where there is none."""
    first = next((t for t in trials.values() if t.row.state != "FAILED"), None)
    return first.segments[0].tokens if first is not None and first.segments else None


def outgrown(rung_tokens: int | None, trials: Iterable[Trial], plan: Plan, total: float | None) -> int | None:
    """Return rung 0 anew where a search has so much more time, or its first look was cut so short, that it is too low.

    Args:
        total: Seconds in which segments may train; none without a limit.
    """
    first = next((t for t in trials if t.segments), None)
    if first is None or rung_tokens is None or total is None or plan.repetition is not None or plan.private:
        return None
    latest = first.segments[-1]
    before = first.segments[-2].tokens if len(first.segments) > 1 else 0
    speed = (latest.tokens - before) / max(latest.seconds.get("training", 0.0), 1e-3)
    looks = int(speed * first_look(total))
    return looks if looks >= OUTGROWN * rung_tokens else None
