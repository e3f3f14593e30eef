"""`automl serve`."""

import errno
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer

from automl.commands.options import FOUND, Storage, read_settings
from automl.errors import InputError
from automl.terminal.console import say

if TYPE_CHECKING:
    from automl.server.options import ServerOptions
    from storage.database import Database

DRAIN_SECONDS = 150.0
RESTART_SECONDS = 5.0
PATIENT_SECONDS = 1.0
BACKLOG = 2048
WORKER = (sys.executable, "-m", "automl.commands.attendant")


def serve(  # noqa: PLR0913
    *,
    host: Annotated[str, typer.Option(help="Address to listen to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen to; 0 for any that is free.")] = 8470,
    storage: Storage = None,
    worker: Annotated[bool, typer.Option(help="Start a worker of its own.")] = True,
    new_token: Annotated[bool, typer.Option("--new-token", help="Print another token of the administrator.")] = False,
    allowed_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Name by which clients call it; may be repeated.")
    ] = None,
    behind_proxy: Annotated[bool, typer.Option("--behind-proxy", help="A trusted proxy in front does TLS.")] = False,
    proxies: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="N trusted proxies, one behind another, are in front.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate chain in PEM, for TLS.")] = None,
    private_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key in PEM.")] = None,
    keep_days: Annotated[
        float | None, typer.Option(min=1, metavar="N", help="Purge searches and uploads of accounts after N days.")
    ] = None,
    unused_days: Annotated[
        float, typer.Option(min=1, max=36_500, metavar="N", help="Delete uploads that no search has after N days.")
    ] = 30.0,
    dashboard: Annotated[bool, typer.Option(help="Show optuna-dashboard to administrators, where installed.")] = True,
) -> int:
    """Serve searches over HTTP and in a browser: submit a task, watch it, take the model home.

    The first start prints a token, once. Ctrl-C or SIGTERM ends it; what runs is saved and goes on at the next start.
    """
    from automl.server.options import LOCAL_HOSTS, server_options
    from storage.database import open_database

    settings = read_settings()
    url = storage or settings.storage
    options = server_options(
        settings,
        url,
        host=host,
        port=port,
        hosts=tuple(name.lower() for name in [*(allowed_host or ()), *LOCAL_HOSTS, host]),
        proxies=proxies or int(behind_proxy),
        certificate=certificate,
        private_key=private_key,
        dashboard=dashboard,
        keep_days=keep_days,
        unused_days=unused_days,
    )
    options.check()
    # A token is made only by who can print it: another start may have the port.
    with closing(open_database(url)) as database, listening(options) as listener:
        token = first_token(database, new=new_token)
        with Attendant(url, wanted=worker):
            run_server(options, database, listener, token)
    say("the service has ended")
    return FOUND


def first_token(database: "Database", *, new: bool) -> str | None:
    """Return a token for the administrator, where there is none yet or another one is wanted."""
    from automl.server.service import ADMINISTRATOR
    from storage.accounts import add_account, find_account
    from storage.keys import add_key, list_keys

    account = find_account(database, ADMINISTRATOR) or add_account(database, ADMINISTRATOR)
    if list_keys(database, account.id) and not new:
        return None
    return add_key(database, account.id, "admin", "printed by automl serve")[1]


def listening(options: "ServerOptions") -> socket.socket:
    """Return a socket that listens where a service does: who reads where it serves may come at once.

    Raises:
        InputError: It cannot, since another one does or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host.strip("[]"), options.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        advice = "--port names another" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host names another"
        why = (error.strerror or "is no address").lower()
        raise InputError(f"{place_of(options, options.port)}: cannot be listened to ({why}); {advice}") from None
    return listener


def place_of(options: "ServerOptions", port: int) -> str:
    """Return the address of a service."""
    host = options.host if ":" not in options.host or options.host.startswith("[") else f"[{options.host}]"
    return f"{'https' if options.certificate else 'http'}://{host}:{port}"


def run_server(options: "ServerOptions", database: "Database", listener: socket.socket, token: str | None) -> None:
    """Serve until a signal ends it."""
    import uvicorn

    from automl.server.app import create_app, guarded
    from automl.server.connections import Server, protocol

    app = create_app(options, database)
    _log()
    config = uvicorn.Config(
        guarded(app),
        host=options.host,
        port=options.port,
        http=protocol(options.limits),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.private_key,
    )
    _greet(place_of(options, listener.getsockname()[1]), token)
    gc.freeze()  # what is loaded by now stays: looking at it again would hold requests up
    # uvicorn raises the signal again at its end, which would end us before the worker has saved what runs
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    Server(config, options.limits, app.state.service.feed.close).run(sockets=[listener])


def _greet(place: str, token: str | None) -> None:
    if token is None:
        say(f"serving at {place}; its token was printed at the first start, --new-token makes another")
        return
    typer.echo(token)
    say(f"serving at {place}; above is the administrator's token, which is shown this once")
    say(f"in a browser: {place}/login#{token}")


def _log() -> None:
    from automl.server.guard import Formatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    for name, level in (("automl.server", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logging.getLogger(name).handlers = [handler]
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).propagate = False


class Attendant:
    """Keeps a worker running beside the service, and ends it in good order; at once if another signal comes."""

    def __init__(self, storage: str, *, wanted: bool, command: Sequence[str] = WORKER) -> None:
        self._storage = storage
        self._wanted = wanted
        self._command = command
        self._ended = threading.Event()
        self._hurried = threading.Event()
        self._thread = threading.Thread(target=self._attend)

    def __enter__(self) -> Self:
        if self._wanted:
            self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._hurried.set())
        self._ended.set()
        if self._wanted:
            self._thread.join(PATIENT_SECONDS)
            if self._thread.is_alive():
                say("saving what runs; it goes on at the next start (Ctrl-C again: do not wait for it)")
            self._thread.join()

    def _attend(self) -> None:
        # The thread that starts it must live as long as it: the system tells a child that the thread has ended.
        while not self._ended.is_set():
            child = subprocess.Popen(  # noqa: S603
                [*self._command, str(os.getpid())],
                env={**os.environ, "AUTOML_STORAGE": self._storage},
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            while child.poll() is None and not self._ended.wait(0.2):
                pass
            if child.poll() is None:
                self._end(child)
            elif not self._ended.wait(RESTART_SECONDS):
                say("the worker of the service has ended; another one is started")

    def _end(self, child: "subprocess.Popen[bytes]") -> None:
        child.send_signal(signal.SIGTERM)
        until = time.monotonic() + DRAIN_SECONDS
        while child.poll() is None and time.monotonic() < until and not self._hurried.wait(0.1):
            pass
        if child.poll() is None:
            child.kill()
        child.wait()
