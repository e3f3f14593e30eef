"""What keeps a database well: `automl verify`, `prune`, `backup`, `export-study`, `import-study`."""

from pathlib import Path
from typing import Annotated

import typer

from automl.commands.options import FOUND, NOTHING_FOUND, Json, Storage, opened, read_settings
from automl.errors import InputError
from automl.terminal.console import print_json, say

SearchName = Annotated[str, typer.Argument(metavar="NAME", help="Name of a search.")]


def verify(
    name: SearchName,
    mirror: Annotated[bool, typer.Option("--mirror", help="Write the Optuna study anew from our rows.")] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> int:
    """Check every row and checkpoint of a search; exit code 1 and the list if anything is wrong."""
    from automl.records import rewrite_mirror, search_row
    from automl.settings import checkpoint_folder
    from storage.integrity import violations

    settings = read_settings()
    url = storage or settings.storage
    with opened(url) as database:
        row = search_row(database, name)
        found = violations(database, row, checkpoint_folder(url, settings))
        if mirror:
            rewrite_mirror(database, row)
    if as_json:
        print_json({"search": name, "violations": found})
    else:
        for line in found:
            typer.echo(line)
        say(f"search {name!r}: {len(found) or 'no'} violation{'' if len(found) == 1 else 's'}")
    return NOTHING_FOUND if found else FOUND


def prune(
    storage: Storage = None,
    age: Annotated[str, typer.Option(metavar="1h", help="What was written since then is left.")] = "1h",
    as_json: Json = False,
) -> None:
    """Delete the checkpoints that no search of the database points to, and what interrupted writes left.

    A folder of checkpoints belongs to one database: what another one points to would be deleted. What the cache of this
    machine (AUTOML_CACHE) keeps of no search goes, too, unless it is in use: texts, tables, copies of data and models.
    """
    from automl.budget import parse_duration
    from automl.leftovers import clear
    from automl.settings import checkpoint_folder
    from storage.checkpoints import forget_unreferenced, referenced
    from storage.objects import delete_unreferenced

    settings = read_settings()
    url = storage or settings.storage
    seconds = parse_duration(age)
    with opened(url) as database:
        forget_unreferenced(database, seconds)
        folder = checkpoint_folder(url, settings)
        number, size = delete_unreferenced(folder, lambda: referenced(database), seconds)
        files, length = clear(settings.cache, database, seconds)
    if as_json:
        print_json({"files": number, "bytes": size, "cache": {"files": files, "bytes": length}})
    else:
        typer.echo(f"{number} files, {size:,} bytes")
        say(f"{files} files, {length:,} bytes of the cache")


def backup(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")],
    storage: Storage = None,
    as_json: Json = False,
) -> int:
    """Copy an SQLite database and its checkpoints while searches run; the copy works like the original."""
    from automl.settings import checkpoint_folder
    from storage.backups import DATABASE, back_up

    settings = read_settings()
    url = storage or settings.storage
    with opened(url) as database:
        copied, damaged = back_up(database, checkpoint_folder(url, settings), target)
    if as_json:
        print_json({"database": str(target / DATABASE), "checkpoints": copied, "damaged": damaged})
    else:
        typer.echo(target / DATABASE)
        say(f"{copied} checkpoints were copied" + (f"; {damaged} are damaged, see automl verify" if damaged else ""))
    return NOTHING_FOUND if damaged else FOUND


def export_study(
    name: SearchName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")],
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write a search with its checkpoints as one file of data."""
    from automl.records import search_row
    from automl.settings import checkpoint_folder
    from storage.archive import export_search

    settings = read_settings()
    url = storage or settings.storage
    with opened(url) as database:
        number = export_search(database, search_row(database, name), checkpoint_folder(url, settings), file)
    if as_json:
        print_json({"search": name, "file": str(file), "checkpoints": number})
    else:
        typer.echo(file)
        say(f"search {name!r} with {number} checkpoints")


def import_study(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File that automl export-study has written.")],
    name: Annotated[str | None, typer.Option(help="Name of the search instead of its own.")] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Add a search from a file; nothing in the file is run."""
    from contextlib import closing

    from automl.settings import checkpoint_folder, private_place
    from storage.archive import check_archive, import_search
    from storage.database import open_database
    from storage.trials import list_trials

    if not file.is_file():
        raise InputError(f"{file}: there is no such file; name one that automl export-study has written")
    settings = read_settings()
    url = storage or settings.storage
    check_archive(file, name)
    with closing(open_database(url)) as database:
        row = import_search(database, private_place(checkpoint_folder(url, settings)), file, name)
        trials = len(list_trials(database, row.id))
    if as_json:
        print_json({"search": row.name, "trials": trials, "state": row.state})
    else:
        typer.echo(row.name)
        say(f"search {row.name!r} with {trials} trials, {row.state}")
