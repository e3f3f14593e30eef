"""Which of the machine's accelerators a worker process has: one for each, or a share of one."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"
MEMORY = 0.9
"""Share of a device's memory that all of its processes together may reserve."""


def gpus(environment: Mapping[str, str], system: Path = Path("/dev")) -> tuple[str, ...]:
    """Return the names by which CUDA knows the GPUs that may be used: those that the environment says, or all."""
    if environment.get("JAX_PLATFORMS") == "cpu":
        return ()
    if VISIBLE in environment:
        return tuple(name.strip() for name in environment[VISIBLE].split(",") if name.strip())
    numbers = [re.fullmatch(r"nvidia(\d+)", file.name) for file in system.glob("nvidia*")]
    return tuple(sorted((found.group(1) for found in numbers if found), key=int))


def share(worker: int, workers: int, names: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that give one of several workers its GPU; a single worker has all of them."""
    if not names or workers == 1:
        return {}
    fraction = MEMORY / -(-workers // len(names))
    more = {FRACTION: f"{fraction:.3f}"} if workers > len(names) and FRACTION not in environment else {}
    return {VISIBLE: names[worker % len(names)], **more}
