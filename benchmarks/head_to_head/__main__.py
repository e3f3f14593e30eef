"""Fill cells of set × system × seed, each a job of its own, and print the table.

    python -m benchmarks.head_to_head --data DIR --torch PYTHON [--minutes 10] [--seeds 1] [--only TEXT] [--cells N]

Each cell is one line of `benchmarks/results/head_to_head.jsonl`; one that is there is not run again. PYTHON is the
interpreter of an environment with `torch` and `optuna` for the two PyTorch systems; the others run in this one. A cell
needs both processor cores for itself. Without `--data` the table alone is printed. `--quick` gives each cell half a
minute and keeps no line. `--figure FILE.svg` draws the cells that there are.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.head_to_head import ours
from benchmarks.head_to_head.figure import draw
from benchmarks.head_to_head.pairs import SETS
from benchmarks.head_to_head.peer import SYSTEMS
from benchmarks.measurement import load
from benchmarks.searches import commit

COMMAND = "python -m benchmarks.head_to_head --data DIR --torch PYTHON"
OURS = "ours"
ALL = (OURS, *SYSTEMS)
RESULTS = Path(__file__).parents[1] / "results" / "head_to_head.jsonl"
Cell = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.head_to_head", description=__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the sets; without it nothing is run")
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON", help="interpreter that has PyTorch")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", metavar="TEXT", help="cells whose 'set, system' holds this")
    parser.add_argument("--cells", type=int, default=10**6, metavar="N", help="run so many at most")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw test error over time into it")
    parser.add_argument("--quick", action="store_true", help="half a minute a cell, kept nowhere")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    minutes, fresh = 0.5 if options.quick else options.minutes, []
    wanted = [key for key in keys(options.seeds, minutes) if options.only in ", ".join(map(str, key[:2]))]
    there = {} if options.quick else cells()
    for key in [key for key in wanted if key not in there][: options.cells] if options.data else ():
        try:
            fresh.append(measured(key, options.data, options.torch))
        except subprocess.CalledProcessError as error:
            print(f"the cell stays empty: {error.cmd[0]} ended with exit code {error.returncode}", file=sys.stderr)
            continue
        if not options.quick:
            keep(fresh[-1])
    known = {key_of(cell): cell for cell in fresh} if options.quick else cells()
    if options.figure:
        draw(
            options.figure,
            curves(known, minutes),
            [name for name in SETS if any(key[0] == name for key in known)],
            minutes,
        )
    if options.json:
        print(json.dumps({"version": 1, "ratios": ratios(known, minutes), "measured": list(known.values())}))
    else:
        print(*table(known, options.seeds, minutes), sep="\n")


def keys(seeds: int, minutes: float) -> Iterator[tuple[str, str, int, float]]:
    """Yield every cell: all systems on the first set, then on the next."""
    for seed in range(seeds):
        for name in SETS:
            yield from ((name, system, seed, minutes) for system in ALL)


def key_of(cell: Cell) -> tuple[str, str, int, float]:
    """Return what names a cell."""
    return cell["set"], cell["system"], cell["seed"], cell["minutes"]


def cells() -> dict[tuple[str, str, int, float], Cell]:
    """Return the cells that there are."""
    lines = RESULTS.read_text("utf-8").splitlines() if RESULTS.exists() else []
    return {key_of(cell): cell for cell in map(json.loads, lines)}


def keep(cell: Cell) -> None:
    """Add a cell's line, in one write."""
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(cell) + "\n")


def measured(key: tuple[str, str, int, float], data: Path, torch: str) -> Cell:
    """Run one cell."""
    name, system, seed, minutes = key
    before, began = load(), time.monotonic()
    print(f"{name}, {system}, seed {seed}: {minutes:g} minutes, load {before}", file=sys.stderr)
    if system == OURS:
        found = ours.run(data / name, SETS[name], 60 * minutes, seed)
    else:
        job = {
            "system": system,
            "folder": str(data / name),
            "tokens": SETS[name],
            "seconds": 60 * minutes,
            "seed": seed,
        }
        python = torch if "pytorch" in system else sys.executable
        command = [python, "-m", "benchmarks.head_to_head.peer", json.dumps(job)]
        root = {"PYTHONPATH": os.pathsep.join([str(RESULTS.parents[2]), os.environ.get("PYTHONPATH", "")])}
        done = subprocess.run(command, env=os.environ | root, stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout)
    return {
        "set": name,
        "system": system,
        "seed": seed,
        "minutes": minutes,
        "test": found["curve"][-1][2] if found["curve"] else None,
        "seconds": round(time.monotonic() - began, 1),
        "trials": found["trials"],
        "curve": found["curve"],
        "command": f"{COMMAND} --minutes {minutes:g} --seeds {seed + 1} --only '{name}, {system}'",
        "commit": commit(),
        "load": before,
    }


def table(known: Mapping[tuple[str, str, int, float], Cell], seeds: int, minutes: float) -> Iterator[str]:
    """Yield the lines of the table: test error at the end, means over the seeds that there are."""
    wanted = list(keys(seeds, minutes))
    yield f"{sum(key in known for key in wanted)} of {len(wanted)} cells, {minutes:g} minutes"
    yield "| set | " + " | ".join(ALL) + " |"
    yield "|---" * (len(ALL) + 1) + "|"
    for name in SETS:
        shown = []
        for system in ALL:
            own = [known.get((name, system, seed, minutes)) for seed in range(seeds)]
            tests = [cell["test"] for cell in own if cell and cell["test"] is not None]
            shown.append(f"{sum(tests) / len(tests):.2%}" if tests else "–")
        yield f"| {name} | {' | '.join(shown)} |"


def curves(
    known: Mapping[tuple[str, str, int, float], Cell], minutes: float
) -> dict[tuple[str, str], list[list[tuple[float, float, float | None]]]]:
    """Return the curves of each set and system, one a seed, of cells of so many minutes."""
    found: dict[tuple[str, str], list[Any]] = {}
    for system in ALL:
        for (name, own, _, length), cell in known.items():
            if own == system and length == minutes:
                found.setdefault((name, own), []).append(cell["curve"])
    return found


def seconds_to(cell: Cell, test: float) -> float | None:
    """Return when a cell's best on valid had so good a score on test; nothing where it never did."""
    return next((moment for moment, _, found in cell["curve"] if found is not None and found <= test), None)


def ratios(known: Mapping[tuple[str, str, int, float], Cell], minutes: float) -> dict[str, float]:
    """Return how many times sooner ours has each peer's score of the end, of the sets and seeds where it has it."""
    found: dict[str, float] = {}
    for (name, system, seed, length), cell in known.items():
        own = known.get((name, OURS, seed, length))
        if system == OURS or own is None or cell["test"] is None or length != minutes:
            continue
        moment = seconds_to(own, cell["test"])
        if moment is not None:
            found[f"{name}, {system}, seed {seed}"] = 60 * minutes / moment
    return found


if __name__ == "__main__":
    main()
