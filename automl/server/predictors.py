"""Child processes that predict, one for each model that is asked for; for another, one that nobody asks is given up."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from automl.errors import InputError
from automl.server.problems import Problem

MOST_CHILDREN = 2
LOADING_SECONDS = 180.0
ANSWER_SECONDS = 60.0
ROOM_SECONDS = 5.0
"""So long is waited until one of the children is asked by nobody."""
COMMAND = (sys.executable, "-m", "automl.server.oracle")
LONGEST_LINE = 64 * 2**20


class Sight(NamedTuple):
    """What a model says of an image, and the image's width and height in pixels."""

    output: str
    width: int
    height: int


class Oracle:
    """One child with one model; asked by one thread at a time.

    Attributes:
        askers: How many ask, or wait for their turn.
    """

    def __init__(self, folder: Path, command: Sequence[str] = COMMAND) -> None:
        self._lock = threading.Lock()
        self._child = subprocess.Popen(  # noqa: S603
            [*command, str(folder), str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._rest = b""
        self._ready = False
        self.askers = 0

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a question, as `automl.server.oracle` gives it.

        Raises:
            InputError: A source is too long for the model.
            Problem: The child does not answer (503); it is gone then.
        """
        with self._lock:
            try:
                if not self._ready:
                    self._hear(LOADING_SECONDS)
                    self._ready = True
                assert self._child.stdin is not None
                self._child.stdin.write(json.dumps(question).encode() + b"\n")
                found = self._hear(ANSWER_SECONDS)
            except (OSError, EOFError, ValueError):
                self.close()
                raise Problem(503, "the model does not answer; try again", {"Retry-After": "5"}) from None
            return found

    @property
    def is_alive(self) -> bool:
        """Whether the child lives."""
        return self._child.poll() is None

    def close(self) -> None:
        """Kill the child."""
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _hear(self, seconds: float) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._line(time.monotonic() + seconds))
        if "wrong" in answer:
            raise InputError(answer["wrong"])
        return answer

    def _line(self, deadline: float) -> bytes:
        assert self._child.stdout is not None
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._child.stdout], [], [], left)[0]:
                raise EOFError
            piece = os.read(self._child.stdout.fileno(), 65_536)
            if not piece or len(self._rest) > LONGEST_LINE:
                raise EOFError
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line


class Predictors:
    """The children of a service, by what names their bundles; none is given up while somebody asks it."""

    def __init__(self, command: Sequence[str] = COMMAND, patience: float = ROOM_SECONDS) -> None:
        self._command = command
        self._patience = patience
        self._oracles: OrderedDict[str, Oracle] = OrderedDict()
        self._changed = threading.Condition()

    def predict(self, name: str, bundle: Callable[[], Path], sources: Sequence[str]) -> list[str]:
        """Return one output for each source by the model of that name; `bundle` returns its folder.

        Raises:
            InputError: A source is too long for the model.
            Problem: The model does not answer, or all children are asked by others (503).
        """
        with self._lent(name, bundle) as oracle:
            outputs: list[str] = oracle.ask({"sources": list(sources)})["outputs"]
        return outputs

    def see(self, name: str, bundle: Callable[[], Path], images: Sequence[Path]) -> list[Sight]:
        """Return what the model of that name sees on each of some images, which lie in files; raises likewise."""
        with self._lent(name, bundle) as oracle:
            found = oracle.ask({"images": [str(image) for image in images]})
        return [Sight(output, *size) for output, size in zip(found["outputs"], found["sizes"], strict=True)]

    def look(self, name: str, bundle: Callable[[], Path], source: str) -> dict[str, Any]:
        """Return where the model of that name looks: `source` and `target` tokens, `weights` by target and source."""
        with self._lent(name, bundle) as oracle:
            looked: dict[str, Any] = oracle.ask({"look": source})["looked"]
        return looked

    def close(self) -> None:
        """Kill all."""
        with self._changed:
            while self._oracles:
                self._oracles.popitem()[1].close()

    @property
    def count(self) -> int:
        """How many live."""
        return len(self._oracles)

    @contextmanager
    def _lent(self, name: str, bundle: Callable[[], Path]) -> Iterator[Oracle]:
        oracle = self._found(name)
        if oracle is None:
            oracle = self._begun(name, bundle())
        try:
            yield oracle
        finally:
            with self._changed:
                oracle.askers -= 1
                self._changed.notify_all()

    def _found(self, name: str) -> Oracle | None:
        with self._changed:
            oracle = self._oracles.get(name)
            if oracle is None or not oracle.is_alive:
                return None
            self._oracles.move_to_end(name)
            oracle.askers += 1
            return oracle

    def _begun(self, name: str, folder: Path) -> Oracle:
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(name), self._patience):
                wait = {"Retry-After": "5"}
                raise Problem(503, "as many models predict as there is room for; try again", wait)
            if name not in self._oracles:
                self._oracles[name] = Oracle(folder, self._command)
            oracle = self._oracles[name]
            oracle.askers += 1
            return oracle

    def _has_room(self, name: str) -> bool:
        """Make room for a model; False while all children are asked by somebody."""
        for other in [other for other, oracle in self._oracles.items() if not oracle.is_alive]:
            self._oracles.pop(other).close()
        if name in self._oracles or len(self._oracles) < MOST_CHILDREN:
            return True
        idle = next((other for other, oracle in self._oracles.items() if oracle.askers == 0), None)
        if idle is not None:
            self._oracles.pop(idle).close()
        return idle is not None
