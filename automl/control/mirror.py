"""The search as an Optuna study in the same database, for Optuna's own tools; a search does not stop when it fails."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from automl.control.criteria import Criteria
from automl.control.distributions import Ranges
from automl.control.history import Trial
from search_spaces.spaces import Space
from storage.database import Database
from storage.leases import Lease
from storage.study import Mirror, MirrorTrial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class ContainedMirror:
    """Writes the mirror and turns whatever goes wrong there into a warning."""

    def __init__(self, database: Database, lease: Lease | None, search: str, space: Space, criteria: Criteria) -> None:
        self._database = database.patient(0.0)  # a search does not wait for what others look at
        self._lease = lease
        self._search = search
        self._ranges = Ranges(space)
        self._criteria = criteria
        self._mirror: Mirror | None = None

    def update(self, trials: Iterable[Trial]) -> str | None:
        """Bring the mirror up to date with trials that have changed; returns what went wrong, if anything did."""
        try:
            directions = tuple(objective.direction for objective in self._criteria.objectives)
            mirror = self._mirror or Mirror(self._database, self._search, directions)
            self._mirror = mirror
            mirror.update([self._row(trial, new=trial.row.number not in mirror) for trial in trials], self._lease)
        except Exception as error:
            self._mirror = None
            return f"the Optuna study was not brought up to date ({type(error).__name__}); the search goes on"
        return None

    def _row(self, trial: Trial, *, new: bool) -> MirrorTrial:
        params, ranges = self._ranges.dials(trial.configuration) if new else ({}, {})
        return mirrored(trial, self._criteria, params, ranges)


def mirrored(
    trial: Trial, criteria: Criteria, params: Mapping[str, Any], ranges: "Mapping[str, BaseDistribution]"
) -> MirrorTrial:
    """Return a trial as Optuna's own tools shall show it; its parameters count where it is new to them."""
    name = criteria.metric.name
    measured = {s.tokens: s.scores[name] for s in trial.segments if name in s.scores}
    finished = trial.state == "finished"
    last = trial.segments[-1].scores if trial.segments else {}
    values = tuple(last[objective.name] for objective in criteria.objectives if objective.name in last)
    ended = trial.row.updated if trial.state in ("finished", "failed") else None
    return MirrorTrial(
        number=trial.row.number,
        state=trial.row.state,
        params=params,
        distributions=ranges,
        intermediate_values=measured,
        values=values if finished and len(values) == len(criteria.objectives) else (),
        user_attrs={"origin": trial.row.origin, "reason": trial.row.reason},
        started=trial.row.created,
        ended=ended,
    )
