"""Faults at the n-th point: before and after every statement, commit, write, fsync and rename.

An error after a commit is a commit that its caller takes for failed; with `LOST` the caller cannot know.
"""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from storage.database import StorageError, Transaction
from storage.engines import ConnectionLost

PATCHED = (
    (os, "fsync"),
    (Path, "replace"),
    (tempfile, "mkstemp"),
    (Transaction, "_execute"),
    (Transaction, "run_many"),
    (DefaultDialect, "do_execute"),
    (DefaultDialect, "do_commit"),
)


@dataclass
class Faults:
    """Strikes once, at point number `at`; `kind` is kill, ENOSPC, EIO or LOST, which is a connection's end."""

    at: int
    kind: str
    points: int = 0
    has_struck: bool = False

    def pass_point(self, owner: Any, called: Any = None) -> None:
        self.points += 1
        if self.points == self.at:
            self.strike(owner, called)

    def strike(self, owner: Any, called: Any) -> None:
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "LOST" and owner not in (DefaultDialect, Transaction):
            return
        self.has_struck = True
        if self.kind == "LOST":
            raise ConnectionLost("the connection was lost")
        message = {"ENOSPC": "database or disk is full", "EIO": "disk I/O error"}[self.kind]
        if owner is DefaultDialect:
            raise called.loaded_dbapi.OperationalError(message)
        if owner is Transaction:
            raise StorageError(message)
        raise OSError(28 if self.kind == "ENOSPC" else 5, message)

    def around(self, owner: Any, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            called = arguments[0] if arguments else None
            self.pass_point(owner, called)
            result = original(*arguments, **options)
            self.pass_point(owner, called)
            return result

        return call

    @contextmanager
    def installed(self) -> Iterator["Faults"]:
        originals = [(owner, name, getattr(owner, name)) for owner, name in PATCHED]
        half = os.fdopen
        try:
            for owner, name, original in originals:
                setattr(owner, name, self.around(owner, original))
            os.fdopen = lambda *arguments, **options: HalfWriter(half(*arguments, **options), self)  # type: ignore[assignment]
            yield self
        finally:
            os.fdopen = half
            for owner, name, original in originals:
                setattr(owner, name, original)


class HalfWriter:
    """A file whose bytes arrive in two halves, with a point between."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self._file, self._faults = file, faults

    def __enter__(self) -> "HalfWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        self._faults.pass_point(os)
        self._file.write(data[len(data) // 2 :])


def in_a_child(work: Callable[[], None]) -> int:
    """Run in a forked process; return its exit code, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
