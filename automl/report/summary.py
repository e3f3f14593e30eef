"""What was learnt in a few lines, for the end of a search on a terminal, and as plain values."""

from collections.abc import Iterator
from typing import Any

from automl.report.findings import Findings, Measurement

MOST_DIALS, MOST_STEPS, MOST_FAILURES = 5, 6, 3


def improvements(found: Findings) -> list[Measurement]:
    """Return the measurements that were the best so far."""
    kept: list[Measurement] = []
    for measurement in found.measurements:
        if measurement.best is not None and (not kept or measurement.best != kept[-1].best):
            kept.append(measurement)
    return kept


def learnt(found: Findings) -> dict[str, Any]:
    """Return the summary as plain JSON values."""
    whole = found.to_mapping()
    best = [{"seconds": round(m.seconds, 3), "trial": m.trial, "score": m.best} for m in improvements(found)]
    return {"best_so_far": best, **{key: whole[key] for key in ("importance", "families", "failures", "padding")}}


def lines(found: Findings) -> Iterator[str]:
    """Yield the summary for people to read."""
    best = improvements(found)
    if best:
        chosen = best if len(best) <= MOST_STEPS else [*best[:: -(-len(best) // (MOST_STEPS - 1))], best[-1]]
        yield "best so far: " + ", ".join(f"{m.best:.4g} at {m.seconds:.0f} s (trial {m.trial})" for m in chosen)
    reached = [family for family in found.families if family.score is not None]
    if reached:
        told = (f"{f.name} {f.score:.4g} ({f.trials} trial{'s' * (f.trials > 1)}, {f.seconds:.0f} s)" for f in reached)
        yield "families: " + ", ".join(told)
    if found.importance:
        dials = list(found.importance.items())[:MOST_DIALS]
        yield "dials that mattered: " + ", ".join(f"{path} {share:.0%}" for path, share in dials)
    if found.padding is not None:
        yield f"padding: {found.padding:.2f} times the work that was needed"
    for failure in found.failures[:MOST_FAILURES]:
        yield f"failed: trial {failure.trial} ({failure.family}): {failure.reason}, {failure.message}"
    if len(found.failures) > MOST_FAILURES:
        yield f"failed: {len(found.failures) - MOST_FAILURES} more; automl report shows all"
