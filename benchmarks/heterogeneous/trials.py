"""A process of one of the sides that have JAX: answers each line of standard input by the losses of a trial.

    python -m benchmarks.heterogeneous.trials ours FOLDER

Lines and answers are those of `benchmarks.peers.pytorch.trials`.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from automl.training.compilations import compilations
from benchmarks.heterogeneous.configurations import without_dropout
from benchmarks.heterogeneous.flax_trials import OneJitATrial
from benchmarks.heterogeneous.handover import handed
from benchmarks.heterogeneous.ours import Alone, InHulls

SIDES: dict[str, Callable[[Path], Any]] = {"ours": Alone, "hulls": InHulls, "flax": OneJitATrial}


def main() -> None:
    """Answer each line."""
    folder = Path(sys.argv[2])
    side, counted = SIDES[sys.argv[1]](folder), compilations()
    print(json.dumps({"ready": jax.__version__}), flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        before = counted.seconds
        begun = time.monotonic(), time.process_time()
        drawn, values = handed(folder, wanted["place"])
        losses = side.losses(drawn, values, wanted["place"], wanted["steps"])
        seconds, processor = (
            now - then for now, then in zip((time.monotonic(), time.process_time()), begun, strict=True)
        )
        spent = {"seconds": seconds, "processor": processor, "compiling": counted.seconds - before}
        drawn = drawn._replace(configuration=without_dropout(drawn.configuration))
        checked = side.losses(drawn, values, wanted["place"], wanted["checked"])
        print(json.dumps({**spent, "losses": losses, "checked": checked}), flush=True)


if __name__ == "__main__":
    main()
