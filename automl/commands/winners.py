"""What a winner does: `automl export`, `automl predict`, `automl evaluate`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from automl.commands.options import Json, Storage, opened, read_settings
from automl.errors import InputError
from automl.terminal.console import print_json, say

if TYPE_CHECKING:
    from automl.bundle import Bundle
    from automl.inference import Model

Folder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a winner.")]


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
    settings = read_settings()
    url = storage or settings.storage
    with opened(url) as database:
        record = read_record(database, name)
    check_replaceable(folder)
    write_bundle(bundle_of_trial(record, trial, settings.cache, checkpoint_folder(url, settings)), folder)
    typer.echo(folder)


def _loaded(bundle: "Bundle") -> "Model":
    """Return the model of a bundle, its compiled programs kept in the user's cache."""
    from automl.inference import Model
    from automl.training.cache import program_folder

    return Model(bundle, program_folder(read_settings()))


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
    with _stream(source) as stream:
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


def evaluate(
    bundle: Folder,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="File with the task's columns.")],
    metrics: Annotated[list[str] | None, typer.Option("--metric", metavar="NAME", help="May be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Score a winner on a file of pairs, decoded as it predicts."""
    from automl.bundle import read_bundle
    from automl.metrics import metric

    for name in metrics or ():
        metric(name)
    if not data.is_file():
        raise InputError(f"{data}: there is no such file; name one with the task's columns")
    result = _loaded(read_bundle(bundle)).evaluate(data, metrics or ())
    if as_json:
        print_json(result)
        return
    for name, score in result["metrics"].items():
        typer.echo(f"{name} {score:.6g}")
    typer.echo(f"rows {result['rows']}")
    for name, signature in result["signatures"].items():
        typer.echo(f"{name}: {signature}", err=True)


@contextmanager
def _stream(source: str) -> Iterator[BufferedReader]:
    if source == "-":
        yield cast("BufferedReader", sys.stdin.buffer)
        return
    if not Path(source).is_file():
        raise InputError(f"{source}: there is no such file; name a file of lines, or -")
    with Path(source).open("rb") as stream:
        yield stream
