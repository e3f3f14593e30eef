"""A worker as a process of its own whose trainer only pretends, a little slowly; its arguments are a folder and a URL."""

import sys
import time
from pathlib import Path

from automl.executors import EXECUTORS, InlineExecutor
from automl.worker import WorkerOptions, work
from tests.automl.server.service import PretendedTrainer

SEGMENT_SECONDS = 0.02


class Toiler(PretendedTrainer):
    """Takes a moment for each segment."""

    def run(self, job, report, stop):
        time.sleep(SEGMENT_SECONDS)
        return super().run(job, report, stop)


def main() -> None:
    trainer = Toiler(Path(sys.argv[1]) / "automl.checkpoints")
    EXECUTORS["inline"] = lambda *_: InlineExecutor(lambda: trainer)
    work(WorkerOptions(storage=sys.argv[2], executor="inline"))


if __name__ == "__main__":
    main()
