"""The service under load beside a search: 200 watchers of one search, and 50 requests a second on an even clock.

Time runs from when a request should have been sent, so that one that waits hides no other. Watchers and requests
come from this process; what the service takes, and what the search takes with and without it, is read from `/proc`.
"""

import asyncio
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import automl
from benchmarks.measurement import Result, arguments, load

WATCHERS, RATE, SECONDS, ALONE = 200, 50.0, 60.0, 25.0
PATHS = (
    "/v1/searches/load",
    "/v1/searches/load/trials",
    "/v1/searches/load/decisions?limit=20",
    "/v1/searches",
    "/v1/searches/load/trials/0",
    "/v1/me",
    "/v1/searches/load/report",
    "/readyz",
)
PATIENCE = 25.0
ROOM = 64
"""Connections that send requests at a time."""


@dataclass
class Tally:
    """What clients saw."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[int] = field(default_factory=Counter)
    ids: dict[int, list[int]] = field(default_factory=dict)
    ended: int = 0


def main() -> None:
    """Measure."""
    options = arguments(__doc__ or "")
    before = load()
    size = (20, 20.0, 8.0, 4.0) if options.quick else (WATCHERS, RATE, SECONDS, ALONE)
    with tempfile.TemporaryDirectory(prefix="service-") as folder, served(Path(folder)) as (port, token, server):
        search = begin(Path(folder), port, token)
        alone = share(server, size[3])
        measured = under_load(port, token, server, size)
        connection = automl.connect(f"http://127.0.0.1:{port}", token)
        measured["trials_of_the_search"] = len(connection.open(search).leaderboard())
    measured |= {"search_cores_alone": alone[1], "search_cores_under_load": measured.pop("search_cores")}
    goals = {"p99_milliseconds": "<= 250", "service_share_of_processors": "<= 0.15", "events_missed_or_doubled": "0"}
    Result("service", {}, measured, goals, (before, load())).show(as_json=options.json)


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, str, int]]:
    """Run `automl serve` in a folder; yields port, token and process id."""
    log = folder / "log"
    with log.open("wb") as stream:
        child = subprocess.Popen(
            [str(Path(sys.executable).with_name("automl")), "serve", "--port", "0", "--no-dashboard"],
            cwd=folder,
            env=os.environ | {"AUTOML_CACHE": str(folder / "cache"), "PYTHONPATH": str(Path.cwd())},
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
    try:
        assert child.stdout is not None
        token = child.stdout.readline().strip()
        while not (found := re.search(r"serving at http://127.0.0.1:(\d+)", log.read_text())):
            time.sleep(0.1)
        yield int(found[1]), token, child.pid
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()


def begin(folder: Path, port: int, token: str) -> str:
    """Submit a search and wait until a trial has a score, if that comes soon; returns its name."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=draw.randint(3, 9))) for _ in range(8_000)]
    (folder / "load.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words))
    connection = automl.connect(f"http://127.0.0.1:{port}", token)
    while not answers(connection):
        time.sleep(0.2)
    search = connection.search(str(folder / "load.tsv"), budget="20m", wait=False)
    deadline = time.monotonic() + PATIENCE
    while not any(row["scores"] for row in search.leaderboard()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return search.name


def answers(connection: Any) -> bool:
    """Whether the service listens yet."""
    try:
        connection.request("GET", "/healthz")
    except automl.InputError:
        return False
    return True


def share(server: int, seconds: float) -> tuple[float, float]:
    """Return the processor cores that service and search take over some seconds."""
    begin_, began = spent(server), time.monotonic()
    time.sleep(seconds)
    wall = time.monotonic() - began
    return tuple((new - old) / wall for old, new in zip(begin_, spent(server), strict=True))  # type: ignore[return-value]


def spent(server: int) -> tuple[float, float]:
    """Return the processor seconds of the service, and of all that descends from it, the dead included."""
    stats = {int(path.parent.name): stat_of(path) for path in Path("/proc").glob("[0-9]*/stat")}
    below, found = {server}, True
    while found:
        found = {pid for pid, stat in stats.items() if stat and int(stat[1]) in below} - below
        below |= found
    tick = os.sysconf("SC_CLK_TCK")
    own = sum(map(int, stats[server][11:13]))
    others = sum(sum(map(int, stats[pid][11:15])) for pid in below - {server}) + sum(map(int, stats[server][13:15]))
    return own / tick, others / tick


def stat_of(path: Path) -> list[str]:
    """Return the fields of a process behind its name; none where it has ended meanwhile."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def under_load(port: int, token: str, server: int, size: tuple[int, float, float, float]) -> dict[str, Any]:
    """Watch and ask; returns what was measured."""
    watchers, rate, seconds, _ = size
    begin_, began, own = spent(server), time.monotonic(), time.process_time()
    tally = asyncio.run(clients(port, token, watchers, rate, seconds))
    wall = time.monotonic() - began
    service, search = ((new - old) / wall for old, new in zip(begin_, spent(server), strict=True))
    every = sorted(second for seconds in tally.seconds.values() for second in seconds)
    slow = {path: round(1000 * sorted(found)[int(0.99 * len(found))]) for path, found in tally.seconds.items()}
    newest = max((ids[-1] for ids in tally.ids.values() if ids), default=0)
    whole = {tuple(ids) for ids in tally.ids.values() if ids and ids[-1] == newest}
    bad = sum(ids != sorted(set(ids)) for ids in tally.ids.values()) + len(whole) - 1
    return {
        "requests": len(every),
        "answers": dict(tally.statuses),
        "median_milliseconds": 1000 * every[len(every) // 2],
        "p99_milliseconds": 1000 * every[int(0.99 * len(every))],
        "longest_milliseconds": 1000 * every[-1],
        "p99_by_path": slow,
        "service_share_of_processors": service / (os.cpu_count() or 1),
        "search_cores": search,
        "clients_cores": (time.process_time() - own) / wall,
        "watchers": len(tally.ids),
        "watchers_with_the_newest_event": sum(bool(ids) and ids[-1] == newest for ids in tally.ids.values()),
        "events_seen": sum(map(len, tally.ids.values())),
        "events_missed_or_doubled": bad,
    }


async def clients(port: int, token: str, watchers: int, rate: float, seconds: float) -> Tally:
    """Be all clients for some seconds."""
    tally = Tally()
    watching = [asyncio.create_task(watch(port, token, number, tally)) for number in range(watchers)]
    await asyncio.sleep(min(seconds / 10, 3))
    room: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(ROOM):
        room.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    loop = asyncio.get_running_loop()
    began, asking = loop.time(), []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        asking.append(asyncio.create_task(ask(room, port, token, PATHS[number % len(PATHS)], due, tally)))
    await asyncio.gather(*asking)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return tally


async def ask(room: asyncio.Queue[Any], port: int, token: str, path: str, due: float, tally: Tally) -> None:
    """Send one request over a connection that is free."""
    reader, writer = await room.get()
    try:
        writer.write(head(path, token))
        status, length = await answered(reader)
        await reader.readexactly(length)
    except (OSError, asyncio.IncompleteReadError):
        status = 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    room.put_nowait((reader, writer))
    tally.statuses[status] += 1
    tally.seconds[path].append(asyncio.get_running_loop().time() - due)


async def watch(port: int, token: str, number: int, tally: Tally) -> None:
    """Watch from the first event on."""
    ids = tally.ids.setdefault(number, [])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    try:
        writer.write(head("/v1/searches/load/events", token))
        async for line in reader:
            if line.startswith(b"id: "):
                ids.append(int(line[4:]))
    finally:
        writer.close()


def head(path: str, token: str) -> bytes:
    """Return a request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


async def answered(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Read the head of an answer; returns its status and length."""
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
    return int(lines[0].split()[1]), length


if __name__ == "__main__":
    main()
