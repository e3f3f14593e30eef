"""The figures of a report, as Plotly takes them: plain data and layout, drawn in the reader's browser."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from automl.report.findings import Findings, Measurement

Figure = Mapping[str, Any]

COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#be185d", "#57534e", "#1e3a8a")
MOST_DIALS = 15


def figures(found: Findings) -> dict[str, Figure]:
    """Return the figures that there is something to draw for, by title."""
    drawn: dict[str, Figure] = {}
    if any(m.score is not None for m in found.measurements):
        drawn["Best score so far"] = best_so_far(found)
    if found.measurements:
        drawn["Learning curves"] = learning_curves(found)
    if found.criteria.others and found.measurements:
        drawn["The Pareto front"] = front(found)
    if found.importance:
        drawn["Which dials mattered"] = importance(found)
    if any(family.score is not None for family in found.families):
        drawn["What each family reached"] = families(found)
    return drawn


def best_so_far(found: Findings) -> Figure:
    """Return the best score over time, and every measurement beside it."""
    measured = [m for m in found.measurements if m.score is not None]
    seconds = [m.seconds for m in measured]
    every = {
        "type": "scatter",
        "mode": "markers",
        "name": "a measurement",
        "x": seconds,
        "y": [m.score for m in measured],
        "text": [_label(m) for m in measured],
        "marker": {"size": 6, "color": "#94a3b8"},
    }
    best = {
        "type": "scatter",
        "mode": "lines",
        "name": "the best so far",
        "x": seconds,
        "y": [m.best for m in measured],
        "line": {"shape": "hv", "width": 3, "color": COLOURS[0]},
    }
    return {
        "data": [every, best],
        "layout": layout("seconds since the search began", f"{found.criteria.metric.name} on valid"),
    }


def front(found: Findings) -> Figure:
    """Return the first two objectives of each trial at its best, those on the front marked."""
    first, second = (objective.name for objective in found.criteria.objectives[:2])
    data = []
    for name, on_front, colour in (("on the front", True, COLOURS[0]), ("behind it", False, "#94a3b8")):
        rows = [r for r in found.leaderboard if r.front == on_front and first in r.scores and second in r.scores]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [row.scores[second] for row in rows],
                "y": [row.scores[first] for row in rows],
                "text": [f"trial {row.trial}: {row.encoder} → {row.decoder}" for row in rows],
                "marker": {"size": 9 if on_front else 6, "color": colour},
            }
        )
    return {"data": data, "layout": layout(second, f"{first} on valid")}


def learning_curves(found: Findings) -> Figure:
    """Return the loss of each trial over the tokens it has seen, a colour for each family."""
    names = {row.trial: f"{row.encoder} → {row.decoder}" for row in found.leaderboard}
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(dict.fromkeys(names.values()))}
    curves: dict[int, list[Measurement]] = defaultdict(list)
    for measurement in found.measurements:
        curves[measurement.trial].append(measurement)
    shown: set[str] = set()
    data = []
    for trial, points in curves.items():
        family = names[trial]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": family,
                "legendgroup": family,
                "showlegend": family not in shown,
                "x": [m.tokens for m in points],
                "y": [m.loss for m in points],
                "text": [_label(m) for m in points],
                "line": {"color": colours[family], "width": 3 if trial == found.leaderboard[0].trial else 1.5},
                "marker": {"size": 5},
            }
        )
        shown.add(family)
    plain = layout("target tokens", "loss on valid, nats a token")
    return {"data": data, "layout": {**plain, "xaxis": {**plain["xaxis"], "type": "log"}}}


def importance(found: Findings) -> Figure:
    """Return the share of each dial, the largest on top."""
    largest = list(found.importance.items())[:MOST_DIALS][::-1]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [share for _, share in largest],
        "y": [path for path, _ in largest],
        "marker": {"color": COLOURS[0]},
    }
    plain = layout("share (PED-ANOVA)", "", height=120 + 24 * len(largest))
    return {"data": [bars], "layout": {**plain, "yaxis": {"automargin": True}, "xaxis": {"tickformat": ".0%"}}}


def families(found: Findings) -> Figure:
    """Return the best score of each family that was measured."""
    measured = [family for family in found.families if family.score is not None]
    bars = {
        "type": "bar",
        "x": [family.name for family in measured],
        "y": [family.score for family in measured],
        "text": [f"{family.trials} trials, {family.seconds:,.0f} s" for family in measured],
        "marker": {"color": [COLOURS[i % len(COLOURS)] for i in range(len(measured))]},
    }
    return {"data": [bars], "layout": layout("", f"best {found.criteria.metric.name} on valid")}


def _label(measurement: Measurement) -> str:
    return f"trial {measurement.trial} at {measurement.tokens:,} tokens"


def layout(x: str, y: str, height: int = 380) -> dict[str, Any]:
    """Return what all figures look like, with the names of their axes."""
    axis = {"gridcolor": "#e2e8f0", "zeroline": False, "automargin": True}
    return {
        "height": height,
        "margin": {"l": 70, "r": 20, "t": 20, "b": 60},
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "plot_bgcolor": "white",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "y": 1.12},
        "xaxis": {**axis, "title": {"text": x}},
        "yaxis": {**axis, "title": {"text": y}},
    }
