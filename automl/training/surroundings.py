"""All that decides what a program is compiled to, apart from the program: our code, the libraries, the machine."""

import hashlib
import os
import platform
from collections.abc import Hashable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from automl.hardware import cores

SOURCES = (
    "automl/models", "automl/training", "automl/decoding", "search_spaces",
    "automl/data/tokenizers.py", "automl/data/boxes.py", "automl/data/pixels.py",
)  # fmt: skip
"""Files and folders of our own whose code, or constants, decide programs."""
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "jax_privacy")
VARIABLES = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NPROC", "PJRT_NPROC", "OMP_NUM_THREADS")
INDIFFERENT = ("jax_compilation_cache", "jax_persistent_cache", "jax_log", "jax_dump", "jax_traceback", "jax_explain")
"""How the settings of JAX begin that change no program."""
IDENTITY = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU part")


def digest(key: str, arguments: Hashable) -> str:
    """Return the sha256 of all that decides a program: its key, its inputs' forms, our code, libraries and machine."""
    return hashlib.sha256(repr((key, arguments, surroundings())).encode()).hexdigest()


def forms(arguments: Any) -> tuple[Hashable, ...]:
    """Return the structure of inputs, and the shape, type and place of each array."""
    leaves, tree = jax.tree.flatten(arguments)
    return (tree, *((leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False), _place(leaf)) for leaf in leaves))


def _place(leaf: Any) -> str:
    """Return where an array lies, if not on the first device as any would."""
    sharding = getattr(leaf, "sharding", None)
    return "" if sharding is None or sharding.device_set == {jax.devices()[0]} else str(sharding)


@cache
def surroundings() -> str:
    """Return everything around a program that XLA's output depends on, as one text."""
    devices = jax.devices()
    values: dict[str, Any] = jax.config.values
    return "\n".join(
        (
            source_digest(),
            *(f"{name} {_version(name)}" for name in PACKAGES),
            f"{len(devices)} {devices[0].device_kind} {devices[0].client.platform_version}",
            f"{platform.system()} {platform.machine()} {cores()}",
            *processor(),
            *(f"{name}={os.environ.get(name, '')}" for name in VARIABLES),
            *(f"{name}={values[name]!r}" for name in sorted(values) if not name.startswith(INDIFFERENT)),
        )
    )


def _version(package: str) -> str:
    """Return the version of a package, some of which only some installations have."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@cache
def source_digest() -> str:
    """Return the sha256 of our code that becomes part of programs, so that no other version's is ever loaded."""
    home = Path(__file__).parents[2]
    files = [file for name in SOURCES for file in (home / name, *sorted((home / name).rglob("*.py"))) if file.is_file()]
    read = hashlib.sha256()
    for file in files:
        read.update(f"{file.relative_to(home)}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    return read.hexdigest()


def processor() -> tuple[str, ...]:
    """Return what the system says of its first processor's kind and instructions."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return (platform.processor(),)
    return tuple(line for line in first.splitlines() if line.partition(":")[0].strip() in IDENTITY)
