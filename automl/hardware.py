"""The processors and accelerators of this machine, found without JAX."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"
CUDA_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
GOOGLE = "0x1ae0"
TPU_CHIPS = ("0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076")
"""Google's chips by their PCI number, as JAX counts them; what lies under /dev differs by generation."""

DEV, PCI = Path("/dev"), Path("/sys/bus/pci/devices")

Find = Callable[[str], Any]


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus(environment: Mapping[str, str] = os.environ, dev: Path = DEV, find: Find = find_spec) -> tuple[str, ...]:
    """Return the names by which CUDA knows the GPUs that JAX may use: those that the environment says, or all.

    CUDA counts from 0 those that it sees, whatever the numbers of their files, which in a container are the host's.
    What the environment names behind a name that is none does not count.
    """
    is_reached = _may_use(environment, "cuda", "gpu") and any(find(name) for name in CUDA_PLUGINS)
    if not is_reached or not has_nvidia(dev):
        return ()
    count = _files(dev)
    if VISIBLE not in environment:
        return tuple(str(number) for number in range(count or 1))
    names = (name.strip() for name in environment[VISIBLE].split(","))
    return tuple(takewhile(lambda name: _is_name(name, count), names))


def has_accelerator(
    environment: Mapping[str, str] = os.environ, dev: Path = DEV, pci: Path = PCI, find: Find = find_spec
) -> bool:
    """Say whether JAX is likely to find an accelerator, without asking it."""
    is_reached = _may_use(environment, "tpu") and ("TPU_LIBRARY_PATH" in environment or bool(find("libtpu")))
    return bool(gpus(environment, dev, find)) or (is_reached and has_tpu(dev, pci))


def idle_accelerator(
    environment: Mapping[str, str] = os.environ, dev: Path = DEV, pci: Path = PCI, find: Find = find_spec
) -> str | None:
    """Return the extra of ours by which JAX would use an accelerator that nobody forbids; none where it does."""
    if has_accelerator(environment, dev, pci, find):
        return None
    if gpus(environment, dev, _installed):
        return "cuda"
    return "tpu" if has_accelerator(environment, dev, pci, _installed) else None


def _installed(name: str) -> bool:
    """Stand for a machine that has every package."""
    return bool(name)


def has_nvidia(dev: Path = DEV) -> bool:
    """Say whether there is a GPU of NVIDIA's; under WSL2 one file stands for all."""
    return _files(dev) > 0 or (dev / "dxg").exists()


def has_tpu(dev: Path = DEV, pci: Path = PCI) -> bool:
    """Say whether there is a TPU."""
    return (dev / "accel0").exists() or any(chip in TPU_CHIPS for chip in _chips_of_google(pci))


def _chips_of_google(pci: Path) -> Iterator[str]:
    for vendor in pci.glob("*/vendor"):
        try:
            if vendor.read_text(encoding="ascii").strip() == GOOGLE:
                yield vendor.with_name("device").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue


def _files(dev: Path) -> int:
    return sum(re.fullmatch(r"nvidia\d+", file.name) is not None for file in dev.glob("nvidia*"))


def _is_name(name: str, count: int) -> bool:
    """Say whether CUDA may know a GPU by a name; 0 where it is not known how many there are."""
    is_number = name.isdecimal() and (count == 0 or int(name) < count)
    return is_number or name.startswith(("GPU-", "MIG-"))


def _may_use(environment: Mapping[str, str], *platforms: str) -> bool:
    wanted = environment.get("JAX_PLATFORMS", "")
    return not wanted or any(platform in platforms for platform in wanted.split(","))
