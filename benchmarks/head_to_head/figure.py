"""The figure of a comparison: test error over time, a panel a set, a line a system."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

COLOURS = ("#2563eb", "#d97706", "#64748b", "#059669")
POINTS = 400
Curve = Sequence[tuple[float, float, float | None]]
"""Seconds, and then the best on valid and its score on test; nothing where that is not known."""


def at(curve: Curve, seconds: float) -> float | None:
    """Return the test score of what was best on valid by then."""
    tests = [test for moment, _, test in curve if moment <= seconds and test is not None]
    return tests[-1] if tests else None


def mean_curve(curves: Iterable[Curve], moments: Sequence[float]) -> list[float | None]:
    """Return the mean test score of several seeds at each moment, from when all of them have one."""
    several = list(curves)
    rows = ([test for curve in several if (test := at(curve, moment)) is not None] for moment in moments)
    return [fmean(row) if row and len(row) == len(several) else None for row in rows]


def draw(path: Path, curves: Mapping[tuple[str, str], Sequence[Curve]], sets: Sequence[str], minutes: float) -> None:
    """Write a figure of the curves of (set, system), whose names end in what kind of file it is."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * max(len(sets), 1), 3.4), layout="constrained")
    panels = figure.subplots(1, max(len(sets), 1), squeeze=False)[0]
    moments = [60 * minutes * place / POINTS for place in range(1, POINTS + 1)]
    systems = list(dict.fromkeys(system for _, system in curves))
    for panel, name in zip(panels, sets, strict=False):
        for system, colour in zip(systems, COLOURS, strict=False):
            found: list[Any] = mean_curve(curves.get((name, system), ()), moments)
            heights = [float("nan") if score is None else 100 * score for score in found]
            panel.step(moments, heights, where="post", color=colour, label=system, linewidth=1.6)
        panel.set(title=name.rpartition("/")[2], xlabel="seconds", xscale="log", yscale="symlog", ylim=(0, 100))
        panel.set_xlim(10, 60 * minutes)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("test error, %")
    panels[-1].legend(fontsize="small", frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
