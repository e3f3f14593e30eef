"""Compiled programs: each is compiled once, and found again by later processes."""

import logging
import pickle
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Any, NamedTuple

import jax
from jax.experimental import serialize_executable

from automl.segments import ProgramCounts, ProgramFolder
from automl.training.cache import CacheUnusable, ProgramCache
from automl.training.compilations import compilations
from automl.training.surroundings import digest, forms

JAX_SECONDS = 0.2
"""JAX's own cache keeps what takes longer to compile."""
MOST_REJECTIONS = 1
"""A program that was rejected more often is left to JAX's own cache."""
NOTED = b"noted"

Program = Callable[..., Any]


class Kept(NamedTuple):
    """What the cache holds of a program.

    Attributes:
        payload: The executable as JAX serialises it; none where serialised ones cannot be loaded again.
        trees: Structures of inputs and outputs.
        devices: Numbers of the devices that it runs on.
        rejections: How often the runtime has rejected such a payload before this one.
    """

    payload: bytes | None
    trees: tuple[Any, ...] = ()
    devices: tuple[int, ...] = ()
    rejections: int = 0


class Programs:
    """Compiled programs by key and form of their inputs; safe to use from several threads.

    A program that is not in memory is loaded from the cache, else compiled and kept there. Nothing that is wrong with
    the cache is an error: it is said once, and the programs are compiled.
    """

    def __init__(self, folder: ProgramFolder | None = None, say: Callable[[str], None] | None = None) -> None:
        """Open the cache.

        Args:
            folder: Where it is; none keeps the programs of this process in memory alone.
            say: Told in one line when the cache is of no use; a warning in the log by default.
        """
        self._say = say or logging.getLogger(__name__).warning
        self._held: dict[Hashable, Future[Program]] = {}
        self._lock = Lock()
        self._compilations = compilations()
        self._loads, self._load_seconds, self._rejected = 0, 0.0, 0
        self._keeping, self._unkept = True, False
        self._cache: ProgramCache | None = None
        if folder is not None:
            with self._said():
                self._cache = ProgramCache(folder)

    @property
    def counts(self) -> ProgramCounts:
        """What this process has compiled, by whomever, and what it has loaded from the cache, so far."""
        events = self._compilations
        return ProgramCounts(events.count, events.seconds, self._loads, self._load_seconds, self._rejected)

    def get(self, key: str, build: Callable[[], Any], arguments: tuple[Any, ...]) -> Program:
        """Return a compiled program.

        Args:
            key: Says all that decides the program except for its inputs' forms, our own code, and the machine.
            build: Returns the program under `jax.jit`; called only where it is neither in memory nor in the cache.
            arguments: Inputs, or `jax.ShapeDtypeStruct` in their place.
        """
        form = forms(arguments)
        with self._lock:
            mine = (key, form) not in self._held
            held = self._held.setdefault((key, form), Future())
        if mine:
            try:
                held.set_result(self._obtained(digest(key, form), build, arguments))
            except BaseException as error:
                with self._lock:
                    del self._held[key, form]
                held.set_exception(error)
                raise
        return held.result()

    def at_hand(self, key: str, arguments: tuple[Any, ...]) -> bool:
        """Say whether a program is in memory, or is likely to be found in the cache."""
        form = forms(arguments)
        return (key, form) in self._held or (self._cache is not None and self._cache.has(digest(key, form)))

    def note(self, key: str, arguments: tuple[Any, ...]) -> None:
        """Note for later processes, under the owner's seal, that something holds of such inputs; see `is_noted`."""
        if self._cache is not None and self._keeping:
            with self._said():
                self._cache.write(digest(key, forms(arguments)), NOTED)

    def is_noted(self, key: str, arguments: tuple[Any, ...]) -> bool:
        """Say whether something was noted of such inputs by the same code, with the same libraries, on this machine."""
        return self._cache is not None and self._cache.read(digest(key, forms(arguments))) == NOTED

    def is_compiled_elsewhere(self, key: str, arguments: tuple[Any, ...]) -> bool:
        """Say whether another process is about to bring a program into the cache."""
        return self._cache is not None and self._cache.is_in_the_making(digest(key, forms(arguments)))

    def _obtained(self, name: str, build: Callable[[], Any], arguments: tuple[Any, ...]) -> Program:
        """Return a program from the cache, from another process that is compiling it, or else compile it."""
        program, kept = self._found(name)
        if program is not None:
            return program
        with nullcontext(False) if self._cache is None else self._cache.turn(name) as waited:
            if waited:
                program, kept = self._found(name)
            return program or self._compiled(name, kept, build, arguments)

    def _found(self, name: str) -> tuple[Program | None, Kept | None]:
        kept = self._read(name)
        return self._loaded(kept) if kept and kept.payload else None, kept

    def _compiled(self, name: str, kept: Kept | None, build: Callable[[], Any], arguments: tuple[Any, ...]) -> Program:
        if kept and not kept.payload:
            self._rely_on_jax(alone=kept.rejections > MOST_REJECTIONS)
        found = self._compilations.found
        compiled: Program = build().lower(*arguments).compile()
        if self._cache is not None and self._keeping:
            with self._said():
                self._keep(self._cache, name, compiled, kept, is_found=self._compilations.found > found)
        return compiled

    def _keep(self, cache: ProgramCache, name: str, compiled: Program, kept: Kept | None, *, is_found: bool) -> None:
        """Write a program to the cache; whatever goes wrong, it can be run, and may be kept another time.

        What JAX's own cache held cannot be written again in a form that runs when it is read: it stays there.
        """
        if is_found and (kept is None or kept.payload):
            cache.remove(name)
        if is_found:
            return
        try:
            cache.write(name, pickle.dumps(_kept(compiled, kept.rejections + 1 if kept and kept.payload else 0)))
        except CacheUnusable:
            raise
        except Exception as error:
            if not self._unkept:
                self._say(f"a compiled program is not kept this time ({type(error).__name__})")
            self._unkept = True

    def _read(self, name: str) -> Kept | None:
        """Return what the cache holds; only here are bytes unpickled, after the cache has checked their seal."""
        body = self._cache and self._cache.read(name)
        try:
            kept = pickle.loads(body) if body else None  # noqa: S301
        except Exception:
            return None
        return kept if isinstance(kept, Kept) else None

    def _loaded(self, kept: Kept) -> Program | None:
        """Return the executable; none where the runtime rejects it, in whatever way (jax issue 38445)."""
        begun = time.monotonic()
        try:
            program = _deserialised(kept)
        except Exception as error:
            if self._rejected == 0:
                self._say(f"a compiled program was rejected when it was loaded again ({type(error).__name__})")
            self._rejected += 1
            return None
        with self._lock:
            self._loads += 1
            self._load_seconds += time.monotonic() - begun
        return program

    def _rely_on_jax(self, *, alone: bool) -> None:
        """Let JAX keep its programs, in a folder inside of ours that nobody else can write; `alone`, all of them."""
        if self._cache is None or not self._keeping:
            return
        self._keeping = not alone
        config: Any = jax.config
        with self._said():
            config.update("jax_compilation_cache_dir", str(self._cache.private_subfolder("jax")))
            config.update("jax_persistent_cache_min_compile_time_secs", JAX_SECONDS)

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except CacheUnusable as error:
            self._keeping = False
            self._say(f"{error}; compiled programs are not kept")


def _kept(compiled: Any, rejections: int) -> Kept:
    """Return what is to be kept; no payload where the runtime rejects them or knows none of such a program.

    Raises:
        Exception: It may succeed another time, as where memory is short now.
    """
    if rejections > MOST_REJECTIONS:
        return Kept(None, rejections=rejections)
    try:
        payload, *trees = serialize_executable.serialize(compiled)
    except (ValueError, NotImplementedError, jax.errors.JaxRuntimeError) as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise
        return Kept(None)
    shardings = jax.tree.leaves((compiled.input_shardings, compiled.output_shardings))
    devices = {device.id for sharding in shardings for device in sharding.device_set}
    return Kept(payload, tuple(trees), tuple(sorted(devices)), rejections)


def _deserialised(kept: Kept) -> Program:
    devices = {device.id: device for device in jax.devices()}
    chosen = [devices[number] for number in kept.devices]
    inputs, outputs = kept.trees
    loaded: Program = serialize_executable.deserialize_and_load(kept.payload, inputs, outputs, execution_devices=chosen)
    return loaded
