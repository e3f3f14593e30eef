"""What the commands share: their options, exit codes, and the settings and the database that they open."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from automl.errors import InputError

if TYPE_CHECKING:
    from automl.settings import Settings
    from storage.database import Database

FOUND, NOTHING_FOUND, WRONG_INPUT, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Database; else AUTOML_STORAGE (where a password belongs: the command line is for all to see), "
        "else sqlite:///automl.db.",
    ),
]
ExecutorName = Literal["processes", "inline", "ray", "slots"]
Executor = Annotated[ExecutorName | None, typer.Option(help="Where trials run; processes if absent.")]
Workers = Annotated[int | None, typer.Option(min=1, metavar="N", help="Trainers at a time; by the cores if absent.")]
Address = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Ray cluster; else RAY_ADDRESS, or this machine's.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on standard output.")]
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False, help="Name of a search.")]


def read_settings() -> "Settings":
    """Return the settings of the environment.

    Raises:
        InputError: One of them is wrong.
    """
    from pydantic import ValidationError

    from automl.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors()[0]
        raise InputError(f"AUTOML_{str(wrong['loc'][0]).upper()} in the environment: {wrong['msg']}") from None


def opened(url: str) -> "closing[Database]":
    """Open a database that is there, for a `with` block."""
    from automl.records import open_existing

    return closing(open_existing(url))
