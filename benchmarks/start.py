"""The second start of a winner on a machine: a process that loads it and predicts, beyond one that imports JAX alone.

Both are fresh processes, in turn; the time is from the start of the interpreter to its end, and the processor's. The
first start of the same winner, which compiles what the second one finds, stands beside it.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from automl.bundle import write_bundle
from benchmarks.decode import KINDS, model
from benchmarks.measurement import Result, arguments, interleaved, load, median

SIZE, QUICK_SIZE = 128, 32
RUNS, QUICK_RUNS = 7, 1
IMPORT = "import jax; jax.devices()"
PREDICT = "import sys, automl; automl.load(sys.argv[1]).predict(['abc']); print('flax' in sys.modules)"


class Taken(NamedTuple):
    """Seconds of a process, and those of its processor; what it printed."""

    seconds: float
    processor: float
    printed: str


def main() -> None:
    """Measure a Transformer and a recurrent model."""
    options = arguments(__doc__ or "")
    before = load()
    runs = QUICK_RUNS if options.quick else RUNS
    ratios: dict[str, float] = {}
    measured: dict[str, float] = {"runs": runs}
    for kind in KINDS:
        with tempfile.TemporaryDirectory(prefix="start-") as scratch:
            found = measure(Path(scratch), kind, QUICK_SIZE if options.quick else SIZE, runs)
        measured |= {f"{kind}_{name}": value for name, value in found.items()}
        ratios[f"{kind}_second_start"] = found["first_beyond_jax_seconds"] / found["second_beyond_jax_seconds"]
    goals = {f"{kind}_second_beyond_jax_seconds": "<= 2" for kind in KINDS}
    Result("start", ratios, measured, goals, (before, load())).show(as_json=options.json)


def measure(scratch: Path, kind: str, size: int, runs: int) -> dict[str, float]:
    """Start a model once, and then several times beside processes that import JAX.

    Raises:
        RuntimeError: A second start has built a model.
    """
    write_bundle(model(kind, size), scratch / "winner")
    environment = {"AUTOML_CACHE": str(scratch / "cache"), "AUTOML_PROGRAM_KEY": str(scratch / "programs.key")}
    winner = partial(run, environment, PREDICT, str(scratch / "winner"))
    first = winner()
    found = interleaved({"jax": partial(run, environment, IMPORT), "second": winner}, runs)
    if any(each.printed != "False" for each in found["second"]):
        raise RuntimeError("a second start has imported Flax: it found no compiled program")
    alone, second = (
        Taken(*(median(each[i] for each in found[name]) for i in (0, 1)), "") for name in ("jax", "second")
    )
    return {
        "import_jax_seconds": alone.seconds,
        "import_jax_processor_seconds": alone.processor,
        "first_beyond_jax_seconds": first.seconds - alone.seconds,
        "second_beyond_jax_seconds": second.seconds - alone.seconds,
        "second_beyond_jax_processor_seconds": second.processor - alone.processor,
    }


def run(environment: Mapping[str, str], code: str, *arguments: str) -> Taken:
    """Run a program in a fresh process.

    Raises:
        RuntimeError: It fails.
    """
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read().strip()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{code}: ended with {process.returncode}")
    return Taken(time.perf_counter() - begun, used.ru_utime + used.ru_stime, printed)


if __name__ == "__main__":
    main()
