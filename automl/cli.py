"""The command line. Results go to standard output, everything else to standard error."""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from automl.commands import (
    care,
    conversation,
    explain,
    init,
    repeat,
    search,
    serve,
    studies,
    surroundings,
    winners,
    worker,
)
from automl.commands.options import BROKEN_PIPE, FOUND, INTERRUPTED, NOTHING_FOUND, WRONG_INPUT
from automl.errors import InputError, Obstacle
from automl.terminal.console import say

COMMANDS = (
    init.init,
    search.search,
    repeat.repeat,
    studies.status,
    studies.leaderboard,
    studies.report,
    winners.export,
    winners.predict,
    winners.evaluate,
    explain.explain,
    conversation.generate,
    conversation.chat,
    care.verify,
    care.prune,
    care.backup,
    care.export_study,
    care.import_study,
    surroundings.spaces,
    surroundings.doctor,
    worker.worker,
    serve.serve,
)

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


for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Run the command line; the entry point of `automl`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; whatever goes wrong is one line on standard error."""
    try:
        whole = typer.main.get_command(app)
        with whole.make_context("automl", list(arguments)) as call:
            code = whole.invoke(call)
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

    if isinstance(error, InputError | StorageError | Obstacle):
        say(str(error))
        return INTERRUPTED if isinstance(error, Obstacle) else WRONG_INPUT
    if os.environ.get("AUTOML_DEBUG") == "1":
        traceback.print_exception(error)
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        say(f"unexpected {type(error).__name__} at {place}; AUTOML_DEBUG=1 shows all: please report it with that")
    return NOTHING_FOUND
