"""`automl worker`."""

import gc
import sys
from typing import Annotated

import typer

from automl.commands.options import FOUND, Address, Executor, Storage, Workers, read_settings
from automl.terminal.console import say


def worker(
    storage: Storage = None,
    executor: Executor = None,
    address: Address = None,
    workers: Workers = None,
    once: Annotated[bool, typer.Option("--once", help="Run one search, if one is queued, and end.")] = False,
) -> int:
    """Run searches that were queued by `automl search --detach`, one after another.

    Any number of workers on any number of machines share a database and a folder of checkpoints. Ctrl-C or SIGTERM lets
    what runs end, saves it, and leaves the search to another worker; a second one leaves at once.
    """
    from automl.terminal.interruption import Interruption
    from automl.terminal.progress import display
    from automl.worker import WorkerOptions, work

    shown = display(None, sys.stderr)
    gc.freeze()  # what is imported stays, and looking through all of it would hold up decisions
    try:
        with Interruption(shown) as interruption:
            work(
                WorkerOptions(
                    storage=storage or read_settings().storage,
                    executor=executor,
                    workers=workers,
                    address=address,
                    once=once,
                    say=lambda line: shown.notice(f"automl: {line}"),
                    watch=interruption.watch,
                    on_change=shown.change,
                )
            )
    finally:
        shown.stop()
    say("the worker has ended")
    return FOUND
