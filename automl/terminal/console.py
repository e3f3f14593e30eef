"""What the command line prints: results on standard output, everything else on standard error."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import typer

SILENT_SECONDS = 60.0

if TYPE_CHECKING:
    from automl.records import Record
    from automl.winners import Best, Search


def say(line: str) -> None:
    """Print one line on standard error, as ours."""
    typer.echo(f"automl: {' '.join(line.split())}", err=True)


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document with its version."""
    typer.echo(json.dumps({"version": 1, **document}, ensure_ascii=False, allow_nan=False, indent=2))


def print_search(found: "Search", record: "Record", learnt: Iterable[str] = ()) -> None:
    """Print how a search has ended: its best trials, what was learnt, what won and why, and how to try it."""
    if record.trials:
        print_leaderboard(record, top=True)
    for line in learnt:
        typer.echo(line)
    typer.echo(f"{found.why}.")
    if found.warning:
        say(f"take care: {found.warning}")
    if found.best is not None:
        for name, score in found.best.test_scores.items():
            typer.echo(f"test: {name} {score:.6g}")
        for line in finish_lines(found.best, record.criteria.metric.name):
            typer.echo(line)
    if found.best is not None and found.bundle is not None:
        folder = _short(found.bundle)
        typer.echo(f"The model is in {folder}; try it: automl predict {quote(str(folder))}")


def finish_lines(best: "Best", name: str) -> Iterator[str]:
    """Yield how the best trial alone, the best together and what was distilled from them do by one metric."""
    finishes = best.finishes or ({"single": best.single, "ensemble": _plain(best)} if best.single else {})
    for finish, found in finishes.items():
        scores = ((split, of.get(name)) for split, of in (("valid", found["scores"]), ("test", found["test_scores"])))
        shown = ", ".join(f"{score:.4g} on {split}" for split, score in scores if score is not None)
        chosen = " (the winner)" if finish == (best.finish or "ensemble") else ""
        yield f"{finish}: {name} {shown}, {found['parameters'] or 0:,} parameters{chosen}"


def _plain(best: "Best") -> dict[str, Any]:
    return {"scores": best.scores, "test_scores": best.test_scores, "parameters": best.parameters}


def print_leaderboard(record: "Record", *, top: bool = False) -> None:
    """Print the trials of a search as a table, or the top of it."""
    from rich.console import Console

    from automl.terminal.leaderboard import TOP, table
    from automl.terminal.leaderboard import leaderboard as ranked

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    rows = ranked(record.trials.values(), record.criteria)
    console.print(table(rows, record.criteria, TOP if top else None))


def status_line(mapping: Mapping[str, Any]) -> str:
    """Return a search of `Record.to_mapping` in one line."""
    from automl.terminal.progress import counted

    scores = {} if mapping["best"] is None else mapping["best"]["scores"]
    best = ", ".join(f"{name} {score:.4g}" for name, score in scores.items()) or "no result yet"
    parts = [mapping["state"], f"{mapping['seconds']:,.0f} s", counted(mapping["trials"]), best]
    if mapping["bundle"] is not None:
        parts.append(str(_short(Path(mapping["bundle"]))))
    return f"{mapping['search']}: " + " · ".join(parts)


def worker_line(mapping: Mapping[str, Any]) -> str:
    """Return a worker of `worker_mappings` in one line."""
    does = "waits" if mapping["search"] is None else f"runs {mapping['search']}"
    silent = "" if (mapping["silent"] or 0) < SILENT_SECONDS else f", not heard of for {mapping['silent']:.0f} s"
    return f"worker: {mapping['worker']} {does}{silent}"


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
