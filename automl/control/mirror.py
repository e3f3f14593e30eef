"""The search as an Optuna study in the same database, for Optuna's own tools; a search does not stop when it fails."""

from collections.abc import Iterable

from automl.control.history import Trial
from automl.control.proposals import to_distribution
from automl.metrics import Metric
from search_spaces.spaces import Space
from storage.study import Mirror, MirrorTrial


class ContainedMirror:
    """Writes the mirror and turns whatever goes wrong there into a warning."""

    def __init__(self, url: str, search: str, space: Space, metric: Metric) -> None:
        self._url = url
        self._search = search
        self._space = space
        self._metric = metric
        self._mirror: Mirror | None = None

    def update(self, trials: Iterable[Trial]) -> str | None:
        """Bring the mirror up to date; returns what went wrong, if anything did."""
        try:
            self._mirror = self._mirror or Mirror(self._url, self._search, (self._metric.direction,))
            self._mirror.update(mirror_rows(trials, self._space, self._metric))
        except Exception as error:
            return f"the Optuna study was not brought up to date ({type(error).__name__}); the search goes on"
        return None

    def close(self) -> None:
        """Close its connections; it opens again when it is needed."""
        if self._mirror is not None:
            self._mirror.close()
            self._mirror = None


def mirror_rows(trials: Iterable[Trial], space: Space, metric: Metric) -> list[MirrorTrial]:
    """Return the trials as Optuna's own tools shall show them."""
    return [_mirrored(trial, space, metric) for trial in trials]


def _mirrored(trial: Trial, space: Space, metric: Metric) -> MirrorTrial:
    measured = {s.tokens: s.scores[metric.name] for s in trial.segments if metric.name in s.scores}
    finished = trial.state == "finished"
    ended = trial.row.updated if trial.state in ("finished", "failed") else None
    return MirrorTrial(
        number=trial.row.number,
        state=trial.row.state,
        params=space.parameters(trial.configuration),
        distributions={k: to_distribution(d) for k, d in space.distributions(trial.configuration).items()},
        intermediate_values=measured,
        values=(list(measured.values())[-1],) if finished and measured else (),
        user_attrs={"origin": trial.row.origin, "reason": trial.row.reason},
        started=trial.row.created,
        ended=ended,
    )
