"""Compare what each way to search pays to come within 1 % of the best model of a table.

    python -m benchmarks.recorded_curves [--quick] [--seeds N] [--data DIR] [--json]

The unit is one recorded checkpoint. A search that has tried everything in its way without reaching the goal has failed;
what it paid still counts in its mean, which flatters it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, geometric_mean

from benchmarks.recorded_curves.peers import PEERS, full_training
from benchmarks.recorded_curves.search import Run, Search
from benchmarks.recorded_curves.tables import Row, Table, curve_tables, finished_tables

OURS = "ours"
EVALUATIONS = 15


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recorded_curves", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 seeds instead of 20")
    parser.add_argument("--seeds", type=int, help="searches of each kind on each table")
    parser.add_argument("--ours", action="store_true", help="leave the peers out")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/nmthpo"), help="folder of the recorded tables"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    if not options.data.is_dir():
        sys.exit(f"{options.data}: there is no such folder; name the one with the recorded tables by --data")
    seeds = range(options.seeds or (3 if options.quick else 20))
    ways: dict[str, Callable[[Table, int], Run]] = {OURS: lambda table, seed: Search(table, seed).until_goal()}
    measured = [measure(table, seeds, ways if options.ours else ways | PEERS) for table in curve_tables(options.data)]
    finished = finished_tables(options.data)
    missing = {t.name: bleu_missing(t, seeds) for t in finished}
    warm = {t.name: bleu_missing(t, seeds, best_of_others(t, finished)) for t in finished}
    learnt = {"bleu_missing": missing, "bleu_missing_after_other_pairs": warm}
    summary = {"ratios": ratios(measured), "measured": {"curves": measured, **learnt}}
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        show(measured, learnt, summary["ratios"], len(seeds))


def measure(table: Table, seeds: Sequence[int], ways: dict[str, Callable[[Table, int], Run]]) -> dict[str, object]:
    """Run every way to search on a table; return mean costs, shares of success and seconds of computing."""
    found: dict[str, dict[str, float]] = {}
    for name, way in ways.items():
        began = time.process_time()
        runs = [way(table, seed) for seed in seeds]
        seconds = (time.process_time() - began) / len(runs)
        success = fmean(run.reached for run in runs)
        found[name] = {"cost": fmean(run.cost for run in runs), "success": success, "seconds": seconds}
    print(f"{table.name}: done", file=sys.stderr)
    return {"table": table.name, "models": len(table.curves), "full_training": full_training(table), "ways": found}


def bleu_missing(table: Table, seeds: Sequence[int], earlier: tuple[Row, ...] = ()) -> float:
    """Return the BLEU missing to the best of the table after so many models, each trained to the end."""
    best = min(table.scores.values())
    return fmean(Search(table, seed, earlier).evaluate(EVALUATIONS)[-1] - best for seed in seeds)


def best_of_others(table: Table, tables: Sequence[Table]) -> tuple[Row, ...]:
    """Return what searches of the other pairs would have found: the rows of this table nearest to their best."""
    rows = [table.nearest(other.best(), list(table.curves)) for other in tables if other is not table]
    return tuple(dict.fromkeys(rows))


def ratios(measured: Sequence[dict]) -> dict[str, float]:
    """Return how much cheaper ours is: than full training, and than each peer in its best group."""
    found = {"full_training": geometric_mean(m["full_training"] / m["ways"][OURS]["cost"] for m in measured)}
    for peer in measured[0]["ways"]:
        if peer != OURS:
            each = [m["ways"][peer]["cost"] / m["ways"][OURS]["cost"] for m in measured]
            found[peer] = geometric_mean(each)
            found[f"{peer}, least"] = min(each)
    return found


def show(measured: Sequence[dict], learnt: dict[str, dict[str, float]], found: dict[str, float], seeds: int) -> None:
    """Print the tables."""
    print(f"Cost in checkpoints to come within 1 % of the best, mean of {seeds} (share of runs that do)")
    ways = list(measured[0]["ways"])
    print("| table | models | full training |", " | ".join(ways), "| ours against full training |")
    print("|---" * (len(ways) + 4) + "|")
    for m in measured:
        cells = [f"{m['ways'][way]['cost']:.0f} ({m['ways'][way]['success']:.0%})" for way in ways]
        ratio = m["full_training"] / m["ways"][OURS]["cost"]
        print(f"| {m['table']} | {m['models']} | {m['full_training']:.0f} |", " | ".join(cells), f"| {ratio:.1f}× |")
    for name, value in found.items():
        print(f"{name}: {value:.1f}×")
    for name, cold in learnt["bleu_missing"].items():
        warm = learnt["bleu_missing_after_other_pairs"][name]
        print(f"{name}: BLEU missing after {EVALUATIONS} finished models {cold:.2f}; {warm:.2f} after other pairs")


if __name__ == "__main__":
    main()
