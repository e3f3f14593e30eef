"""The command line. Results go to standard output, everything else to standard error."""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from typer.exceptions import TyperException

from automl.errors import InputError
from automl.terminal.console import print_json, print_leaderboard, print_search, say, status_line

if TYPE_CHECKING:
    from automl.bundle import Bundle
    from automl.inference import Model
    from automl.searches import Options, Search
    from automl.settings import Settings
    from automl.tasks.document import TaskDocument
    from storage.database import Database

FOUND, NOTHING_FOUND, WRONG_INPUT, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

app = typer.Typer(
    help="Search for the best sequence-to-sequence model of your pairs within a budget.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"automl-seq2seq {version('automl-seq2seq')}")
        raise typer.Exit(FOUND)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Database; else AUTOML_STORAGE (where a password belongs: the command line is for all to see), "
        "else sqlite:///automl.db.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on standard output.")]
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False, help="Name of a search.")]
Folder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a winner.")]


@app.command()
def search(  # noqa: PLR0913
    task: Annotated[Path, typer.Argument(metavar="TASK.toml", help="Task document.")],
    *,
    time: Annotated[str | None, typer.Option(metavar="10m", help="Time budget of the whole search.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of trials, at most.")] = None,
    storage: Storage = None,
    executor: Annotated[Literal["processes", "inline"], typer.Option(help="Where trials run.")] = "processes",
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Processes; one a core if absent.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the search instead of the document's.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the winner; else models/NAME.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Throw an earlier search of this name away.")] = False,
    as_json: Json = False,
) -> int:
    """Search for the best model of a task; the winner becomes a folder that predicts.

    The same command again goes on where it was, or prints the result again when its budget is spent.
    """
    from automl.records import read_record
    from automl.searches import Options

    url = storage or _settings().storage
    document = _document(task, name, time, trials)
    options = Options(storage=url, executor=executor, out=out, workers=workers, new=new)
    found = _watched(document, options)
    if as_json:
        print_json(found.to_mapping())
    else:
        with _database(url) as database:
            print_search(found, read_record(database, found.name))
    if found.state == "interrupted":
        say("interrupted; everything is kept, and the same command goes on")
        return INTERRUPTED
    return NOTHING_FOUND if found.best is None else FOUND


@app.command()
def status(name: Name = None, storage: Storage = None, as_json: Json = False) -> None:
    """Show the searches of the database, or one of them."""
    from automl.records import is_missing, read_records

    url = storage or _settings().storage
    mappings = []
    if name is not None or not is_missing(url):
        with _database(url) as database:
            mappings = [record.to_mapping() for record in read_records(database, name)]
    if as_json:
        print_json({"searches": mappings})
    for mapping in [] if as_json else mappings:
        typer.echo(status_line(mapping))
    if not mappings:
        say("there is no search yet; begin one with: automl search TASK.toml")


@app.command()
def leaderboard(name: Name = None, storage: Storage = None, as_json: Json = False) -> None:
    """Rank the trials of a search, of the latest where none is named."""
    from automl.records import read_record

    with _database(storage or _settings().storage) as database:
        record = read_record(database, name)
    if as_json:
        from automl.terminal.leaderboard import leaderboard as ranked

        rows = [row.to_mapping() for row in ranked(record.trials.values(), record.metric)]
        print_json({"search": record.row.name, "metric": record.metric.name, "trials": rows})
    else:
        print_leaderboard(record)


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a search.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    trial: Annotated[int | None, typer.Option(min=0, metavar="N", help="A trial other than the winner.")] = None,
    format_: Annotated[Literal["bundle"], typer.Option("--format", help="What to write.")] = "bundle",
    storage: Storage = None,
) -> None:
    """Write the winner of a search, or one of its trials, as a folder that predicts."""
    from automl.bundle import check_replaceable, write_bundle
    from automl.records import bundle_of_trial, read_record
    from automl.settings import checkpoint_folder

    del format_
    settings = _settings()
    url = storage or settings.storage
    with _database(url) as database:
        record = read_record(database, name)
    check_replaceable(folder)
    write_bundle(bundle_of_trial(record, trial, settings.cache, checkpoint_folder(url, settings)), folder)
    typer.echo(folder)


def _loaded(bundle: "Bundle") -> "Model":
    """Return the model of a bundle, its compiled programs kept in the user's cache where that can be written."""
    from automl.compilation import keep_programs
    from automl.inference import Model
    from automl.settings import Settings, private_folder

    with suppress(InputError):
        keep_programs(str(private_folder(Settings().cache / "programs").absolute()))
    return Model(bundle)


@app.command()
def predict(
    bundle: Folder,
    source: Annotated[str, typer.Option("--input", metavar="FILE", help="Lines of sources; - for input.")] = "-",
    as_json: Json = False,
) -> None:
    """Predict: one line in, one line out."""
    from automl.bundle import read_bundle
    from automl.terminal.lines import batches, one_line

    model = _loaded(read_bundle(bundle))
    outputs: list[str] = []
    with _opened(source) as stream:
        if source == "-" and sys.stdin.isatty():
            say("type one source a line; Ctrl-D ends")
        for lines in batches(stream.read1, "standard input" if source == "-" else source):
            predicted = model.predict(lines)
            if as_json:
                outputs += predicted
            else:
                typer.echo("\n".join(map(one_line, predicted)))
    if as_json:
        print_json({"outputs": outputs})


