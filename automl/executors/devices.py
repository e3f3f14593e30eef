"""Which of the machine's accelerators a worker process has: one for each, or a share of one."""

from collections.abc import Mapping, Sequence

from automl.hardware import VISIBLE

FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"
MEMORY = 0.9
"""Share of a device's memory that all of its processes together may reserve."""


def share(worker: int, workers: int, names: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that give one of several workers its GPU; a single worker has all of them."""
    if not names or workers == 1:
        return {}
    fraction = MEMORY / -(-workers // len(names))
    more = {FRACTION: f"{fraction:.3f}"} if workers > len(names) and FRACTION not in environment else {}
    return {VISIBLE: names[worker % len(names)], **more}
