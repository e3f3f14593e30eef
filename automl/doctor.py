"""Doctor: what of this installation works, and what to do about the rest."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any, Literal

from automl.errors import InputError, TrialFailure
from automl.hardware import has_accelerator, idle_accelerator
from automl.settings import Settings, checkpoint_folder
from storage.database import StorageError

DISTRIBUTION = "automl-seq2seq"
PACKAGES = ("automl", "search_spaces", "storage")
NEEDED = ("jax", "jaxlib", "flax", "optax", "optuna", "sqlalchemy", "polars", "pydantic", "tokenizers", "safetensors")
STEPS = 20
SECONDS = 180.0
TRIED = "doctor"
ANEW = "every process compiles anew: searches work, but begin later"
ACCELERATORS = {"cuda": "GPU", "tpu": "TPU"}

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        found: What was found, in one line.
        advice: What to do, where it is not ok.
    """

    name: str
    level: Level
    found: str
    advice: str = ""

    def line(self) -> str:
        """Return the check for people to read."""
        return f"{self.level:<5} {self.name}: {self.found}" + (f"; {self.advice}" if self.advice else "")

    def to_mapping(self) -> dict[str, Any]:
        """Return the check as plain JSON values."""
        return asdict(self)


def examine(url: str, settings: Settings) -> Iterator[Check]:
    """Yield every check as it is done; the last ones take some seconds."""
    yield from versions()
    yield clashes()
    yield database(url)
    yield folder("cache", settings.cache, "AUTOML_CACHE")
    yield checkpoints(url, settings)
    yield program_cache(settings)
    yield devices()
    yield programs(settings.program_key)
    yield training()


def versions() -> Iterator[Check]:
    """Look up the versions of what is needed."""
    python = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info >= (3, 11)
    yield Check("python", "ok" if fits else "fail", python, "" if fits else "use Python 3.11 or newer")
    for name in NEEDED:
        try:
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            yield Check(name, "fail", "not installed", f"install {DISTRIBUTION} with its dependencies")


def clashes() -> Check:
    """Look for other distributions that install packages of our names, and for packages that are not ours."""
    installed = packages_distributions()
    others = sorted({other for name in PACKAGES for other in installed.get(name, ()) if other != DISTRIBUTION})
    if others:
        names = ", ".join(others)
        return Check("clashes", "fail", f"{names} installs packages of the same names", f"pip uninstall {names}")
    foreign = [name for name in PACKAGES if _home(name) != Path(__file__).parent.parent]
    if foreign:
        advice = "start elsewhere, or in an environment of its own"
        return Check("clashes", "fail", f"another package hides {', '.join(foreign)}", advice)
    return Check("clashes", "ok", "no other package is called automl, search_spaces or storage")


def _home(name: str) -> Path | None:
    from importlib.util import find_spec

    spec = find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent.parent


def database(url: str) -> Check:
    """Open the database if it is there; one that is not is not made."""
    from automl.records import is_missing
    from storage.database import StorageError, open_database
    from storage.migrations import HEAD
    from storage.searches import list_searches

    if is_missing(url):
        return Check("database", "ok", "not there yet; a search makes it")
    try:
        opened = open_database(url)
        searches = len(list_searches(opened))
        opened.close()
    except StorageError as error:
        return Check("database", "fail", str(error), "name another by --storage or AUTOML_STORAGE")
    return Check("database", "ok", f"{opened.place}, schema {HEAD}, searches: {searches}")


def checkpoints(url: str, settings: Settings) -> Check:
    """Say whether checkpoints can be written where they are to lie."""
    try:
        place = checkpoint_folder(url, settings)
        if isinstance(place, Path):
            return folder("checkpoints", place, "AUTOML_CHECKPOINTS")
        place.files()
    except StorageError as error:
        return Check("checkpoints", "fail", str(error), "mend it, or set AUTOML_CHECKPOINTS to another")
    return Check("checkpoints", "ok", f"{place} answers")


def program_cache(settings: Settings) -> Check:
    """Say whether searches can keep compiled programs where they are to lie."""
    from automl.training.cache import CacheUnusable, ProgramCache, program_folder

    if settings.program_bytes == 0:
        advice = "set AUTOML_PROGRAM_BYTES to a size such as 2GiB, so that processes begin sooner"
        return Check("program cache", "warn", "nothing is kept, as AUTOML_PROGRAM_BYTES=0 says", advice)
    place = program_folder(settings)
    try:
        kept = ProgramCache(place)
        kept.write(TRIED, b"")
        kept.remove(TRIED)
    except CacheUnusable as error:
        return Check("program cache", "warn", str(error), ANEW)
    return Check("program cache", "ok", f"{place.folder}, up to {place.most_bytes / 2**30:.2g} GiB")


