"""`automl repeat`: how much of a score is the seed's."""

from typing import TYPE_CHECKING, Annotated

import typer

from automl.commands.options import (
    FOUND,
    INTERRUPTED,
    Executor,
    Json,
    Storage,
    Workers,
    opened,
    read_settings,
)
from automl.commands.search import watched
from automl.terminal.console import print_json, say

if TYPE_CHECKING:
    from automl.repeats import Spread


def repeat(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a search that has ended.")],
    *,
    seeds: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Other seeds for each.")] = 3,
    finalists: Annotated[int, typer.Option(min=1, max=20, metavar="N", help="Best trials that are repeated.")] = 1,
    storage: Storage = None,
    executor: Executor = None,
    workers: Workers = None,
    new: Annotated[bool, typer.Option("--new", help="Throw earlier repetitions away.")] = False,
    as_json: Json = False,
) -> int:
    """Train the best trials of a search again under other seeds, each as long as it was, as search NAME.seeds.

    What comes of it is kept with the search, and stands on the card that automl export writes from then on. The same
    command again goes on where it was; with more seeds it adds to those there are.
    """
    from automl.records import read_record
    from automl.repeats import repeat as repeated
    from automl.searches import Options

    url = storage or read_settings().storage
    options = Options(storage=url, executor=executor, workers=workers, new=new)
    with opened(url) as database:
        read_record(database, name)  # where there is no such search, nothing is shown to begin
    with watched(None, options) as shown:
        found = repeated(name, seeds, finalists, shown)
    if as_json:
        spreads = [spread.to_mapping() for spread in found.spreads]
        print_json({"search": name, "repeated": found.search.name, "state": found.search.state, "spread": spreads})
    for spread in () if as_json else found.spreads:
        typer.echo(line_of(spread))
    if found.warning:
        say(f"take care: {found.warning}")
    if found.search.state == "interrupted":
        say("interrupted; everything is kept, and the same command goes on")
        return INTERRUPTED
    return FOUND


def line_of(spread: "Spread") -> str:
    """Return what is known of a finalist in one line."""
    deviation = "" if spread.deviation is None else f" ± {spread.deviation:.2g}"
    others = ", ".join(f"{score:.4g}" for score in spread.others)
    seeds = f"{len(spread.others)} other seed{'' if len(spread.others) == 1 else 's'}"
    return (
        f"trial {spread.trial} ({spread.families}): {spread.metric} {spread.score:.4g} as found, "
        f"{spread.mean:.4g}{deviation} under {seeds} ({others})"
    )
