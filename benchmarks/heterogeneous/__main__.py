"""Many different architectures for a few steps each: ours, Optuna with Flax and one jit a trial, and PyTorch eager.

The 64 configurations of `configurations/heterogeneous.jsonl` were drawn from preset `base` by a seed; each side takes
the same steps of the same batches from the same start values, on the tokens of dates, from a cold cache, eight
configurations at a time in turn. A side is two processes of one thread. After its timed steps, which have the dropout
of the configuration, each trial is taken again without dropout, and these losses must agree. PyTorch stays out of this
project's environment: `AUTOML_PYTORCH` names the interpreter of one that has it; without it that side is left out.
"""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.heterogeneous.configurations import Drawn, configurations, hulls, named, signatures
from benchmarks.heterogeneous.handover import hand_over, table_of_dates
from benchmarks.heterogeneous.sides import Side, command
from benchmarks.measurement import Result, load, parser

STEPS, QUICK_STEPS, QUICK_COUNT = 40, 8, 4
ROUND = 8
"""Configurations of a side in a row."""
TOLERANCE = 1e-3


def main() -> None:
    """Measure."""
    asking = parser(__doc__ or "")
    asking.add_argument("--configurations", type=int, metavar="N", help="take the first N of the 64")
    asking.add_argument("--steps", type=int, metavar="N", help="of each configuration")
    asking.add_argument("--checked", type=int, metavar="N", help="steps without dropout whose losses are compared")
    asking.add_argument("--hulls", action="store_true", help="train in the hulls of slots as well")
    options = asking.parse_args()
    steps = options.steps or (QUICK_STEPS if options.quick else STEPS)
    count = options.configurations or (QUICK_COUNT if options.quick else None)
    checked, pytorch, before = options.checked or steps, os.environ.get("AUTOML_PYTORCH"), load()
    names = ["ours", *(["hulls"] if options.hulls else []), "flax", *(["pytorch"] if pytorch else [])]
    if not pytorch:
        print("heterogeneous: AUTOML_PYTORCH names no interpreter; PyTorch is left out", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="heterogeneous-") as scratch:
        folder = Path(scratch)
        listed = list(enumerate(configurations()[:count]))
        found = hand_over(folder, table_of_dates(folder), listed, max(steps, checked))
        sides = [Side(name, command(name, folder, pytorch), folder) for name in names]
        measure(sides, len(listed), steps, checked)
    lines = [line(place, each, sides) for place, each in enumerate(found)]
    if not options.json:
        show(lines, sides)
    outcome = result(found, sides, lines, steps, (before, load()))
    if options.json:
        outcome = replace(outcome, measured={**outcome.measured, "of_each": lines})
    outcome.show(as_json=options.json)


def measure(sides: Sequence[Side], count: int, steps: int, checked: int) -> None:
    """Let the sides take turns, another one first each time."""
    try:
        for turn, begin in enumerate(range(0, count, ROUND)):
            places = range(begin, min(begin + ROUND, count))
            first = turn % len(sides)
            for side in (*sides[first:], *sides[:first]):
                side.take(places, steps, checked)
                print(f"{side.name}: {places[-1] + 1} of {count}", file=sys.stderr)
    finally:
        for side in sides:
            side.close()


def line(place: int, drawn: Drawn, sides: Sequence[Side]) -> dict[str, Any]:
    """Return the seconds of a configuration on each side, and by how much its losses differ from ours, at most."""
    answers = {side.name: side.answers[place] for side in sides}
    ours = answers["ours"]["checked"]
    return {
        "place": place,
        "kinds": named(drawn.configuration),
        "seconds": {name: own.get("seconds") for name, own in answers.items()},
        "differences": {
            name: max(abs(a - b) for a, b in zip(ours, own["checked"], strict=True))
            for name, own in answers.items()
            if name != "ours" and "checked" in own
        },
        "cannot": {name: own["cannot"] for name, own in answers.items() if "cannot" in own},
    }


def result(
    found: Sequence[Drawn],
    sides: Sequence[Side],
    lines: Sequence[Mapping[str, Any]],
    steps: int,
    loads: tuple[str, str],
) -> Result:
    """Return what was found; a side that does not build all configurations has no ratio."""
    ours, hulled = sides[0], hulls(found)
    peers = [side for side in sides[1:] if not side.cannot]
    worst = {
        side.name: max((each["differences"].get(side.name, 0.0) for each in lines), default=0.0) for side in sides[1:]
    }
    measured = {
        "configurations": len(found),
        "steps": steps,
        "signatures": signatures(found),
        "hulls": hulled[0],
        "padding_waste_in_hulls": hulled[1],
    }
    for side in sides:
        measured[f"{side.name}_seconds"] = side.seconds
        measured[f"{side.name}_processor_seconds"] = side.total("processor")
        measured[f"{side.name}_compile_seconds"] = side.total("compiling")
        measured[f"{side.name}_cannot_build"] = len(side.cannot)
    return Result(
        name="heterogeneous",
        ratios={f"elapsed_{side.name}": side.seconds / ours.seconds for side in peers}
        | {f"processor_{side.name}": side.total("processor") / ours.total("processor") for side in peers},
        measured={
            **measured,
            **{f"largest_difference_of_a_loss_{name}": value for name, value in worst.items()},
        },
        goals={"elapsed_flax": ">= 8, then 15", "elapsed_pytorch": "> 1", "padding_waste_in_hulls": "< 1.6"}
        | {f"largest_difference_of_a_loss_{name}": f"<= {TOLERANCE}" for name in worst},
        load=loads,
    )


def show(lines: Sequence[Mapping[str, Any]], sides: Sequence[Side]) -> None:
    """Print a line for each configuration."""
    names = [side.name for side in sides]
    print("seconds of each, and in brackets the largest difference of a loss to ours")
    print(f"{'':>3} {'':<64}", *(f"{name:>18}" for name in names))
    for each in lines:
        cells = []
        for name in names:
            seconds, difference = each["seconds"][name], each["differences"].get(name)
            shown = each["cannot"].get(name) or f"{seconds:.1f}"
            cells.append(shown if difference is None else f"{shown} ({difference:.1e})")
        print(f"{each['place']:>3} {each['kinds']:<64}", *(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
