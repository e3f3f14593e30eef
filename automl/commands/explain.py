"""`automl explain`: why a winner says what it says."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.commands.options import Json, Storage, opened, read_settings
from automl.commands.winners import Folder, loaded, stream_of
from automl.errors import InputError
from automl.terminal.console import print_json, say

if TYPE_CHECKING:
    from automl.explanation.explanation import Labelled
    from automl.explanation.neighbours import Neighbour
    from automl.explanation.predictions import Prediction
    from automl.inference import Model


def explain(  # noqa: PLR0913
    bundle: Folder,
    *,
    source: Annotated[
        str | None, typer.Option("--input", metavar="FILE", help="Lines of sources; - for input.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Pairs, with the task's columns: calibration and errors.")
    ] = None,
    train: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Training pairs: the nearest ones, and how rare symbols are.")
    ] = None,
    valid: Annotated[
        bool, typer.Option("--valid", help="Pairs and training pairs as the search of this winner has split them.")
    ] = False,
    storage: Storage = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")] = Path("explanation"),
    maps: Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="Predictions that get a heat map.")] = 12,
    as_json: Json = False,
) -> None:
    """Show where a winner looks, how sure it is, whether it is as sure as it is right, and where it errs.

    It writes one HTML page that needs no network, the predictions that it is drawn from, and pictures as PNG.
    """
    from automl.description import described
    from automl.explanation.explanation import Explanation, importance_of, write
    from automl.explanation.pictures import drawable

    for file in (data, train, None if source in (None, "-") else Path(source or "")):
        if file is not None and not file.is_file():
            raise InputError(
                f"{file}: there is no such file; name one with the task's columns, or of lines for --input"
            )
    if valid and (data is not None or train is not None):
        raise InputError("--valid is in place of --data and --train; leave it, or these, out")
    model = loaded(bundle, "truncate")
    pairs, known = _split(model.metrics, storage) if valid else (_of(model, data), _of(model, train))
    predictions = _predictions(model, source, pairs, maps)
    shown = [each.source for each in predictions if each.weights is not None]
    explanation = Explanation(
        name=str(model.metrics.get("search") or bundle.resolve().name),
        configuration=described(model.config).configuration,
        predictions=predictions,
        labelled=None if pairs is None else _labelled(model, predictions, known),
        neighbours=_neighbours(model, shown, known),
        importance=importance_of(model.metrics),
    )
    page = write(explanation, out, drawable(explanation, say))
    if as_json:
        print_json({"page": str(page), **explanation.to_mapping()})
    else:
        typer.echo(page)


def _of(model: "Model", file: Path | None) -> Mapping[str, list[str]] | None:
    return None if file is None else model.references(file)


def _split(metrics: Mapping[str, Any], storage: str | None) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return valid and train of the search that a winner is from.

    Raises:
        InputError: The database has no such search, or one of other data.
    """
    from automl.records import acceptable, corpus_of, search_row
    from automl.settings import checkpoint_folder

    settings = read_settings()
    url = storage or settings.storage
    with opened(url) as database:
        row = search_row(database, str(metrics.get("search")))
    corpus = corpus_of(row, settings.cache, checkpoint_folder(url, settings))
    if "privacy" not in metrics and corpus.contents["train"] not in metrics.get("seen", ()):
        raise InputError(
            f"search {row.name!r} of database {database.place} has other data than this winner; "
            "name its database by --storage, or files by --data and --train"
        )
    return acceptable(corpus, "valid"), acceptable(corpus, "train")


def _predictions(
    model: "Model", source: str | None, references: Mapping[str, list[str]] | None, maps: int
) -> list["Prediction"]:
    """Return what the model says of the pairs, and of the lines before them."""
    from automl.explanation.predictions import predicted
    from automl.terminal.lines import batches

    found: list[Prediction] = []
    if source is not None or references is None:
        if not model.has_source:
            raise InputError("this model reads no source; give --data, a file of texts, to see how sure it is of them")
        with stream_of(source or "-") as stream:
            name = "standard input" if source in (None, "-") else source
            lines = [line for batch in batches(stream.read1, str(name)) for line in batch]
        found += predicted(model, lines, maps=maps)
    if references is not None:
        found += predicted(model, list(references), references, maps=maps - len(found))
    return found


def _labelled(model: "Model", predictions: list["Prediction"], train: Mapping[str, list[str]] | None) -> "Labelled":
    from automl.explanation.breakdown import breakdown, symbols_of
    from automl.explanation.calibration import of_outputs, of_tokens
    from automl.explanation.explanation import Labelled

    counts = None if train is None or not model.has_source else symbols_of(map(model.source_tokens, train))
    outputs = of_outputs(predictions) if model.has_source else None
    return Labelled(outputs, of_tokens(predictions), breakdown(predictions, counts))


def _neighbours(model: "Model", shown: list[str], train: Mapping[str, list[str]] | None) -> "list[list[Neighbour]]":
    from automl.explanation.neighbours import nearest

    return nearest(model, shown, train) if train is not None and shown else []
