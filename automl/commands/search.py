"""`automl search`."""

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from automl.commands.options import (
    FOUND,
    INTERRUPTED,
    NOTHING_FOUND,
    Address,
    Executor,
    Json,
    Storage,
    Workers,
    opened,
    read_settings,
)
from automl.errors import InputError
from automl.terminal.console import print_json, print_search, say

if TYPE_CHECKING:
    from automl.searches import Options
    from automl.tasks.document import TaskDocument
    from automl.winners import Search


def search(  # noqa: PLR0913
    task: Annotated[Path, typer.Argument(metavar="TASK.toml", help="Task document; or data, to be looked at.")],
    *,
    time: Annotated[str | None, typer.Option(metavar="10m", help="Time budget of the whole search.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of trials, at most.")] = None,
    finish: Annotated[
        Literal["single", "ensemble", "distill"] | None,
        typer.Option(help="The best trial alone, with others, or one model taught by them: where better on valid."),
    ] = None,
    storage: Storage = None,
    executor: Executor = None,
    address: Address = None,
    workers: Workers = None,
    name: Annotated[str | None, typer.Option(help="Name of the search instead of the document's.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the winner; else models/NAME.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same seed gives the same trials; needs --trials and no time.")
    ] = False,
    new: Annotated[bool, typer.Option("--new", help="Throw an earlier search of this name away.")] = False,
    track: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Tell tensorboard, mlflow or wandb of it too; may be repeated."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Queue it for a worker (automl worker) and return.")] = False,
    as_json: Json = False,
) -> int:
    """Search for the best model of a task; the winner becomes a folder that predicts.

    The same command again goes on where it was, or prints the result again when its budget is spent.
    """
    from automl.searches import Options, run_search

    url = storage or read_settings().storage
    document = _document(task, name, {"time": time, "trials": trials, "finish": finish})
    options = Options(storage=url, executor=executor, out=out, workers=workers, address=address, new=new)
    options = replace(options, deterministic=deterministic, trackers=tuple(track or ()))
    if detach:
        return _queue(document, options, as_json=as_json)
    with watched(document.limits.time, options) as shown:
        found = run_search(document, shown)
    return _shown(found, url, as_json=as_json)


def _shown(found: "Search", url: str, *, as_json: bool) -> int:
    """Print how a search ended and what was learnt from it; return what the command exits with."""
    from automl.planning import space_of
    from automl.records import read_record
    from automl.report import findings, summary
    from automl.tasks.document import document_from_mapping

    with opened(url) as database:
        record = read_record(database, found.name)
    learnt = findings(record, space_of(document_from_mapping(record.row.document, Path())))
    if as_json:
        print_json({**found.to_mapping(), "learnt": summary.learnt(learnt)})
    else:
        print_search(found, record, summary.lines(learnt))
    if found.state == "interrupted":
        say("interrupted; everything is kept, and the same command goes on")
        return INTERRUPTED
    return NOTHING_FOUND if found.best is None else FOUND


def _queue(document: "TaskDocument", options: "Options", *, as_json: bool) -> int:
    from automl.data.advance import heard
    from automl.submissions import submit
    from automl.terminal.progress import display

    if options.deterministic:
        raise InputError("--deterministic and --detach exclude each other; a worker has its own clock")
    if options.trackers:
        raise InputError("--track and --detach exclude each other; set AUTOML_TRACKERS where the worker runs")
    shown = display(document.limits.time, sys.stderr)
    try:
        with heard(shown.advance):
            found = submit(document, replace(options, on_notice=shown.notice))
    finally:
        shown.stop()
    if as_json:
        print_json(found.to_mapping())
    elif found.state == "queued":
        typer.echo(f"{found.name} is queued; automl worker runs it, automl status {found.name} shows it")
    else:
        typer.echo(f"{found.name} is {found.state}, its budget is spent; give a larger one to go on")
    return FOUND


@contextmanager
def watched(seconds: float | None, options: "Options") -> Iterator["Options"]:
    """Give options by which a search is shown on standard error and ended in good order by a signal."""
    from automl.data.advance import heard
    from automl.terminal.interruption import Interruption
    from automl.terminal.progress import display

    shown = display(seconds, sys.stderr)
    gc.freeze()  # what is imported stays, and looking through all of it would hold up decisions
    try:
        with Interruption(shown) as interruption:
            options = replace(options, on_change=shown.change, on_notice=shown.notice)
            with heard(shown.advance):
                yield replace(options, on_controller=interruption.watch)
    finally:
        shown.stop()


def _document(task: Path, name: str | None, limits: Mapping[str, Any]) -> "TaskDocument":
    from automl.tasks.document import document_from_mapping, with_budget
    from automl.tasks.draft import DEFAULT_TIME, document_for

    document, proposed = document_for(task)
    if proposed is not None:
        for warning in proposed.warnings:
            say(warning)
        say(f"taken for {document.kind}: {proposed.why}; automl init {task} writes it down to be changed")
    if name is not None:
        document = document_from_mapping({**document.to_mapping(), "name": name}, Path(), "--name")
    document = with_budget(document, {key: value for key, value in limits.items() if value is not None})
    if document.is_endless:
        say(f"no budget is given, so it is {DEFAULT_TIME}; --time or [budget] time changes it")
        document = with_budget(document, {"time": DEFAULT_TIME})
    return document