def folder(name: str, path: Path, variable: str) -> Check:
    """Say whether a folder can be written, or made."""
    nearest = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Check(name, "ok", str(path) if path.exists() else f"{path}, made when it is needed")
    return Check(name, "fail", f"{path} cannot be written", f"change its permissions, or set {variable} to another")


def devices() -> Check:
    """Ask JAX for its devices, in a process of its own."""
    code = "import jax; print(jax.default_backend(), *jax.devices(), sep='\\n')"
    try:
        finished = subprocess.run(  # noqa: S603
            [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Check("devices", "fail", f"no answer in {SECONDS:.0f} s", "set JAX_PLATFORMS=cpu to do without them")
    if finished.returncode != 0:
        reason = (finished.stderr.splitlines() or ["no reason given"])[-1]
        return Check("devices", "fail", reason, "install jax anew, or set JAX_PLATFORMS=cpu")
    backend, *found = finished.stdout.splitlines()
    if backend == "cpu" and (extra := idle_accelerator()):
        advice = f"install {DISTRIBUTION}[{extra}] to use it"
        return Check("devices", "warn", f"cpu, although there is a {ACCELERATORS[extra]}", advice)
    if backend == "cpu" and has_accelerator():
        advice = "look at what JAX says and at its driver, or set JAX_PLATFORMS=cpu to do without it"
        return Check("devices", "warn", "cpu, although there is an accelerator that searches count on", advice)
    return Check("devices", "ok", ", ".join(found))


def programs(key: Path) -> Check:
    """Compile a small program in one process and load it in another, through a cache as a search's."""
    answers: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="automl-doctor-") as scratch:
        for _ in range(2):
            command = [sys.executable, "-P", "-m", "automl.training.probe", str(Path(scratch) / "programs"), str(key)]
            try:
                finished = subprocess.run(  # noqa: S603
                    command, capture_output=True, text=True, timeout=SECONDS, check=True
                )
            except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
                return Check("programs", "fail", f"no program can be compiled ({type(error).__name__})", ANEW)
            answers.append(json.loads(finished.stdout))
    first, second = answers
    if second["counts"]["loaded"] == 0:
        why = "; ".join(second["said"]) or "it was not found"
        return Check("programs", "warn", f"a compiled program is not loaded by the next process: {why}", ANEW)
    found = f"compiled in {first['seconds']:.2f} s, loaded by the next process in {second['seconds']:.2f} s"
    return Check("programs", "ok", found)


def training(seconds: float = SECONDS) -> Check:
    """Train a tiny model for `STEPS` steps in a worker process, as a search would."""
    advice = "AUTOML_DEBUG=1 and a search with --executor inline show more"
    try:
        with tempfile.TemporaryDirectory(prefix="automl-doctor-") as scratch:
            steps, took = _train(Path(scratch), seconds)
    except TimeoutError:
        return Check("training", "fail", f"not done in {seconds:.0f} s", advice)
    except (TrialFailure, InputError, OSError) as error:
        return Check("training", "fail", str(error), advice)
    return Check("training", "ok", f"{steps} steps in {took:.1f} s, compiling included")


def _train(scratch: Path, seconds: float) -> tuple[int, float]:
    """Return the steps trained, a few more than `STEPS` since they run in chunks, and the seconds they took."""
    from automl.data.table import build_table
    from automl.executors import EXECUTORS
    from automl.segments import Segment, SegmentResult, Workload
    from automl.tasks.document import document_from_mapping
    from search_spaces.dials import to_dict
    from search_spaces.presets import preset

    words = [f"{number:04d}" for number in range(200)]
    (scratch / "train.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")
    document = document_from_mapping({"name": "doctor", "data": {"train": "train.tsv"}}, scratch)
    table = build_table(document, scratch)
    tokens = table.meta["splits"]["train"]["target"]["tokens"]
    target = STEPS * 128 * tokens // table.meta["splits"]["train"]["rows"]
    workload = Workload(str(table.folder), str(scratch / "checkpoints"), document.metrics)
    executor = EXECUTORS["processes"](workload, 1)
    try:
        future = executor.submit(Segment(0, to_dict(preset("tiny").default()), seed=0, to_tokens=target))
        result = future.result(timeout=seconds)
    finally:
        executor.shutdown(wait=False)
    assert isinstance(result, SegmentResult)
    return result.step, result.seconds.get("training", 0.0) + result.seconds.get("compiling", 0.0)
