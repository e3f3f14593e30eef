"""The best trial, the best together, and one model distilled from them, by the same search: on valid and on test.

A cell is a job that goes on where it was left (its database is kept under `--work`), and ends as one line of
`benchmarks/results/finishes.jsonl`; a cell with a line there is not run again unless it is named. Every model that is
searched or distilled is held to the same number of parameters; those that speak together are not.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.distillation import REPORTED
from benchmarks.jobs import Jobs
from benchmarks.measurement import load
from benchmarks.searches import automl, commit, keep, toml
from benchmarks.tasks import ROWS

RESULTS = Path(__file__).parent / "results" / "finishes.jsonl"
CELLS = ("g2p_ice", "g2p_geo", "g2p_lit", "number_words")
"""Rows of `benchmarks.tasks`."""
MINUTES, MOST = 4.0, "150K"
SPACE = {
    "preset": "tiny",
    "encoder": "Recurrent",
    "decoder": "Recurrent",
    "cell": "gru",
    "hidden_size": 64,
    "num_layers": 1,
    "bidirectional": True,
    "attention": "Additive",
    "output": "Softmax",
    "optimizer": "AdamW",
}
"""One small shape with a free recipe, so that a search of minutes trains several models."""
FINISHES = ("single", "ensemble", "distilled")
JOBS = Jobs("finishes", "cell", CELLS, RESULTS, quick=1.0, minutes=MINUTES)


def document(name: str, data: Path, minutes: float) -> dict[str, Any]:
    """Return the task document of a cell."""
    own = ROWS[name].document(data, minutes)
    budget = {**own["budget"], "finish": "distill"}
    return {**own, "budget": budget, "constraints": {"parameters": MOST}, "space": SPACE}


def main() -> None:
    """Run the cells that have no line yet, or those that are named."""
    options = JOBS.wanted(__doc__, table)
    found = [run(name, options) for name in options.names]
    if options.json:
        ratios = {line["cell"]: ratio for line in found if (ratio := gained(line)) is not None}
        print(JOBS.told(found, ratios))


def gained(line: Mapping[str, Any]) -> float | None:
    """Return the errors of the best trial on test for each of the distilled model; nothing where it has none."""
    name, finishes = line["metric"], line["finishes"]
    distilled = finishes.get("distilled", {}).get("test_scores", {}).get(name)
    return finishes["single"]["test_scores"][name] / distilled if distilled else None


def run(name: str, options: Namespace) -> dict[str, Any]:
    """Search a cell, and write its line."""
    minutes, work = options.minutes, options.work / name
    work.mkdir(parents=True, exist_ok=True)
    (work / "task.toml").write_text(toml(document(name, options.data, minutes)), encoding="utf-8")
    command = ["search", "task.toml", "--storage", "sqlite:///automl.db", "--out", "winner", "--json"]
    before, began = load(), time.monotonic()
    search = automl(work, *command)
    best = search["best"]
    line = {
        "cell": name,
        "metric": ROWS[name].metrics[0],
        "document": {key: value for key, value in document(name, Path(), minutes).items() if key != "data"},
        "data": {"folder": ROWS[name].folder, **ROWS[name].data},
        "finishes": best.get("finishes") or {"single": {key: best[key] for key in REPORTED}},
        "winner": best.get("finish", "single"),
        "why": search["why"],
        "minutes": round(search["seconds"] / 60, 2),
        "wall_minutes_of_this_run": round((time.monotonic() - began) / 60, 2),
        "trials": search["trials"],
        "command": " ".join(["automl", *command]),
        "commit": commit(),
        "load": [before, load()],
    }
    print(f"{name}: {search['why']}", file=sys.stderr)
    if not options.quick:
        keep(line, RESULTS)
    return line


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of `docs/results.md`: the last line of each cell, and dashes where there is none."""
    last = {line["cell"]: line for line in lines}
    heads = [f"{finish}: valid, test (parameters)" for finish in FINISHES]
    rows = [f"| data | {' | '.join(heads)} | winner | searched | commit |", "|---" * (len(heads) + 4) + "|"]
    for name in CELLS:
        line = last.get(name)
        shown = [_shown(line, finish) for finish in FINISHES]
        ran = (
            [line["winner"], f"{line['minutes']:.1f} min, load {line['load'][0]}", line["commit"]]
            if line
            else ["–"] * 3
        )
        rows.append(f"| `{name}` | {' | '.join([*shown, *ran])} |")
    return "\n".join(rows)


def _shown(line: Mapping[str, Any] | None, finish: str) -> str:
    found = (line or {}).get("finishes", {}).get(finish)
    if line is None or found is None:
        return "–"
    valid, test = (100 * of[line["metric"]] for of in (found["scores"], found["test_scores"]))
    return f"{valid:.2f} %, {test:.2f} % ({found['parameters']:,})"


if __name__ == "__main__":
    main()
