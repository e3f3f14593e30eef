"""`automl init`."""

from pathlib import Path
from typing import Annotated

import typer

from automl.commands.options import Json
from automl.errors import InputError
from automl.terminal.console import print_json, say


def init(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="File, or folder with train, valid and test.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Document to write; else NAME.toml here; - prints it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at data and write the task document that fits them, with what was seen and why it says what it says."""
    from automl.tasks.draft import draft

    found = draft(data)
    for warning in found.warnings:
        say(warning)
    if as_json:
        print_json({"document": found.to_mapping(), "why": found.why, "profile": found.seen.to_mapping()})
    elif out == Path("-"):
        typer.echo(found.to_toml(Path()), nl=False)
    else:
        path = out or Path(f"{found.name}.toml")
        _write(path, found.to_toml(path.parent))
        say(f"{found.kind}: {found.why}")
        typer.echo(path)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path}: is there already; name another file by --out") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); name another file by --out") from error
