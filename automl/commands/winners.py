"""What a winner does: `automl export`, `automl predict`, `automl evaluate`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from automl.commands.options import Json, Storage, opened, read_settings
from automl.errors import InputError
from automl.terminal.console import print_json, say

if TYPE_CHECKING:
    from automl.decoding.reading import TooLong
    from automl.inference import Model
    from search_spaces.decoding import Decoding


class FormName(StrEnum):
    """The forms of `automl.export.forms.FORMS`, named here because those take their time to import."""

    BUNDLE = "bundle"
    INT8 = "int8"
    STABLEHLO = "stablehlo"
    ONNX = "onnx"
    CTRANSLATE2 = "ctranslate2"
    CTRANSLATE2_INT8 = "ctranslate2-int8"


Folder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a winner.")]


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a search.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    trial: Annotated[int | None, typer.Option(min=0, metavar="N", help="A trial other than the winner.")] = None,
    forms: Annotated[
        list[FormName] | None,
        typer.Option("--format", help="A further form, in a folder of its name inside; may be repeated."),
    ] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write the winner of a search, or one of its trials, as a folder that predicts.

    Every further form is loaded by a fresh process and compared with the model on 200 sources, or on all that there
    are; all of it is written, or nothing. What of it decodes fastest is said. What it remembers of train stands on its
    card.
    """
    from automl.bundle import check_replaceable
    from automl.export.exporting import check_forms
    from automl.export.exporting import export as write_forms
    from automl.records import bundle_of_trial, read_record, sample_of
    from automl.settings import checkpoint_folder
    from automl.terminal.interruption import ended_like_ctrl_c
    from automl.training.cache import program_folder

    settings = read_settings()
    url = storage or settings.storage
    with opened(url) as database:
        record = read_record(database, name)
    check_replaceable(folder)
    checkpoints = checkpoint_folder(url, settings)
    names = forms or [FormName.BUNDLE]
    programs, suits = program_folder(settings), partial(check_forms, names)
    bundle = bundle_of_trial(record, trial, settings.cache, checkpoints, say, programs, suits)
    sample = sample_of(record, bundle, settings.cache, checkpoints)
    with ended_like_ctrl_c():
        compared = write_forms(bundle, folder, names, sample, say)
    if not as_json:
        typer.echo(folder)
        return
    remembered = {name: bundle.metrics.get(name) for name in ("membership", "exposure")}
    forms_said = {form: asdict(found) for form, found in compared.items()}
    print_json({"bundle": str(folder), **remembered, "forms": forms_said})


def loaded(folder: Path, too_long: "TooLong" = "refuse") -> "Model":
    """Return the model of a bundle; what it has to say stands on standard error."""
    from automl.loading import load

    return load(folder, too_long=too_long, settings=read_settings(), on_notice=say)


def predict(
    bundle: Folder,
    *,
    source: Annotated[str, typer.Option("--input", metavar="FILE", help="Lines of sources; - for input.")] = "-",
    beam: Annotated[
        int | None, typer.Option(min=1, max=64, metavar="N", help="Partial outputs side by side; 1 is greedy.")
    ] = None,
    length_penalty: Annotated[
        float | None, typer.Option(min=0, max=10, metavar="P", help="Power of the length that beams divide scores by.")
    ] = None,
    n_best: Annotated[
        int | None, typer.Option("--n-best", min=1, max=64, metavar="N", help="So many outputs a source, with scores.")
    ] = None,
    too_long: Annotated[
        Literal["refuse", "truncate"], typer.Option(help="What to do with sources longer than the model reads.")
    ] = "refuse",
    as_json: Json = False,
) -> None:
    """Predict: one line in, one line out; with --n-best, several: number of the source, score, output."""
    from automl.decoding.reading import SourceTooLong
    from automl.terminal.lines import batches, one_line

    model = loaded(bundle, too_long)
    decoding = _decoding(model.decoding, beam, length_penalty)
    outputs: list[Any] = []
    first, name = 1, "standard input" if source == "-" else source
    with stream_of(source) as stream:
        if source == "-" and sys.stdin.isatty():
            say("type one source a line; Ctrl-D ends")
        for lines in batches(stream.read1, name):
            try:
                predicted = _predicted(model, lines, decoding, n_best)
            except SourceTooLong as error:
                raise InputError(f"{name}, line {first + error.place}: {error.why}") from None
            if as_json:
                outputs += predicted
            else:
                typer.echo("\n".join(_printed(predicted, first, one_line)))
            first += len(lines)
    if as_json:
        print_json({"outputs": outputs})


def _decoding(own: "Decoding", beam: int | None, length_penalty: float | None) -> "Decoding":
    """Return how a bundle decodes, changed by what the command line says."""
    from search_spaces.decoding import Beam, Greedy

    if beam is None and length_penalty is None:
        return own
    known = own if isinstance(own, Beam) else Beam()
    changed = Beam(beam or known.beam, known.length_penalty if length_penalty is None else length_penalty)
    return Greedy() if changed.beam == 1 else changed


def _predicted(model: "Model", lines: list[str], decoding: "Decoding", n_best: int | None) -> list[Any]:
    from search_spaces.decoding import Beam

    if not model.has_source:
        raise InputError("this model reads no source; automl generate goes on with a prompt")
    if n_best is None:
        return model.predict(lines, decoding)
    found = model.candidates(lines, n_best, decoding if isinstance(decoding, Beam) else None)
    return [[candidate._asdict() for candidate in candidates] for candidates in found]


def _printed(predicted: list[Any], first: int, one_line: Callable[[str], str]) -> Iterator[str]:
    for number, each in enumerate(predicted, first):
        if isinstance(each, str):
            yield one_line(each)
        else:
            yield from (f"{number}\t{found['score']:.4f}\t{one_line(found['output'])}" for found in each)


def evaluate(
    bundle: Folder,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="File with the task's columns, or folder of images.")],
    metrics: Annotated[list[str] | None, typer.Option("--metric", metavar="NAME", help="May be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Score a winner on a file of pairs, decoded as it predicts."""
    from automl.metrics import metric

    for name in metrics or ():
        metric(name)
    if not data.exists():
        raise InputError(f"{data}: there is no such file; name one with the task's columns")
    result = loaded(bundle).evaluate(data, metrics or ())
    if as_json:
        print_json(result)
        return
    for name, score in result["metrics"].items():
        typer.echo(f"{name} {score:.6g}")
    typer.echo(f"rows {result['rows']}")
    for name, signature in result["signatures"].items():
        typer.echo(f"{name}: {signature}", err=True)


@contextmanager
def stream_of(source: str) -> Iterator[BufferedReader]:
    """Open a file of lines, or standard input for `-`."""
    if source == "-":
        yield cast("BufferedReader", sys.stdin.buffer)
        return
    if not Path(source).is_file():
        what = "is a folder" if Path(source).is_dir() else "there is no such file"
        raise InputError(f"{source}: {what}; name a file of lines, or -")
    with Path(source).open("rb") as stream:
        yield stream
