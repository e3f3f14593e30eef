"""Child processes that predict, one for each model that is asked for, the least recently used one given up."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from automl.errors import InputError
from automl.server.problems import Problem

MOST_CHILDREN = 2
LOADING_SECONDS = 180.0
ANSWER_SECONDS = 60.0
COMMAND = (sys.executable, "-m", "automl.server.oracle")
LONGEST_LINE = 64 * 2**20


class Sight(NamedTuple):
    """What a model says of an image, and the image's width and height in pixels."""

    output: str
    width: int
    height: int


class Oracle:
    """One child with one model; asked by one thread at a time."""

    def __init__(self, folder: Path, command: Sequence[str] = COMMAND) -> None:
        self._lock = threading.Lock()
        self._child = subprocess.Popen(  # noqa: S603
            [*command, str(folder), str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._rest = b""
        self._ready = False

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
    """The children of a service, by what names their bundles."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._oracles: OrderedDict[str, Oracle] = OrderedDict()
        self._lock = threading.Lock()

    def predict(self, name: str, bundle: Callable[[], Path], sources: Sequence[str]) -> list[str]:
        """Return one output for each source by the model of that name; `bundle` returns its folder."""
        outputs: list[str] = self._oracle(name, bundle).ask({"sources": list(sources)})["outputs"]
        return outputs

    def see(self, name: str, bundle: Callable[[], Path], images: Sequence[Path]) -> list[Sight]:
        """Return what the model of that name sees on each of some images, which lie in files."""
        found = self._oracle(name, bundle).ask({"images": [str(image) for image in images]})
        return [Sight(output, *size) for output, size in zip(found["outputs"], found["sizes"], strict=True)]

    def look(self, name: str, bundle: Callable[[], Path], source: str) -> dict[str, Any]:
        """Return where the model of that name looks: `source` and `target` tokens, `weights` by target and source."""
        looked: dict[str, Any] = self._oracle(name, bundle).ask({"look": source})["looked"]
        return looked

    def close(self) -> None:
        """Kill all."""
        with self._lock:
            while self._oracles:
                self._oracles.popitem()[1].close()

    @property
    def count(self) -> int:
        """How many live."""
        return len(self._oracles)

    def _oracle(self, name: str, bundle: Callable[[], Path]) -> Oracle:
        with self._lock:
            oracle = self._oracles.get(name)
            if oracle is None or not oracle.is_alive:
                oracle = self._oracles[name] = Oracle(bundle(), self._command)
            self._oracles.move_to_end(name)
            while len(self._oracles) > MOST_CHILDREN:
                self._oracles.popitem(last=False)[1].close()
            return oracle
