"""Compiling beside training: in another process, which hands its programs back through the cache.

XLA releases the interpreter's lock while it compiles, but tracing does not, and both want a processor core: a process
of its own, at low priority, neither holds the lock nor takes the core that trains.
"""

import importlib
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import jax

from automl.segments import ProgramFolder
from automl.training.programs import Program, Programs

NICENESS = 10


class Source(NamedTuple):
    """How another process builds a program.

    Attributes:
        function: `module:function`, which returns a program under `jax.jit`.
        inputs: What it is called with.
    """

    function: str
    inputs: tuple[Any, ...]

    def build(self) -> Any:
        """Return the program."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(module), name)(*self.inputs)


class Order(NamedTuple):
    """What the other process is told."""

    folder: ProgramFolder
    key: str
    source: Source
    forms: tuple[Any, ...]


class BackgroundCompiler:
    """Gets programs ready while others run, one after another.

    Where no other process can compile for this one (without a cache, or when it died), a thread of this one does.
    """

    def __init__(self, programs: Programs, folder: ProgramFolder | None, seconds: float = 600.0) -> None:
        """Take no resources yet.

        Args:
            programs: Where the programs come to be at hand.
            folder: Of the cache that is shared with the other process.
            seconds: After so many the other process is given up.
        """
        self._programs = programs
        self._folder = folder
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compiler")
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, key: str, source: Source, arguments: tuple[Any, ...]) -> Future[Program]:
        """Get a program ready; the future ends with it, and from then on `Programs.get` has it.

        Args:
            key: As for `Programs.get`.
            source: Builds the program.
            arguments: Its inputs; only their forms are kept.
        """
        struct: Any = jax.ShapeDtypeStruct
        forms = jax.tree.map(lambda leaf: struct(leaf.shape, leaf.dtype), arguments)
        return self._thread.submit(partial(self._prepare, key, source, forms))

    def close(self) -> None:
        """End the other process; what has not begun is cancelled."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
        self._thread.shutdown(cancel_futures=True)

    def _prepare(self, key: str, source: Source, forms: tuple[Any, ...]) -> Program:
        if self._folder is not None and not self._programs.at_hand(key, forms):
            self._compile_elsewhere(Order(self._folder, key, source, forms))
        if self._closed:
            raise CancelledError
        return self._programs.get(key, source.build, forms)

    def _compile_elsewhere(self, order: Order) -> None:
        ours, theirs = multiprocessing.Pipe()
        with self._lock:
            if self._closed:
                return
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "automl.training.compiler", str(theirs.fileno())],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.__stderr__,
                process_group=0,
            )
        theirs.close()
        try:
            ours.send(order)
            self._process.wait(self._seconds)
        except OSError:
            self._process.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        ours.close()


def main() -> None:
    """Compile what is asked for by the pipe whose file descriptor is the first argument; end when the pipe does."""
    os.nice(NICENESS)
    pipe: Connection[Any, Any] = Connection(int(sys.argv[1]))
    try:
        order: Order = pipe.recv()
    except EOFError:
        return
    threading.Thread(target=_end_with, args=(pipe,), daemon=True).start()
    Programs(order.folder).get(order.key, order.source.build, order.forms)


def _end_with(pipe: "Connection[Any, Any]") -> None:
    try:
        pipe.recv()
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    main()
