"""SIGKILL of the service and of its worker while they are watched: every watcher sees every event once, in order.

`AUTOML_KILLS` says how often, `AUTOML_KILL_SECONDS` for how long at most. Where there is Chromium, a page watches, too, and is never loaded again.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

import automl
from automl import client as clients
from storage.events import list_events
from storage.integrity import violations
from storage.searches import get_search
from tests.automl.server.browser import CHROMIUM, launched
from tests.automl.server.service import Place, opened

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("AUTOML_KILLS", "10"))
SECONDS = float(os.environ.get("AUTOML_KILL_SECONDS", "inf"))
WATCHERS = 5


class Pair:
    """A service and a worker, each a process that is started again when it was killed."""

    def __init__(self, place):
        root = str(Path(automl.__file__).parents[1])
        checkpoints = str(place.folder / "automl.checkpoints")
        self.environment = os.environ | {"PYTHONPATH": root, "AUTOML_CHECKPOINTS": checkpoints}
        self.port = free_port()
        script = str(Path(sys.executable).with_name("automl"))
        self.commands = {
            "service": [script, "serve", "--port", str(self.port), "--storage", place.url, "--no-worker"],
            "worker": [sys.executable, "-m", "tests.automl.server.toiler", str(place.folder), place.url],
        }
        self.children = {}
        for name in self.commands:
            self.start(name, place.folder)

    def start(self, name, folder):
        with (folder / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                self.commands[name], env=self.environment, cwd=folder, stdout=log, stderr=log
            )

    def kill(self, name, folder):
        self.children[name].send_signal(signal.SIGKILL)
        self.children[name].wait()
        self.start(name, folder)

    def answers(self):
        while True:
            try:
                return httpx.get(f"http://127.0.0.1:{self.port}/healthz").raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.05)

    def end(self):
        for child in self.children.values():
            child.kill()
            child.wait()


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Watcher(threading.Thread):
    """Watches by the Python client until the search has ended."""

    def __init__(self, port, token):
        super().__init__(daemon=True)
        self.port, self.token = port, token
        self.seen = []

    def run(self):
        with automl.connect(f"http://127.0.0.1:{self.port}", self.token) as service:
            for event in clients.RemoteSearch(service, "words", {}).events():
                self.seen.append(event["id"])


@pytest.fixture
def page():
    """Loads a page that follows a search; none where there is no Chromium."""
    if CHROMIUM is None:
        yield None
        return
    with launched() as browser:
        yield browser.new_page()


def look(page, place, port):
    page.goto(f"http://127.0.0.1:{port}/login#{place.token()}")
    page.wait_for_url(f"http://127.0.0.1:{port}/")
    page.goto(f"http://127.0.0.1:{port}/searches/words")
    page.evaluate("window.never_loaded_again = true")


def test_every_watcher_sees_every_event_once_whoever_is_killed(tmp_path, monkeypatch, page):
    monkeypatch.setattr(clients, "PAUSE_SECONDS", 0.1)
    monkeypatch.setenv("AUTOML_CHECKPOINTS", str(tmp_path / "automl.checkpoints"))
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    with opened(Place(tmp_path)) as place:
        place.submit(place.person(), trials=100_000)
        pair = Pair(place)
        try:
            watch_and_kill(place, pair, page)
        finally:
            pair.end()


def watch_and_kill(place, pair, page):
    pair.answers()
    if page is not None:
        look(page, place, pair.port)
    watchers = [Watcher(pair.port, place.token()) for _ in range(WATCHERS)]
    for watcher in watchers:
        watcher.start()
    draw, killed = random.Random(0), {"service": 0, "worker": 0}
    until = time.monotonic() + SECONDS
    while sum(killed.values()) < KILLS and time.monotonic() < until:
        pair.answers()
        seen = [len(watcher.seen) for watcher in watchers]
        while any(len(watcher.seen) == before for watcher, before in zip(watchers, seen, strict=True)):
            time.sleep(0.05)  # all are connected again, and told of something new
        time.sleep(draw.uniform(0, 0.5))
        name = draw.choice(("service", "worker"))
        pair.kill(name, place.folder)
        killed[name] += 1
    pair.answers()
    place.person().post("/v1/searches/words/cancel")
    for watcher in watchers:
        watcher.join(120)
    row = get_search(place.database, "words")
    events = []
    while more := list_events(place.database, row.id, events[-1] if events else 0):
        events += [event.id for event in more]
    assert not any(watcher.is_alive() for watcher in watchers)
    assert [watcher.seen == events for watcher in watchers] == [True] * WATCHERS
    assert violations(place.database, row, place.options.checkpoints) == []
    if page is not None:
        page.locator("#live .state.cancelled").wait_for(timeout=60_000)
        assert page.evaluate("window.never_loaded_again") is True
    print(f"{killed} kills, {len(events)} events, {WATCHERS} watchers: none missed, none doubled, no violation")
