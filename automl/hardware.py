"""The processors and accelerators of this machine, found without JAX."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus(environment: Mapping[str, str] = os.environ, system: Path = Path("/dev")) -> tuple[str, ...]:
    """Return the names by which CUDA knows the GPUs that may be used: those that the environment says, or all."""
    if environment.get("JAX_PLATFORMS") == "cpu":
        return ()
    files = [re.fullmatch(r"nvidia(\d+)", file.name) for file in system.glob("nvidia*")]
    numbers = sorted((found.group(1) for found in files if found), key=int)
    if VISIBLE in environment and numbers:
        return tuple(name.strip() for name in environment[VISIBLE].split(",") if name.strip())
    return tuple(numbers)


def has_accelerator() -> bool:
    """Say whether JAX is likely to find an accelerator, without asking it."""
    return bool(gpus()) or (os.environ.get("JAX_PLATFORMS") != "cpu" and Path("/dev/accel0").exists())
