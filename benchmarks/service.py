"""The service under load beside a search: 200 watchers of one search, and 50 requests a second on an even clock; then
under clients that mean no good: 100 connections held half open, and a body of 64 MiB where 1 MiB is allowed.

Time runs from when a request should have been sent, so that one that waits hides no other. Watchers and requests
come from this process; what the service takes, and what the search takes with and without it, is read from `/proc`.
Times with and without load take turns; target tokens that the search trained in each are told by its segments. Its
trials are of one shape, so that tokens of all cost the same. Clients take their part of the same processors, too.
"""

import asyncio
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import httpx

import automl
from benchmarks.measurement import Result, arguments, load
from storage.database import open_database
from storage.searches import get_search
from storage.segments import list_segments

WATCHERS, RATE, SECONDS, ALONE, ROUNDS = 200, 50.0, 60.0, 30.0, 2
WATCHING = 5
"""Accounts that the watchers are of."""
SHAPE = {
    "preset": "tiny",
    "encoder": "Recurrent",
    "encoder.Recurrent.cell": "gru",
    "encoder.Recurrent.hidden_size": 64,
    "encoder.Recurrent.num_layers": 1,
    "encoder.Recurrent.bidirectional": True,
    "decoder": "Recurrent",
    "decoder.Recurrent.cell": "gru",
    "decoder.Recurrent.hidden_size": 64,
    "decoder.Recurrent.num_layers": 1,
    "decoder.Recurrent.attention": "Additive",
    "decoder.Recurrent.attention.Additive.size": 32,
    "output": "Softmax",
    "optimizer": "AdamW",
    "batch_tokens": 2048,
}
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
PATIENCE, TRIALS = 40.0, 3
ROOM = 64
"""Connections that send requests at a time."""
HALF_OPEN, BODY_MEBIBYTES, BESIEGED = 100, 64, 15.0
"""Connections that are never done asking, a body that is too large, and seconds that honest clients ask beside them."""


@dataclass(frozen=True)
class Window:
    """Some time with or without load: when it began and ended, and processor seconds of those who ran in it."""

    loaded: bool
    begin: float
    end: float
    service: float
    search: float
    clients: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass
