"""One HTML page with everything in it; whatever comes from the data is text there, never markup."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from automl.explanation.breakdown import Breakdown, Group
from automl.explanation.calibration import Calibration
from automl.explanation.explanation import Explanation
from automl.explanation.neighbours import Neighbour
from automl.explanation.predictions import Prediction
from automl.report.drawing import described, drawing
from automl.report.figures import COLOURS, layout
from automl.report.page import document, table

STYLE = """
table.map{width:auto;border-collapse:separate;border-spacing:1px}
table.map th,table.map td{border:0;padding:2px 6px;text-align:center;min-width:22px}
table.map th.target{text-align:right}table.map td.number{color:var(--soft);padding-right:12px}
table.map td.copied{outline:2px solid #d97706;outline-offset:-2px}
.said{margin:2px 0 8px}.right{color:var(--right)}.wrong{color:var(--wrong)}bdi{white-space:pre}
"""
INVISIBLE = {" ": "␣", "\t": "⇥", "\n": "⏎", "\r": "␍", "": "∅"}
UNKNOWN = ' class="wrong" title="no token of this model"'
ALL = 200
"""So many predictions are listed."""


def page(explanation: Explanation) -> str:
    """Return the explanation as HTML, with Plotly in it where there is something to plot."""
    found = explanation.labelled
    drawn: dict[str, Any] = {}
    if found is not None:
        named = (("whole outputs", found.outputs), ("tokens", found.tokens))
        drawn = {f"Reliability of {name}": reliability(each) for name, each in named if each is not None}
    body = [f"<h1>{escape(explanation.name)}</h1><p>Why it says what it says.</p>", _maps(explanation)]
    if found is not None:
        body.append(_calibrations(found.outputs, found.tokens))
    tail = [_errors(found.errors)] if found is not None else []
    tail += [_all(explanation.predictions), _dials(explanation), _architecture(explanation)]
    footer = "Weights over the source are those of the last layer, the mean over heads; each row sums to 1."
    return document(f"{explanation.name}, explained", ("".join(body), "".join(tail)), drawn, footer, STYLE)


def symbol(token: str) -> str:
    """Return a token as it can be seen."""
    return INVISIBLE.get(token) or "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in token)


def reliability(found: Calibration) -> Mapping[str, Any]:
    """Return the reliability diagram: accuracy over confidence, with the line where they would be the same."""
    bars = {
        "type": "bar",
        "name": "accuracy",
        "x": [(each.low + each.high) / 2 for each in found.bins],
        "y": [each.accuracy for each in found.bins],
        "width": [each.high - each.low for each in found.bins],
        "text": [f"{each.count:,}" for each in found.bins],
        "marker": {"color": COLOURS[0], "line": {"color": "#fff", "width": 1}},
    }
    means = {
        "type": "scatter",
        "mode": "markers",
        "name": "mean confidence",
        "x": [each.confidence for each in found.bins],
        "y": [each.accuracy for each in found.bins],
        "marker": {"color": COLOURS[1], "size": 8},
    }
    line = {"color": "#64748b", "dash": "dash"}
    ideal = {"type": "scatter", "mode": "lines", "name": "as right as sure", "x": [0, 1], "y": [0, 1], "line": line}
    plain = layout("confidence", "share that is right")
    axes = {"xaxis": {**plain["xaxis"], "range": [0, 1]}, "yaxis": {**plain["yaxis"], "range": [0, 1.02]}}
    return {"data": [bars, means, ideal], "layout": {**plain, **axes}}


def _maps(explanation: Explanation) -> str:
    if not explanation.shown:
        return ""
    parts = []
    for index, each in enumerate(explanation.shown):
        near = explanation.neighbours[index] if index < len(explanation.neighbours) else ()
        parts.append(f"<section>{_said(each)}{heat_map(each)}{_near(near)}</section>")
    return f"<h2>Where it looked</h2>{''.join(parts)}"


def _said(each: Prediction) -> str:
    verdict = (
        "" if each.right is None else ' <b class="right">right</b>' if each.right else ' <b class="wrong">wrong</b>'
    )
    expected = "" if each.right is not False else f", expected {_text((each.references or [''])[0])}"
    return (
        f'<p class="said">{_text(each.source)} → <b>{_text(each.output)}</b>{verdict}{expected}; '
        f"probability {each.probability:.3g}</p>"
    )


def heat_map(each: Prediction) -> str:
    """Return a table: a row for each token that was said, how sure the model was, and a cell for each source token."""
    head = "".join(
        f"<th{'' if token == label else UNKNOWN}>{_symbol(label)}</th>"
        for token, label in zip(each.source_tokens, each.labels, strict=True)
    )
    copying = any(share > 0 for share in each.copied)
    rows = []
    for place, token in enumerate(each.output_tokens):
        weights = (each.weights or [])[place]
        cells = "".join(
            f'<td{_copied(copying, each, place, index)} style="background:rgba(37,99,235,{weight:.3f})" '
            f'title="{weight:.6f}"></td>'
            for index, weight in enumerate(weights)
        )
        share = f'<td class="number">{each.copied[place]:.0%}</td>' if copying else ""
        sure = f'<td class="number">{each.confidence[place]:.1%}</td>'
        rows.append(f'<tr><th class="target">{_symbol(token)}</th>{sure}{share}{cells}</tr>')
    heads = '<th></th><th class="number">sure</th>' + ('<th class="number">copied</th>' if copying else "")
    return f'<table class="map"><thead><tr>{heads}{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _copied(copying: bool, each: Prediction, place: int, index: int) -> str:
    """Mark the source tokens that a token was mostly copied from."""
    same = copying and each.copied[place] > 0.5 and each.source_tokens[index] == each.output_tokens[place]
    return ' class="copied"' if same else ""


def _near(near: Sequence[Neighbour]) -> str:
    if not near:
        return ""
    rows = [(n.source, " | ".join(n.targets), f"{n.similarity:.4f}", str(n.edits)) for n in near]
    return "<h3>Nearest in train</h3>" + table(("source", "target", "similarity", "edits"), rows)


def _calibrations(outputs: Calibration | None, tokens: Calibration) -> str:
    named = (("whole outputs", outputs), ("tokens", tokens))
    said = [
        f"<div>{name}, expected calibration error<b>{found.error:.4f}</b></div><div>judged<b>{found.count:,}</b></div>"
        for name, found in named
        if found is not None
    ]
    return f'<h2>As sure as it is right?</h2><div class="figures">{"".join(said)}</div>'


def _errors(found: Breakdown) -> str:
    parts = [
        ("Errors by length of the source, in tokens", _groups("tokens", found.by_length)),
        (
            f"Errors by how often the rarest source symbol occurs in {found.counted}",
            _groups("occurrences", found.by_rarity),
        ),
        (
            "Target symbols that are missed most",
            table(
                ("symbol", "expected", "missed", "share", "most often instead", "times"),
                [
                    (
                        symbol(m.symbol),
                        f"{m.rows:,}",
                        f"{m.wrong:,}",
                        f"{m.wrong / m.rows:.1%}",
                        symbol(m.instead),
                        f"{m.times:,}",
                    )
                    for m in found.mistakes
                ],
            ),
        ),
    ]
    return "".join(f"<h2>{escape(title)}</h2><section>{part}</section>" for title, part in parts)


def _groups(name: str, groups: Sequence[Group]) -> str:
    heads = (name, "rows", "wrong", "error rate", "edits", "mean probability")
    rows = [
        (g.name, f"{g.rows:,}", f"{g.wrong:,}", f"{g.error_rate:.1%}", f"{g.edits:,}", f"{g.probability:.3f}")
        for g in groups
    ]
    return table(heads, rows)


def _all(predictions: Sequence[Prediction]) -> str:
    rows = [
        (
            each.source,
            each.output,
            f"{each.probability:.4f}",
            f"{min(each.confidence):.4f}",
            "" if each.right is None else "right" if each.right else "wrong",
        )
        for each in predictions[:ALL]
    ]
    listed = table(("source", "output", "probability", "least sure token", ""), rows)
    title = f"{len(predictions):,} predictions" + (f", the first {ALL}" if len(predictions) > ALL else "")
    return f"<h2>Predictions</h2><section><details><summary>{title}</summary>{listed}</details></section>"


def _architecture(explanation: Explanation) -> str:
    dials = escape(described(explanation.configuration))
    return (
        f"<h2>The architecture</h2><section>{drawing(explanation.configuration)}"
        f"<details><summary>Every dial</summary><p>{dials}</p></details></section>"
    )


def _dials(explanation: Explanation) -> str:
    if not explanation.importance:
        return ""
    listed = table(("dial", "share"), [(path, f"{share:.1%}") for path, share in explanation.importance.items()])
    said = "How much the values of each dial among the best quarter of the trials differ from those of all (PED-ANOVA)."
    return f"<h2>What the dials mattered</h2><section><p>{said}</p>{listed}</section>"


def _symbol(token: str) -> str:
    return f"<bdi>{escape(symbol(token))}</bdi>"


def _text(text: str) -> str:
    return f"<bdi>{escape(text)}</bdi>"
