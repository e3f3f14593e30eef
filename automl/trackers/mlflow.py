"""MLflow: an experiment for each search, a run for each trial, at `MLFLOW_TRACKING_URI`."""

import time
from collections.abc import Mapping
from typing import Any

from automl.trackers import Dials, Told, Tracker

ENDINGS = {"COMPLETE": "FINISHED", "FAILED": "FAILED"}
MOST_AT_ONCE = 100
LEFT = "KILLED"
"""Of a trial that waits when the search ends; if the search goes on, so does its run."""


class MLflow:
    """Tells a tracking server by MLflow's own client."""

    def __init__(self, told: Told) -> None:
        import mlflow

        self._entities: Any = mlflow.entities
        self._client: Any = mlflow.MlflowClient()
        self._told = told
        self._runs: dict[int, str] = {}
        name = f"automl/{told.search}"
        found = self._client.get_experiment_by_name(name)
        self._known = found is not None
        self._experiment = found.experiment_id if found is not None else self._client.create_experiment(name)

    def knows(self) -> bool:
        return self._known

    def begin(self, trial: int, dials: Dials) -> None:
        parameters = [self._entities.Param(name, str(value)) for name, value in dials.items()]
        for begin in range(0, len(parameters), MOST_AT_ONCE):
            self._client.log_batch(self._run(trial), params=parameters[begin : begin + MOST_AT_ONCE])

    def scores(self, trial: int, step: int, scores: Mapping[str, float]) -> None:
        now = round(1000 * time.time())
        metrics = [self._entities.Metric(name, value, now, step) for name, value in scores.items()]
        self._client.log_batch(self._run(trial), metrics=metrics)

    def end(self, trial: int, state: str) -> None:
        self._client.set_terminated(self._run(trial), status=ENDINGS[state])
        self._runs.pop(trial)

    def close(self) -> None:
        while self._runs:
            self._client.set_terminated(self._runs.popitem()[1], status=LEFT)

    def _run(self, trial: int) -> str:
        if trial not in self._runs:
            tags = {"automl.trial": str(trial), "automl.kind": self._told.kind, "automl.metric": self._told.metric}
            wanted = f"tags.`automl.trial` = '{trial}'"
            known = self._client.search_runs([self._experiment], wanted, max_results=1) if self._known else []
            run = known[0] if known else self._client.create_run(self._experiment, run_name=f"trial {trial}", tags=tags)
            self._runs[trial] = run.info.run_id
        return self._runs[trial]


def tracker(told: Told) -> Tracker:
    """Return the tracker."""
    return MLflow(told)