@app.command()
def evaluate(
    bundle: Folder,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="File with the task's columns.")],
    metrics: Annotated[list[str] | None, typer.Option("--metric", metavar="NAME", help="May be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Score a winner on a file of pairs, decoded as it predicts."""
    from automl.bundle import read_bundle
    from automl.data.sources import check_file
    from automl.metrics import metric

    for name in metrics or ():
        metric(name)
    check_file(data)
    result = _loaded(read_bundle(bundle)).evaluate(data, metrics or ())
    if as_json:
        print_json(result)
        return
    for name, score in result["metrics"].items():
        typer.echo(f"{name} {score:.6g}")
    typer.echo(f"rows {result['rows']}")


@app.command()
def spaces(
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="A named narrowing of the space.")] = None,
    as_json: Json = False,
) -> None:
    """Print what can be searched: every dial with its range and default, and the presets."""
    from automl.terminal.catalogue import catalogue, printed
    from search_spaces.dials import SpaceError

    try:
        found = catalogue(preset or "small")
    except SpaceError as error:
        raise InputError(str(error)) from None
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(printed(found)))


@app.command()
def doctor(storage: Storage = None, as_json: Json = False) -> int:
    """Check this installation: versions, devices, database, folders, clashes, and a short training run."""
    from automl.doctor import examine

    settings = _settings()
    checks = []
    for check in examine(storage or settings.storage, settings):
        checks.append(check)
        if not as_json:
            typer.echo(check.line())
    healthy = all(check.level != "fail" for check in checks)
    if as_json:
        print_json({"healthy": healthy, "checks": [check.to_mapping() for check in checks]})
    return FOUND if healthy else NOTHING_FOUND


def main() -> None:
    """Run the command line; the entry point of `automl`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; whatever goes wrong is one line on standard error."""
    try:
        command = typer.main.get_command(app)
        with command.make_context("automl", list(arguments)) as call:
            code = command.invoke(call)
            return code if isinstance(code, int) else FOUND
    except typer.Exit as ending:
        return ending.exit_code
    except TyperException as error:
        context = getattr(error, "ctx", None)
        say(f"{error.format_message().rstrip('.')}; see {context.command_path if context else 'automl'} --help")
        return WRONG_INPUT
    except KeyboardInterrupt:
        say("interrupted; run the same command to go on")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes
        return BROKEN_PIPE
    except Exception as error:
        return _explain(error)


def _explain(error: Exception) -> int:
    from storage.database import StorageError

    if isinstance(error, InputError | StorageError):
        say(str(error))
        return WRONG_INPUT
    if os.environ.get("AUTOML_DEBUG") == "1":
        traceback.print_exception(error)
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        say(f"unexpected {type(error).__name__} at {place}; AUTOML_DEBUG=1 shows all: please report it with that")
    return NOTHING_FOUND


def _watched(document: "TaskDocument", options: "Options") -> "Search":
    """Search, shown on standard error and ended in good order by a signal."""
    from automl import searches
    from automl.terminal.interruption import Interruption
    from automl.terminal.progress import Goal, display

    shown = display(Goal(document.metrics[0], document.limits.time), sys.stderr)
    try:
        with Interruption(shown) as interruption:
            options = replace(options, on_change=shown.change, on_notice=shown.notice)
            return searches.run_search(document, replace(options, on_controller=interruption.watch))
    finally:
        shown.stop()


def _settings() -> "Settings":
    from pydantic import ValidationError

    from automl.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors()[0]
        raise InputError(f"AUTOML_{str(wrong['loc'][0]).upper()} in the environment: {wrong['msg']}") from None


def _document(task: Path, name: str | None, time: str | None, trials: int | None) -> "TaskDocument":
    from automl.tasks.document import DEFAULT_TIME, document_from_mapping, read_document, with_budget

    document = read_document(task)
    if name is not None:
        document = document_from_mapping({**document.to_mapping(), "name": name}, Path(), "--name")
    limits = {"time": time, "trials": trials}
    document = with_budget(document, {key: value for key, value in limits.items() if value is not None})
    if document.is_endless:
        say(f"no budget is given, so it is {DEFAULT_TIME}; --time or [budget] time changes it")
        document = with_budget(document, {"time": DEFAULT_TIME})
    return document


def _database(url: str) -> "closing[Database]":
    from automl.records import open_existing

    return closing(open_existing(url))


@contextmanager
def _opened(source: str) -> Iterator[BufferedReader]:
    if source == "-":
        yield cast("BufferedReader", sys.stdin.buffer)
        return
    if not Path(source).is_file():
        raise InputError(f"{source}: there is no such file; name a file of lines, or -")
    with Path(source).open("rb") as stream:
        yield stream
