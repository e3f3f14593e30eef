"""The Optuna study beside our tables: a mirror for Optuna's own tools, from which nothing of ours reads."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

    from storage.trials import TrialState


@dataclass(frozen=True)
class MirrorTrial:
    """A trial as Optuna shall show it.

    Attributes:
        params: Value by flat dial name.
        distributions: Optuna distribution by the same names.
        intermediate_values: Objective by target tokens.
        values: One a direction, for a COMPLETE trial.
    """

    number: int
    state: "TrialState"
    params: Mapping[str, Any]
    distributions: Mapping[str, "BaseDistribution"]
    intermediate_values: Mapping[int, float] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    started: datetime | None = None
    ended: datetime | None = None


class Mirror:
    """Writes trials to the Optuna study of a search; errors are Optuna's own and for the caller to contain."""

    def __init__(self, url: str, search_name: str, directions: Sequence[str] = ("minimize",)) -> None:
        """Create the study, or go on with the one that is there.

        Raises:
            ValueError: The study that is there has other directions.
        """
        from optuna.study import StudyDirection

        wanted = [StudyDirection[direction.upper()] for direction in directions]
        with _quiet():
            self._storage = _open(url)
            try:
                known = _find(self._storage, search_name)
                self._study = self._storage.create_new_study(wanted, search_name) if known is None else known
                if self._storage.get_study_directions(self._study) != wanted:
                    raise ValueError(f"the Optuna study {search_name!r} has other directions than {list(directions)}")
                trials = self._storage.get_all_trials(self._study, deepcopy=False)
            except Exception:
                self.close()
                raise
        self._told = {trial.number: trial for trial in trials}

    def update(self, rows: Sequence[MirrorTrial]) -> None:
        """Bring the study up to these trials: new ones added, finished ones told once, the rest RUNNING.

        Raises:
            ValueError: A trial is new and trials before it are neither there nor given.
        """
        with _quiet():
            for row in sorted(rows, key=lambda row: row.number):
                told = self._told.get(row.number)
                if told is None:
                    self._told[row.number] = self._add(row)
                elif not told.state.is_finished():
                    self._told[row.number] = self._continue(told, row)

    def close(self) -> None:
        """Close the connections."""
        _close(self._storage)

    def _add(self, row: MirrorTrial) -> "FrozenTrial":
        if row.number != len(self._told):
            raise ValueError(f"trial {row.number} cannot be mirrored before trial {len(self._told)}")
        trial = _freeze(row)
        trial._trial_id = self._storage.create_new_trial(self._study, template_trial=trial)
        return trial

    def _continue(self, told: "FrozenTrial", row: MirrorTrial) -> "FrozenTrial":
        trial = _freeze(row)
        trial._trial_id = told._trial_id
        for step, value in trial.intermediate_values.items():
            if step not in told.intermediate_values:
                self._storage.set_trial_intermediate_value(told._trial_id, step, value)
        for key, attribute in trial.user_attrs.items():
            if key not in told.user_attrs or told.user_attrs[key] != attribute:
                self._storage.set_trial_user_attr(told._trial_id, key, attribute)
        if trial.state.is_finished():
            self._storage.set_trial_state_values(told._trial_id, trial.state, trial.values)
        return trial


def delete_mirror(url: str, search_name: str) -> None:
    """Delete the Optuna study of a search, if there is one."""
    with _quiet():
        storage = _open(url)
        try:
            study = _find(storage, search_name)
            if study is not None:
                storage.delete_study(study)
        finally:
            _close(storage)


def _open(url: str) -> "RDBStorage":
    from optuna.storages import RDBStorage

    # Optuna fills in a template; SQLite waits 5 s for others unless told.
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else None
    return RDBStorage(url.replace("{", "{{").replace("}", "}}"), engine_kwargs=options)


def _close(storage: "RDBStorage") -> None:
    storage.remove_session()
    storage.engine.dispose()


def _find(storage: "RDBStorage", name: str) -> int | None:
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        return None


def _freeze(row: MirrorTrial) -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial

    states = {"COMPLETE": TrialState.COMPLETE, "FAILED": TrialState.FAIL}
    state = states.get(row.state, TrialState.RUNNING)
    trial = create_trial(
        state=state,
        values=list(row.values) if state is TrialState.COMPLETE else None,
        params=dict(row.params),
        distributions=dict(row.distributions),
        user_attrs=dict(row.user_attrs),
        intermediate_values=dict(row.intermediate_values),
    )
    trial.number = row.number
    trial.datetime_start = _local(row.started) or trial.datetime_start
    if state.is_finished():
        trial.datetime_complete = _local(row.ended) or trial.datetime_complete
    return trial


def _local(moment: datetime | None) -> datetime | None:
    # Optuna keeps local times without a zone.
    return None if moment is None else moment.astimezone().replace(tzinfo=None)


@contextmanager
def _quiet() -> Iterator[None]:
    from optuna import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
