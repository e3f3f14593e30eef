"""What a winner remembers of single pairs of its training data: canaries in 1, 4 and 16 pairs of a real set.

`python -m benchmarks.canaries --data DIR [--set NAME] [--time 3m] [--rows N] [--epsilon 8]... [--json]` searches a set
(a folder of DIR with `train.tsv`, `valid.tsv`, `test.tsv`; targets are symbols divided by spaces) with canaries, and
prints how exposed their secrets are and how many the winner says when it is asked; beside them such as stand nowhere.
With each `--epsilon` it searches again, by `[privacy]`. Each search ends as a line of
`benchmarks/results/canaries.jsonl`, from which `--table` prints the table of `docs/privacy.md`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.measurement import load
from benchmarks.searches import commit, keep, read_lines

RESULTS = Path(__file__).parent / "results" / "canaries.jsonl"
QUICK_TIME, QUICK_ROWS = "40s", 200
"""Of `--quick`, whose lines are not kept."""
COPIES, EACH = (0, 1, 4, 16), 3
"""Pairs that say a secret, and secrets of each number."""
DATA = {
    "source_tokens": "characters",
    "target_tokens": "whitespace",
    "canaries": [copies for copies in COPIES for _ in range(EACH)],
}


def measured(data: Path, name: str, time: str, most: int | None, epsilon: float | None = None) -> dict[str, Any]:
    """Search a set with canaries, privately if an epsilon is given, and say how exposed they are."""
    import automl

    with tempfile.TemporaryDirectory() as scratch:
        into, whole = Path(scratch), data / name
        rows = (whole / "train.tsv").read_text(encoding="utf-8").splitlines()[:most]
        (into / "train.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        files = {"train": str(into / "train.tsv"), **{part: str(whole / f"{part}.tsv") for part in ("valid", "test")}}
        task: dict[str, Any] = {"name": name, "data": {**files, **DATA}}
        if epsilon is not None:
            task["privacy"] = {"epsilon": epsilon}
        begun = load()
        search = automl.search(task, budget=time, storage=f"sqlite:///{into / 'a.db'}", out=into / "model")
        best = search.best
        metrics = {} if best is None else best.bundle.metrics
        return {
            "set": name,
            "time": time,
            "rows": most,
            "load": [begun, load()],
            "parameters": None if best is None else best.parameters,
            "test": None if best is None else dict(best.test_scores),
            "privacy": search.privacy,
            "seconds": search.seconds,
            "membership": metrics.get("membership"),
            "canaries": list(metrics.get("exposure", ())),
            "commit": commit(),
        }


def said(line: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table of one search: a row for each number of copies."""
    lines = [
        "| copies | secrets | exposure, bits, of at most | the least | the most | said word for word |",
        "|---|---|---|---|---|---|",
    ]
    for copies in numbers(line):
        some, bits, extracted = of_copies(line, copies)
        lines.append(
            f"| {copies} | {len(bits)} | {mean(bits):.1f} of {some[0]['most']:.1f} | {min(bits):.1f} | {max(bits):.1f} "
            f"| {extracted} of {len(bits)} |"
        )
    return lines


def numbers(line: Mapping[str, Any]) -> list[int]:
    """Return the numbers of copies of a search."""
    return sorted({each["copies"] for each in line["canaries"]})


def of_copies(line: Mapping[str, Any], copies: int) -> tuple[list[Mapping[str, Any]], list[float], int]:
    """Return the canaries of a search with so many copies, their exposures, and how many were said."""
    some = [each for each in line["canaries"] if each["copies"] == copies]
    return some, [each["bits"] for each in some], sum(each["said"] for each in some)


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of `docs/privacy.md`: of each set with so many rows, the last search without and with privacy.

    A column is a search, and a row a number of copies: mean exposure (least to most), and how many were said.
    """
    last = {(line["set"], line["rows"], _promised(line)): line for line in lines}
    heads = [f"{name}, {'all' if rows is None else rows} rows, {promised}" for name, rows, promised in last]
    found = ["| rows that say it |" + "".join(f" {head} |" for head in heads), "|---" * (len(heads) + 1) + "|"]
    for copies in sorted({copies for line in last.values() for copies in numbers(line)}):
        found.append(f"| {copies or 'none'} |" + "".join(f" {_cell(line, copies)} |" for line in last.values()))
    ran = [f"{line['seconds']:.0f} s, load {line['load'][0]}, {line['commit']}" for line in last.values()]
    return "\n".join([*found, "| searched |" + "".join(f" {each} |" for each in ran)])


def _promised(line: Mapping[str, Any]) -> str:
    return "without privacy" if line["privacy"] is None else f"epsilon {line['privacy']['epsilon']:g}"


def _cell(line: Mapping[str, Any], copies: int) -> str:
    some, bits, extracted = of_copies(line, copies)
    if not some:
        return "–"
    range_of = f"{mean(bits):.1f} ({min(bits):.1f} to {max(bits):.1f}) of {some[0]['most']:.1f}"
    return f"{range_of}; said {extracted} of {len(some)}"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of data sets; without it nothing is run")
    parser.add_argument("--set", default="fre")
    parser.add_argument("--time", default="3m")
    parser.add_argument("--rows", type=int, help="Rows of train that are kept, the first; all if absent.")
    parser.add_argument("--epsilon", type=float, action="append", default=[])
    parser.add_argument("--quick", action="store_true", help="forty seconds on 200 rows, and no line is written")
    parser.add_argument("--table", action="store_true", help="print the results so far in Markdown, and run nothing")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.table:
        print(table(read_lines(RESULTS)))
        return
    if options.data is None:
        print("canaries: minutes on a set that --data names; nothing is run without it", file=sys.stderr)
        return
    time, rows = (QUICK_TIME, QUICK_ROWS) if options.quick else (options.time, options.rows)
    found = []
    for epsilon in (None, *options.epsilon):
        found.append(measured(options.data, options.set, time, rows, epsilon))
        if not options.quick:
            keep(found[-1], RESULTS)
        if not options.json:
            print(json.dumps({key: value for key, value in found[-1].items() if key != "canaries"}))
            print("\n".join(said(found[-1])), flush=True)
    if options.json:
        print(json.dumps({"searches": found}))


if __name__ == "__main__":
    main()
