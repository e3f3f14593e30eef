"""What a database holds: `automl status`, `automl leaderboard`, `automl report`."""

from pathlib import Path
from typing import Annotated

import typer

from automl.commands.options import Json, Name, Storage, opened, read_settings
from automl.errors import InputError
from automl.terminal.console import print_json, print_leaderboard, say, status_line, worker_line

MOST_EVENTS = 10_000


def status(name: Name = None, storage: Storage = None, as_json: Json = False) -> None:
    """Show the searches of the database, or one of them, and the workers that run them."""
    from automl.records import is_missing, read_records, worker_mappings

    url = storage or read_settings().storage
    mappings, workers = [], []
    if name is not None or not is_missing(url):
        with opened(url) as database:
            mappings = [record.to_mapping() for record in read_records(database, name)]
            workers = worker_mappings(database, name)
    if as_json:
        print_json({"searches": mappings, "workers": workers})
    for line in [] if as_json else [*map(status_line, mappings), *map(worker_line, workers)]:
        typer.echo(line)
    if not mappings:
        say("there is no search yet; begin one with: automl search TASK.toml")


def leaderboard(name: Name = None, storage: Storage = None, as_json: Json = False) -> None:
    """Rank the trials of a search, of the latest where none is named."""
    from automl.records import read_record

    with opened(storage or read_settings().storage) as database:
        record = read_record(database, name)
    if as_json:
        from automl.terminal.leaderboard import leaderboard as ranked

        rows = [row.to_mapping() for row in ranked(record.trials.values(), record.criteria)]
        print_json({"search": record.row.name, "metric": record.criteria.metric.name, "trials": rows})
    else:
        print_leaderboard(record)


def report(
    name: Name = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Page to write; NAME.html if absent.", show_default=False)
    ] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write what a search has learnt, of the latest where none is named, as one HTML page that needs nothing else."""
    from automl.planning import space_of
    from automl.records import read_record
    from automl.report import DECISIONS, findings, page
    from automl.tasks.document import document_from_mapping
    from storage.events import newest_events

    with opened(storage or read_settings().storage) as database:
        record = read_record(database, name)
        events = newest_events(database, record.row.id, DECISIONS, limit=MOST_EVENTS)
    space = space_of(document_from_mapping(record.row.document, Path()))
    found = findings(record, space, events)
    if as_json:
        print_json(found.to_mapping())
        return
    file = out or Path(f"{record.row.name}.html")
    try:
        file.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror}); name another place by --out") from None
    typer.echo(file)
