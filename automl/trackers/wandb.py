"""Weights & Biases: a group for each search, a run for each trial; its own `WANDB_…` variables say where."""

from collections.abc import Mapping
from typing import Any

from automl.trackers import Dials, Told, Tracker


class WandB:
    """Tells Weights & Biases; neither code, nor console, nor what the machine is."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._runs: dict[int, Any] = {}

    def knows(self) -> bool:
        return False  # a run that is told a step again leaves it out itself

    def begin(self, trial: int, dials: Dials) -> None:
        self._run(trial).config.update(dict(dials), allow_val_change=True)

    def scores(self, trial: int, step: int, scores: Mapping[str, float]) -> None:
        self._run(trial).log(dict(scores), step=step)

    def end(self, trial: int, state: str) -> None:
        run = self._run(trial)
        run.summary["state"] = state
        run.finish(exit_code=int(state == "FAILED"))
        self._runs.pop(trial)

    def close(self) -> None:
        while self._runs:
            self._runs.popitem()[1].finish()

    def _run(self, trial: int) -> Any:
        if trial not in self._runs:
            import wandb

            quiet = wandb.Settings(
                console="off",
                save_code=False,
                disable_git=True,
                silent=True,
                host="",  # else the name of the machine
                x_disable_stats=True,
                x_disable_meta=True,
            )
            self._runs[trial] = wandb.init(
                group=self._told.search,
                name=f"trial {trial}",
                id=f"{self._told.search}-{trial}",
                config={"kind": self._told.kind, "metric": self._told.metric},
                resume="allow",
                reinit="create_new",
                settings=quiet,
            )
        return self._runs[trial]


def tracker(told: Told) -> Tracker:
    """Return the tracker."""
    return WandB(told)
