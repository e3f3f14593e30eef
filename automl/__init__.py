"""Searches encoder, decoder and attention configurations for (source, target) pairs.

search = automl.search("task.toml", budget="10m")
search.best.export("model")
automl.load("model").predict(["raw text"])
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.errors import InputError

if TYPE_CHECKING:
    from automl.client import Connection
    from automl.decoding.reading import TooLong
    from automl.inference import Model
    from automl.winners import Search

__all__ = ["InputError", "connect", "load", "search"]


def search(
    task: str | Path | Mapping[str, Any], budget: str | Mapping[str, Any] | None = None, **options: Any
) -> "Search":
    """Search for the best model of a task.

    Args:
        task: A task document: the path of a TOML file, or the same fields as a mapping (it needs a `name`);
            or the path of data, for which a document is proposed.
        budget: A duration such as `"10m"`, or the fields of `[budget]`; those of the document when absent,
            and ten minutes where that sets no limit either.
        options: Fields of `automl.searches.Options`: `storage`, `executor`, `out`, `workers`, `new`, `trackers`.

    Raises:
        InputError: The task or an option is wrong.
    """
    from automl.searches import Options, run_search
    from automl.tasks.document import document_from_mapping, with_budget
    from automl.tasks.draft import DEFAULT_TIME, document_for

    document = document_from_mapping(task, Path()) if isinstance(task, Mapping) else document_for(Path(task))[0]
    if budget is not None:
        document = with_budget(document, {"time": budget} if isinstance(budget, str) else budget)
    if document.is_endless:
        document = with_budget(document, {"time": DEFAULT_TIME})
    return run_search(document, Options(**options))


def load(folder: str | Path, *, too_long: "TooLong" = "refuse") -> "Model":
    """Load a winner's folder; it predicts from raw input, without the task document and the database.

    Args:
        folder: What `automl export` wrote.
        too_long: Whether a source of more tokens than the model reads is refused (`"refuse"`), or read in part with a
            warning (`"truncate"`).

    Raises:
        InputError: The folder is not a whole bundle, or `too_long` is something else.
    """
    from automl.loading import load as load_model

    return load_model(folder, too_long=too_long)


def connect(url: str, token: str) -> "Connection":
    """Connect to a service that `automl serve` runs; `connect(url, token).search(task)` searches there."""
    from automl.client import Connection

    return Connection(url, token)
