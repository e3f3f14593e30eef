"""TensorBoard: event files, one folder for each trial, below `runs/SEARCH` or the folder that `AUTOML_RUNS` names."""

import json
from collections.abc import Mapping
from typing import Any

from automl.trackers import Dials, Told, Tracker


class TensorBoard:
    """Writes event files by tensorboardX, which needs no TensorFlow."""

    def __init__(self, told: Told) -> None:
        self._folder = told.folder / told.search
        self._writers: dict[int, Any] = {}

    def knows(self) -> bool:
        return self._folder.is_dir()

    def begin(self, trial: int, dials: Dials) -> None:
        self._writer(trial).add_text("configuration", f"```\n{json.dumps(dict(dials), indent=1)}\n```", 0)

    def scores(self, trial: int, step: int, scores: Mapping[str, float]) -> None:
        writer = self._writer(trial)
        for name, value in scores.items():
            writer.add_scalar(f"valid/{name}", value, step)
        writer.flush()

    def end(self, trial: int, state: str) -> None:
        self._writer(trial).add_text("state", state, 0)
        self._writers.pop(trial).close()

    def close(self) -> None:
        while self._writers:
            self._writers.popitem()[1].close()

    def _writer(self, trial: int) -> Any:
        if trial not in self._writers:
            from tensorboardX import SummaryWriter

            self._writers[trial] = SummaryWriter(str(self._folder / f"trial-{trial:04d}"))
        return self._writers[trial]


def tracker(told: Told) -> Tracker:
    """Return the tracker."""
    return TensorBoard(told)
