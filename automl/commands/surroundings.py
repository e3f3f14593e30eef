"""What there is to work with: `automl spaces`, `automl doctor`."""

from typing import Annotated

import typer

from automl.commands.options import FOUND, NOTHING_FOUND, Json, Storage, read_settings
from automl.errors import InputError
from automl.terminal.console import print_json


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


def doctor(storage: Storage = None, as_json: Json = False) -> int:
    """Check this installation: versions, devices, database, folders, clashes, and a short training run."""
    from automl.doctor import examine

    settings = read_settings()
    checks = []
    for check in examine(storage or settings.storage, settings):
        checks.append(check)
        if not as_json:
            typer.echo(check.line())
    healthy = all(check.level != "fail" for check in checks)
    if as_json:
        print_json({"healthy": healthy, "checks": [check.to_mapping() for check in checks]})
    return FOUND if healthy else NOTHING_FOUND
