"""A search is worked on by one process at a time: its lease, and the epoch that fences off every older holder."""

import os
import socket
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Connection

from storage.database import StorageError

PROC = Path("/proc")


@dataclass(frozen=True)
class Lease:
    """The right to write to one search, until a newer epoch exists."""

    search_id: int
    epoch: int


class LeaseHeld(StorageError):
    """Another live process holds the lease; `owner` says which."""

    def __init__(self, name: str, owner: str) -> None:
        super().__init__(f"search {name!r} is being run by {describe_owner(owner)}; wait for it or stop it first")
        self.owner = owner


class LeaseLost(StorageError):
    """A newer epoch exists: this process must stop writing."""

    def __init__(self) -> None:
        super().__init__("another process has taken over this search; this one stops")


@dataclass(frozen=True)
class Instant:
    """A reading of the lease clock: `seconds` compare only under the same `boot`."""

    boot: str
    seconds: float


@cache
def boot_id() -> str:
    """Names the time since the machine was started; empty where the system has no such name."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def read_clock(connection: Connection) -> Instant:
    """The server's clock; on SQLite, which one machine uses, the machine's monotonic clock with its boot."""
    match connection.dialect.name:
        case "sqlite":
            return Instant(boot_id(), time.monotonic())
        case "postgresql":
            statement = "SELECT extract(epoch FROM clock_timestamp())"
        case _:
            statement = "SELECT unix_timestamp(sysdate(6))"
    return Instant("", float(connection.exec_driver_sql(statement).scalar_one()))


def current_owner() -> str:
    """This process as `host:pid:start:place`; the last two tell a reused pid and another container apart."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_started(pid) or ''}:{_place()}"


def describe_owner(owner: str) -> str:
    """The owner in words."""
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    return f"process {pid} on {host}" if pid.isdigit() else owner


def is_dead(owner: str) -> bool:
    """Whether the owner was a process of this machine and boot that is no more; False whenever that is unknown."""
    host, pid, started, place = [*owner.split(":", 3), "", "", ""][:4]
    if not pid.isdigit() or not started or host != socket.gethostname() or place != _place():
        return False
    return _started(int(pid)) not in (started, None)


def _place() -> str:
    try:
        namespace = (PROC / "self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return f"{boot_id()}.{namespace}"


def _started(pid: int) -> str | None:
    """Start of a process in clock ticks since boot; empty where it has ended, even if nobody has waited for it.

    None where that cannot be known: other users' processes may be hidden.
    """
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if _is_there(pid) else ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
