"""One HTML page with everything in it: it opens without a network, from any folder, for years."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from automl.report.drawing import described, drawing
from automl.report.figures import figures
from automl.report.findings import Findings
from search_spaces.dials import from_dict
from search_spaces.seq2seq import Seq2Seq

STYLE = """
:root{--ink:#0f172a;--soft:#475569;--paper:#f8fafc;--card:#fff;--line:#e2e8f0;--mark:#eff6ff;--accent:#1d4ed8;--right:#047857;--wrong:#b91c1c;
--edge:#94a3b8;--tokens:#f1f5f9;--embedding:#fef3c7;--layer:#dbeafe;--output:#dcfce7}
@media (prefers-color-scheme:dark){:root{--ink:#e2e8f0;--soft:#a3b1c6;--paper:#0b1220;--card:#131c2e;--line:#334155;
--mark:#1e2a44;--accent:#93c5fd;--right:#6ee7b7;--wrong:#fca5a5;--edge:#a3b1c6;--tokens:#1e293b;--embedding:#4a3a0c;--layer:#1e3a6b;
--output:#14432a}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0}
main{max-width:1060px;margin:0 auto;padding:24px}a{color:var(--accent)}
h1{margin:0 0 4px;overflow-wrap:anywhere}h2{margin:36px 0 8px;font-size:19px}
section,figure{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:16px;margin:0}
section,figure{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:4px 10px;border-bottom:1px solid var(--line);white-space:nowrap}
td.number,th.number{text-align:right}td.long{white-space:normal}tr.winner{font-weight:600;background:var(--mark)}
.figures{display:flex;gap:14px;flex-wrap:wrap;margin-top:14px}
.figures div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px 16px}
.figures b{display:block;font-size:20px}
.architecture{max-width:720px;width:100%;display:block;margin:auto}
.architecture rect{stroke:var(--edge);fill:var(--card)}
.architecture rect.tokens{fill:var(--tokens);stroke-dasharray:4 3}.architecture rect.embedding{fill:var(--embedding)}
.architecture rect.layer{fill:var(--layer)}.architecture rect.output{fill:var(--output)}
.architecture text{text-anchor:middle;font-size:13px;fill:var(--ink)}
.architecture text.detail{font-size:11px;fill:var(--soft)}
.architecture .line{stroke:var(--edge);fill:none;stroke-width:1.5}.architecture .tip{fill:var(--edge)}
details{margin-top:10px}summary{cursor:pointer}footer{color:var(--soft);margin:32px 0}
"""
COLOURED = """
function coloured(layout) {
  const style = getComputedStyle(document.documentElement), line = style.getPropertyValue("--line");
  for (const name of ["xaxis", "yaxis"]) layout[name] = {...layout[name], gridcolor: line};
  return {...layout, plot_bgcolor: "rgba(0,0,0,0)", font: {...layout.font, color: style.getPropertyValue("--ink")}};
}
"""
"""Figures have the colours of the page, by day and by night."""


def page(found: Findings, back: str | None = None) -> str:
    """Return the report as HTML, with Plotly in it, and a link to the address `back` where there is one."""
    link = [] if back is None else [f'<p><a href="{escape(back)}">Back to the search</a></p>']
    parts = "\n".join([*link, _head(found), _winner(found)]), _tables(found)
    footer = "Scores are on valid unless they say test."
    return document(f"{found.search['search']}: what the search has learnt", parts, figures(found), footer)


def document(title: str, parts: tuple[str, str], drawn: Mapping[str, Any], footer: str, style: str = "") -> str:
    """Return a whole page.

    Args:
        title: As text.
        parts: What stands before the figures and behind them, as HTML.
        drawn: Figures by title, with which Plotly comes along.
        footer: As text.
        style: Further rules.
    """
    from plotly.offline import get_plotlyjs

    script = f"<script>{get_plotlyjs()}</script>" if drawn else ""
    body = "\n".join([parts[0], _figures(drawn), parts[1]])
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:\">"
        f"<style>{STYLE}{style}</style>{script}</head><body><main>{body}"
        f"<footer>{escape(footer)}</footer></main>{_plots(drawn)}</body></html>\n"
    )


def _head(found: Findings) -> str:
    search, best = found.search, found.search["best"]
    facts: dict[str, Any] = {"state": search["state"], "seconds": f"{search['seconds']:,.0f}"}
    facts["trials"] = ", ".join(f"{count} {state}" for state, count in search["trials"].items()) or "none"
    for split, key in (("valid", "scores"), ("test", "test_scores")):
        for name, score in (best or {}).get(key, {}).items():
            facts[f"{name}, {split}"] = f"{score:.4g}"
    if best is not None and best["parameters"] is not None:
        facts["parameters"] = f"{best['parameters']:,}"
    if found.padding is not None:
        facts["work at padded sizes"] = f"{found.padding:.2f} ×"
    boxes = "".join(f"<div>{escape(name)}<b>{escape(str(value))}</b></div>" for name, value in facts.items())
    why = escape(search.get("why") or "")
    if search.get("warning"):
        why += f". Take care: {escape(search['warning'])}."
    return f'<h1>{escape(search["search"])}</h1><p>{why}</p><div class="figures">{boxes}</div>'


def _winner(found: Findings) -> str:
    best = found.search["best"]
    if best is None:
        return "<h2>The winner</h2><section>No trial has a result yet.</section>"
    configuration = from_dict(Seq2Seq, best["configuration"])
    return (
        f"<h2>The winner: trial {best['trial']}</h2><section>{drawing(configuration)}"
        f"<details><summary>Every dial</summary><p>{escape(described(configuration))}</p></details></section>"
    )


def _figures(drawn: Mapping[str, Any]) -> str:
    return "".join(
        f'<h2>{escape(title)}</h2><figure><div id="figure{number}"></div></figure>'
        for number, title in enumerate(drawn)
    )


def _plots(drawn: Mapping[str, Any]) -> str:
    calls = [
        f'Plotly.newPlot("figure{number}",{_json(figure["data"])},coloured({_json(figure["layout"])}),'
        "{responsive:true,displayModeBar:false});"
        for number, figure in enumerate(drawn.values())
    ]
    return f"<script>{COLOURED}{''.join(calls)}</script>" if calls else ""


def _tables(found: Findings) -> str:
    name = found.criteria.metric.name
    names = [objective.name for objective in found.criteria.objectives]
    board = [
        (
            row.trial,
            f"{row.encoder} → {row.decoder}",
            row.condition,
            None if row.parameters is None else f"{row.parameters:,}",
            f"{row.tokens:,}",
            f"{row.seconds:,.1f}",
            _score(row.scores.get("loss")),
            *(_score(row.scores.get(objective)) for objective in names),
            *(["yes" if row.front else ""] if found.criteria.others else []),
        )
        for row in found.leaderboard
    ]
    winners = [row.winner for row in found.leaderboard]
    heads = ("trial", "encoder → decoder", "state", "parameters", "tokens", "seconds", "loss", *names)
    heads += ("on the front",) if found.criteria.others else ()
    families = [(f.name, f.trials, f.failed, f"{f.seconds:,.0f}", _score(f.score)) for f in found.families]
    parts = [
        ("Leaderboard", table(heads, board, winners)),
        ("Families", table(("encoder → decoder", "trials", "failed", "seconds", f"best {name}"), families)),
    ]
    if found.failures:
        failures = [(f.trial, f.family, f.reason, f.message) for f in found.failures]
        parts.append(("Failures", table(("trial", "encoder → decoder", "reason", "message"), failures)))
    if found.decisions:
        steps = [(f"{s.seconds:,.1f}", s.kind, s.message) for s in found.decisions]
        listed = table(("second", "decision", "why"), steps)
        parts.append(("Decisions", f"<details><summary>{len(steps):,} of them</summary>{listed}</details>"))
    return "".join(f'<h2>{title}</h2><section tabindex="0">{part}</section>' for title, part in parts)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], marked: Sequence[bool] = ()) -> str:
    """Return a table of texts and numbers; some rows may be marked."""
    first = rows[0] if rows else [""] * len(heads)
    head = "".join(f"<th{_class(cell)}>{escape(name)}</th>" for name, cell in zip(heads, first, strict=True))
    lines = []
    for number, row in enumerate(rows):
        mark = ' class="winner"' if number < len(marked) and marked[number] else ""
        cells = "".join(f"<td{_class(cell)}>{escape('' if cell is None else str(cell))}</td>" for cell in row)
        lines.append(f"<tr{mark}>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _class(cell: Any) -> str:
    text = "" if cell is None else str(cell)
    if text.replace(",", "").replace(".", "").isdigit():
        return ' class="number"'
    return ' class="long"' if len(text) > 60 else ""


def _score(score: float | None) -> str | None:
    return None if score is None else f"{score:.4f}"


def _json(value: Any) -> str:
    """Return JSON that cannot end the script that it stands in."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
