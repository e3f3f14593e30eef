"""`automl serve` as somebody types it: its token, its port, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from automl.commands.serve import Attendant

PROGRAM = str(Path(sys.executable).with_name("automl"))
STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(600)"
)


@contextmanager
def serving(folder, *options):
    """A service in a folder, what it has printed as soon as it serves, and where."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTOML_")}
    command = [PROGRAM, "serve", "--no-worker", "--port", "0", *options]
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=environment | {"AUTOML_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    try:
        for line in child.stderr:
            said.append(line)
            if "serving at" in line:
                break
        found = re.search(r"serving at (http://\S+:\d+)", "".join(said))
        yield child, "".join(said), None if found is None else found[1]
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_a_token_once_serves_at_once_and_ends_in_good_order(tmp_path, number):
    with serving(tmp_path) as (child, said, place):
        assert "shown this once" in said
        token = child.stdout.readline().strip()
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{place}/v1/me", headers=headers, timeout=60).json()["account"] == "admin"
        wrong = httpx.get(f"{place}/v1/me", headers={"Authorization": "Bearer wrong"}, timeout=60)
        assert (wrong.status_code, wrong.json()["detail"].count("\n")) == (401, 0)
        child.send_signal(number)
        _, rest = child.communicate(timeout=120)
        assert (child.returncode, rest.strip().splitlines()[-1]) == (0, "automl: the service has ended")
    with serving(tmp_path) as (child, said, place):
        assert "--new-token makes another" in said
        assert httpx.get(f"{place}/v1/me", headers=headers, timeout=60).status_code == 200


def test_two_of_them_may_share_a_folder(tmp_path):
    with serving(tmp_path) as (child, _, first), serving(tmp_path) as (_, _, second):
        headers = {"Authorization": f"Bearer {child.stdout.readline().strip()}"}
        assert [httpx.get(f"{place}/v1/me", headers=headers, timeout=60).status_code for place in (first, second)] == [
            200,
            200,
        ]


def test_a_port_that_is_taken_is_said_in_a_line_and_no_token_is_made(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        with serving(tmp_path, "--port", port) as (child, said, _):
            assert child.wait(60) == 2
            assert said.strip() == (
                f"automl: http://127.0.0.1:{port}: cannot be listened to (address already in use); --port names another"
            )
    with serving(tmp_path) as (_, said, _):
        assert "shown this once" in said


def test_an_address_of_another_machine_is_said_in_a_line(tmp_path):
    with serving(tmp_path, "--host", "192.0.2.1", "--behind-proxy") as (child, said, _):
        assert child.wait(60) == 2
        assert re.fullmatch(
            r"automl: http://192\.0\.2\.1:0: cannot be listened to \(.*\); --host names another\n", said
        )


def test_a_second_signal_does_not_wait_for_what_the_worker_saves(tmp_path, capsys):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    begun = tmp_path / "begun"
    command = (sys.executable, "-c", STUBBORN, str(begun))
    impatient = threading.Thread(target=lambda: (time.sleep(2), os.kill(os.getpid(), signal.SIGINT)))
    try:
        with Attendant("sqlite://", wanted=True, command=command):
            while not begun.exists():
                time.sleep(0.01)
            impatient.start()
    finally:
        impatient.join()
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert "saving what runs" in capsys.readouterr().err
