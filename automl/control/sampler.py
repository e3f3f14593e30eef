"""Optuna's TPE, asked over a private study that is rebuilt from what was measured.

A live study would count every paused trial as running, hence among the bad. So each trial with a score, paused or
finished, becomes one COMPLETE row, and each trial in its first segment a RUNNING one.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from copy import copy
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from automl.control.distributions import distributions
from automl.control.ranking import Tried, informative
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space
from storage.studies import quiet

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import TPESampler
    from optuna.trial import FrozenTrial

    Group = dict[str, BaseDistribution]
    Dials = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]
    """Parameters of a configuration and the ranges behind them."""

STARTUP_TRIALS = 6
ASKS = 4
"""Optuna is asked at most so often for one choice: an answer costs milliseconds, and may be known already."""
RENEWAL = 32
"""The study is rebuilt when more by one part in so many have been tried."""


class Sampler:
    """Draws configurations, and offers those that nobody has begun again until the study is rebuilt.

    Attributes:
        seed: With the trials at the time of a rebuilding it decides what is drawn.
    """

    def __init__(self, space: Space, seed: int, admissible: Callable[[Seq2Seq], bool]) -> None:
        self.seed = seed
        self._space = space
        self._admissible = admissible
        self._study: Study | None = None
        self._span = range(0)
        self._drawn: list[Seq2Seq] = []
        self._dials: dict[Seq2Seq, Dials] = {}

    def draws(self, tried: Sequence[Tried], known: Container[Seq2Seq]) -> Iterator[Seq2Seq]:
        """Yield draws that are left, then new ones, of which `ASKS` at most."""
        if self._study is None or len(tried) not in self._span:
            with quiet():
                self._study = study_of(self._space, tried, derived_seed(self.seed, len(tried)), self._dials)
            self._span = range(len(tried), len(tried) + max(1, len(tried) // RENEWAL))
            self._drawn = []
        self._drawn = [configuration for configuration in self._drawn if configuration not in known]
        yield from list(self._drawn)
        for _ in range(ASKS):
            with quiet():
                configuration = self._ask(self._study)
            if self._admissible(configuration):
                self._drawn.append(configuration)
            yield configuration

    def _ask(self, study: "Study") -> Seq2Seq:
        from optuna.trial import TrialState

        trial = study.ask()
        configuration = self._space.sample(trial)
        study.tell(trial, state=TrialState.FAIL)
        return configuration


def derived_seed(seed: int, number: int) -> int:
    """Return a seed of its own for the choice after so many trials."""
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def groups(ranges: "Mapping[str, BaseDistribution]", rows: Iterable[Collection[str]]) -> "dict[str, Group]":
    """Return the group of each dial: those that are there in the same rows, one density for all of them."""
    places: dict[str, list[int]] = {name: [] for name in ranges}
    for place, row in enumerate(rows):
        for name in places.keys() & row:
            places[name].append(place)
    found: dict[tuple[int, ...], Group] = defaultdict(dict)
    for name, distribution in ranges.items():
        found[tuple(places[name])][name] = distribution
    return {name: found[tuple(places[name])] for name in ranges}


def study_of(space: Space, tried: Sequence[Tried], seed: int, known: "dict[Seq2Seq, Dials] | None" = None) -> "Study":
    """Return a study in memory of what was tried, the ranks of the trials as values.

    Args:
        known: Remembers the dials of configurations from study to study.
    """
    from optuna import create_study

    study = create_study(sampler=_sampler_type()(seed))
    ranks = informative([t.score for t in tried if t.score is not None])
    known = {} if known is None else known
    for trial in tried:
        if trial.score in ranks or (trial.score is None and not trial.failed):
            dials = known.get(trial.configuration)
            if dials is None:
                ranges = distributions(space, trial.configuration)
                dials = known[trial.configuration] = (space.parameters(trial.configuration), ranges)
            rank = None if trial.score is None else ranks[trial.score]
            study.add_trial(_row(dials, rank))
    return study


@cache
def _sampler_type() -> "Callable[[int], TPESampler]":
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    class Reached(TPESampler):
        """TPE that samples a group of dials when the first of them is asked for.

        Optuna samples every group, those of kinds that the draw does not have included, and looks at all rows for the
        groups at each draw. Groups are independent of each other, so draws follow the same distribution; the rows of a
        study must not change after the first draw.
        """

        def __init__(self, seed: int) -> None:
            options: dict[str, Any] = {"multivariate": True, "group": True, "constant_liar": True}
            super().__init__(seed=seed, n_startup_trials=STARTUP_TRIALS, **options)
            self._groups: dict[str, Group] | None = None
            self._found: dict[str, Any] = {}

        def infer_relative_search_space(self, study: "Study", trial: "FrozenTrial") -> "dict[str, BaseDistribution]":
            self._found = {}
            if self._groups is None:
                ranges = super().infer_relative_search_space(study, trial)
                complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
                self._groups = groups(ranges, [trial.params.keys() for trial in complete])
            return {}

        def sample_independent(
            self, study: "Study", trial: "FrozenTrial", param_name: str, param_distribution: "BaseDistribution"
        ) -> Any:
            group = (self._groups or {}).get(param_name, {})
            if group and param_name not in self._found:
                self._found |= super().sample_relative(study, trial, group)
            if param_name in self._found:
                return self._found[param_name]
            return super().sample_independent(study, trial, param_name, param_distribution)

    return Reached


@cache
def _row_type() -> "type[FrozenTrial]":
    from optuna.trial import FrozenTrial

    class Row(FrozenTrial):
        """A trial that a study copies without its dials, which nobody changes: hundreds are added for one choice."""

        def __deepcopy__(self, _: object) -> "FrozenTrial":
            return copy(self)

    return Row


def _row(dials: "Dials", rank: int | None) -> "FrozenTrial":
    from optuna.trial import TrialState

    params, ranges = dials
    state, now = TrialState.RUNNING if rank is None else TrialState.COMPLETE, datetime.now()
    return _row_type()(
        number=-1,
        trial_id=-1,
        state=state,
        value=rank,
        datetime_start=now,
        datetime_complete=None if rank is None else now,
        params=dict(params),
        distributions=dict(ranges),
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
