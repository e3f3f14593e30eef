"""A fresh process that writes a form of a bundle, or runs one: `python -m automl.export.child write|run FORM FOLDER …`.

`run` reads sources as JSON from standard input and prints what was made of them, the seconds that it took in the middle
of some further times, and whether JAX was loaded for it.
"""

import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from automl.export.runtimes import Runtime

TIMES = 3


def main(task: str, name: str, folder: str, *rest: str) -> dict[str, Any]:
    """Do one task and return what is printed."""
    from automl.export.forms import FORMS

    form = FORMS[name]
    if task == "write":
        from automl.bundle import read_bundle

        form.write(read_bundle(Path(rest[0])), Path(folder))
        return {}
    runtime, sources = form.open(Path(folder)), json.load(sys.stdin)
    spoken = runtime(sources)
    seconds = median(_seconds(runtime, sources) for _ in range(TIMES)) if rest else 0.0
    return {**spoken._asdict(), "seconds": seconds, "jax": "jax" in sys.modules}


def _seconds(runtime: Runtime, sources: Any) -> float:
    begun = time.perf_counter()
    runtime(sources)
    return time.perf_counter() - begun


if __name__ == "__main__":
    # What libraries print must not lie between the caller and the result.
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        json.dump(main(*sys.argv[1:]), out)