class Tally:
    """What clients saw."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[int] = field(default_factory=Counter)
    ids: dict[int, list[int]] = field(default_factory=dict)


def main() -> None:
    """Measure."""
    options = arguments(__doc__ or "")
    before = load()
    size = (20, 20.0, 8.0, 4.0, 1) if options.quick else (WATCHERS, RATE, SECONDS, ALONE, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="service-") as folder, served(Path(folder)) as (port, token, server):
        begin(Path(folder), port, token)
        measured, windows = asyncio.run(in_turns(port, [token, *others(port, token)], server, size))
        time.sleep(min(longest_segment(Path(folder)) + 2, PATIENCE))  # what trains when the last time ends
        measured |= lost(windows, segments_of(Path(folder)))
        measured |= asyncio.run(besieged(port, token, 20 if options.quick else RATE))
    goals = {
        "p99_milliseconds": "<= 250",
        "service_share_of_processors": "<= 0.15",
        "search_loses": "<= what service and clients take",
        "events_missed_or_doubled": "0",
        "half_open_longest_seconds": "<= 15",
        "large_body_status": "413",
        "answers_to_honest_clients": "200 alone",
    }
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


def begin(folder: Path, port: int, token: str) -> None:
    """Submit a search and wait until trials have scores, if that comes soon."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=draw.randint(3, 9))) for _ in range(8_000)]
    (folder / "load.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words))
    task = {"name": "load", "data": {"train": str(folder / "load.tsv")}, "space": SHAPE, "budget": {"time": "20m"}}
    connection = automl.connect(f"http://127.0.0.1:{port}", token)
    while not answers(connection):
        time.sleep(0.2)
    search = connection.search(task, wait=False)
    deadline = time.monotonic() + PATIENCE
    while sum(bool(row["scores"]) for row in search.leaderboard()) < TRIALS and time.monotonic() < deadline:
        time.sleep(0.5)


def others(port: int, token: str) -> Iterator[str]:
    """Make accounts that see the search as well, and yield their tokens: one may have a share of all watchers alone."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", headers=headers) as client:
        for number in range(WATCHING - 1):
            client.post("/accounts", json={"name": f"watcher-{number}"}).raise_for_status()
            key = client.post("/keys", json={"account": f"watcher-{number}", "scope": "admin"}).raise_for_status()
            yield key.json()["token"]


def answers(connection: Any) -> bool:
    """Whether the service listens yet."""
    try:
        connection.request("GET", "/healthz")
    except automl.InputError:
        return False
    return True


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


async def in_turns(
    port: int, tokens: Sequence[str], server: int, size: tuple[int, float, float, float, int]
) -> tuple[dict[str, Any], list[Window]]:
    """Be silent, then watch and ask, in turn, and be silent at the end; returns what was measured, and when."""
    watchers, rate, seconds, alone, rounds = size
    tallies: list[Tally] = []
    windows: list[Window] = []
    for place in range(2 * rounds + 1):
        before, begin_, own = spent(server), time.time(), time.process_time()
        if place % 2:
            tallies.append(await clients(port, tokens, watchers, rate, seconds))
        else:
            await asyncio.sleep(alone)
        taken = [now - then for now, then in zip(spent(server), before, strict=True)]
        windows.append(Window(bool(place % 2), begin_, time.time(), *taken, time.process_time() - own))
    return told(tallies), windows


def told(tallies: list[Tally]) -> dict[str, Any]:
    """Return what clients saw in all times with load."""
    by_path: dict[str, list[float]] = defaultdict(list)
    for tally in tallies:
        for path, found in tally.seconds.items():
            by_path[path] += found
    every = sorted(second for found in by_path.values() for second in found)
    watched = [list(tally.ids.values()) for tally in tallies]
    return {
        "requests": len(every),
        "answers": dict(sum((tally.statuses for tally in tallies), Counter[int]())),
        "median_milliseconds": 1000 * every[len(every) // 2],
        "p99_milliseconds": 1000 * every[int(0.99 * len(every))],
        "longest_milliseconds": 1000 * every[-1],
        "p99_by_path": {path: round(1000 * sorted(found)[int(0.99 * len(found))]) for path, found in by_path.items()},
        "watchers": min(map(len, watched)),
        "events_seen": sum(len(ids) for each in watched for ids in each),
        "events_missed_or_doubled": sum(map(mistakes, watched)),
    }


def mistakes(watched: list[list[int]]) -> int:
    """Count what watchers of the same time did not see alike: each saw every event once, the newest perhaps not yet."""
    whole = max(watched, key=len)
    return sum(ids != whole[: len(ids)] or ids != sorted(set(ids)) for ids in watched)


def segments_of(folder: Path) -> list[tuple[float, float, int]]:
    """Return when each segment of the search began and ended, and the target tokens that it trained."""
    with closing(open_database(f"sqlite:///{folder / 'automl.db'}")) as database:
        row = get_search(database, "load")
        assert row is not None
        before: dict[int, int] = defaultdict(int)
        found = []
        for segment in list_segments(database, row.id):
            end = segment.created.timestamp()
            found.append((end - sum(segment.seconds.values()), end, segment.tokens - before[segment.trial]))
            before[segment.trial] = segment.tokens
    return found


def longest_segment(folder: Path) -> float:
    """Return the seconds of the longest segment so far."""
    return max((end - begin_ for begin_, end, _ in segments_of(folder)), default=0.0)


def lost(windows: list[Window], segments: list[tuple[float, float, int]]) -> dict[str, Any]:
    """Return what the service took, and how many target tokens the search trained with and without its load."""
    shares: dict[bool, list[float]] = {False: [], True: []}
    cores: dict[bool, list[float]] = {False: [], True: []}
    for window in windows:
        tokens = sum(
            count * max(min(end, window.end) - max(begin_, window.begin), 0.0) / max(end - begin_, 1e-9)
            for begin_, end, count in segments
        )
        shares[window.loaded].append(tokens / window.seconds)
        cores[window.loaded].append(window.search / window.seconds)
    alone, loaded = (mean(shares[each]) for each in (False, True))
    under_load = [window for window in windows if window.loaded]
    service, clients_ = (
        mean(getattr(window, who) / window.seconds / (os.cpu_count() or 1) for window in under_load)
        for who in ("service", "clients")
    )
    return {
        "tokens_a_second_alone": [round(rate) for rate in shares[False]],
        "tokens_a_second_under_load": [round(rate) for rate in shares[True]],
        "search_loses": 1 - mean(cores[True]) / mean(cores[False]),
        **({"tokens_lost": 1 - loaded / alone} if alone else {}),  # trials of a few segments differ by more than that
        "service_share_of_processors": service,
        "clients_share_of_processors": clients_,
        "search_cores_alone": mean(cores[False]),
        "search_cores_under_load": mean(cores[True]),
        "segments": len(segments),
    }


async def clients(port: int, tokens: Sequence[str], watchers: int, rate: float, seconds: float) -> Tally:
    """Be all clients for some seconds."""
    tally = Tally()
    watching = [
        asyncio.create_task(watch(port, tokens[number % len(tokens)], number, tally)) for number in range(watchers)
    ]
    await asyncio.sleep(min(seconds / 10, 3))
    room: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(ROOM):
        room.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    loop = asyncio.get_running_loop()
    began, asking = loop.time(), []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        asking.append(asyncio.create_task(ask(room, port, tokens[0], PATHS[number % len(PATHS)], due, tally)))
    await asyncio.gather(*asking)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return tally


async def besieged(port: int, token: str, rate: float) -> dict[str, Any]:
    """Be clients that mean no good, and honest ones beside them; returns what both saw."""
    holding = asyncio.gather(*(held(port, token, number) for number in range(HALF_OPEN)))
    sending = asyncio.to_thread(send_too_much, port, token)
    honest, closed, (status, sent) = await asyncio.gather(clients(port, [token], 0, rate, BESIEGED), holding, sending)
    every = sorted(second for found in honest.seconds.values() for second in found)
    return {
        "half_open": HALF_OPEN,
        "half_open_longest_seconds": max(closed),
        "large_body_status": status,
        "large_body_mebibytes_sent": sent,
        "answers_to_honest_clients": dict(honest.statuses),
        "p99_milliseconds_of_honest_clients": 1000 * every[int(0.99 * len(every))],
    }


async def held(port: int, token: str, number: int) -> float:
    """Send nothing, half a head or half a body over a connection; returns after how many seconds it is closed."""
    body = head("/v1/proposals", token, "POST", "Content-Type: application/json", "Content-Length: 1000") + b"{"
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write((b"", head("/healthz", token)[:40], body)[number % 3])
        async with asyncio.timeout(PATIENCE):
            await reader.read()
    except TimeoutError:
        return math.inf
    except OSError:  # closed in the rudest way
        pass
    finally:
        writer.close()
    return time.monotonic() - began


def send_too_much(port: int, token: str) -> tuple[int, int]:
    """Send a body without saying how large it is; returns the status of the answer, and MiB that were taken of it."""
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(BODY_MEBIBYTES):
            yield b" " * 2**20
            sent += 1

    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/proposals", content=pieces(), headers=headers, timeout=PATIENCE)
    return answer.status_code, sent


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


def head(path: str, token: str, method: str = "GET", *headers: str) -> bytes:
    """Return a request, or its head where a body follows."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}", *headers]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


async def answered(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Read the head of an answer; returns its status and length."""
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
    return int(lines[0].split()[1]), length


if __name__ == "__main__":
    main()
