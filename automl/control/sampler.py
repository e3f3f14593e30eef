"""Optuna's TPE, asked over a private study that is rebuilt from what was measured.

A live study would count every paused trial as running, hence among the bad. So each trial with a score, paused or
finished, becomes one COMPLETE row, and each trial in its first segment a RUNNING one.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from automl.control.distributions import Ranges
from automl.control.ranking import Tried, informative
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space
from storage.studies import quiet

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import TPESampler
    from optuna.trial import FrozenTrial

    from automl.control.distributions import Dials

    Group = dict[str, BaseDistribution]

STARTUP_TRIALS = 6
ASKS = 4
"""Optuna is asked at most so often for one choice: an answer costs milliseconds, and may be known already."""
RENEWAL = 32
"""The study is rebuilt when more by one part in so many have been tried."""
LASTING = 8
"""Where a study lasts for so many trials, Optuna is asked once for a choice at most, and ahead where there is time."""
READY = 3
"""So many draws are ready then for the next choices."""


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
        self._older: list[Seq2Seq] = []
        self._rows = Rows(space)

    def draws(
        self, tried: Sequence[Tried], known: Container[Seq2Seq], places: Sequence[int] | None = None
    ) -> Iterator[Seq2Seq]:
        """Yield draws that are left, then new ones, of which `ASKS` at most.

        Args:
            known: What nobody needs to begin any more.
            places: The order of the trials with a score, as `ordered` says it, where it is known.
        """
        for place in range(max(len(tried) - ASKS, 0), len(tried)):
            self._rows.dials(tried, place)  # so that a rebuilding finds most of them worked out
        if self._study is None or len(tried) not in self._span:
            self._rebuild(tried, places)
        self._drawn = [configuration for configuration in self._drawn if configuration not in known]
        self._older = [configuration for configuration in self._older if configuration not in known]
        yield from [*self._drawn, *self._older]
        yield from self._ask(1 if _lasts(len(tried)) else ASKS)

    def prepare(self, tried: Sequence[Tried], known: Container[Seq2Seq], places: Sequence[int] | None) -> None:
        """Do ahead one thing that the choice after the next trial would need: rebuild the study, or ask it."""
        if not _lasts(len(tried)):
            return
        if len(tried) + 1 not in self._span:
            self._rebuild(tried, places)
        elif sum(configuration not in known for configuration in self._drawn) < READY:
            list(self._ask(1))

    def _rebuild(self, tried: Sequence[Tried], places: Sequence[int] | None) -> None:
        """Begin a new study; what is left of the one before stands in, so that no one answer takes the whole time."""
        with quiet():
            self._study = study_of(self._rows, tried, derived_seed(self.seed, len(tried)), places)
        self._span = range(len(tried), len(tried) + max(1, len(tried) // RENEWAL))
        self._older = self._drawn if _lasts(len(tried)) else []
        self._drawn = []

    def _ask(self, times: int) -> Iterator[Seq2Seq]:
        assert self._study is not None
        for _ in range(times):
            with quiet():
                configuration = self._draw(self._study)
            if self._admissible(configuration):
                self._drawn.append(configuration)
            yield configuration

    def _draw(self, study: "Study") -> Seq2Seq:
        from optuna.trial import TrialState

        trial = study.ask()
        configuration = self._space.sample(trial)
        study.tell(trial, state=TrialState.FAIL)
        return configuration


def _lasts(trials: int) -> bool:
    """Whether a study of so many trials is kept for many more."""
    return trials // RENEWAL >= LASTING


def derived_seed(seed: int, number: int) -> int:
    """Return a seed of its own for the choice after so many trials."""
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def groups(rows: "Sequence[Mapping[str, BaseDistribution]]") -> "dict[str, Group]":
    """Return the group of each dial: those that are there in the same rows, one density for all of them."""
    ranges = {name: row[name] for row in rows for name in row}
    places: dict[str, list[int]] = {name: [] for name in ranges}
    for place, row in enumerate(rows):
        for name in row:
            places[name].append(place)
    found: dict[tuple[int, ...], Group] = defaultdict(dict)
    for name in sorted(ranges):
        found[tuple(places[name])][name] = ranges[name]
    return {name: found[tuple(places[name])] for name in ranges}


class Rows:
    """The dials of trials by their place, each worked out once."""

    def __init__(self, space: Space) -> None:
        self._ranges = Ranges(space)
        self._known: dict[int, tuple[Seq2Seq, Dials]] = {}

    def dials(self, tried: Sequence[Tried], place: int) -> "Dials":
        """Return the dials of a trial."""
        configuration, known = tried[place].configuration, self._known.get(place)
        if known is None or known[0] is not configuration:
            known = self._known[place] = (configuration, self._ranges.dials(configuration))
        return known[1]


def study_of(rows: Rows, tried: Sequence[Tried], seed: int, places: Sequence[int] | None = None) -> "Study":
    """Return a study in memory of what was tried, the ranks of the trials as values.

    Args:
        places: The order of the trials with a score, as `ordered` says it, where it is known.
    """
    from optuna import create_study
    from optuna.storages import InMemoryStorage

    storage = InMemoryStorage()
    study = create_study(storage=storage, sampler=_sampler_type()(seed))
    number = storage.get_study_id_from_name(study.study_name)
    scored = [place for place, trial in enumerate(tried) if trial.score is not None]
    found = informative([trial.score for trial in tried if trial.score is not None], places)
    ranks: dict[int, int | None] = {scored[place]: rank for place, rank in found.items()}
    running = (place for place, trial in enumerate(tried) if trial.score is None and not trial.failed)
    ranks |= dict.fromkeys(running)
    for place in sorted(ranks):
        storage.create_new_trial(number, template_trial=_row(rows.dials(tried, place), ranks[place]))
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
            super().__init__(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True)
            self._groups: dict[str, Group] | None = None
            self._found: dict[str, Any] = {}

        def infer_relative_search_space(self, study: "Study", trial: "FrozenTrial") -> "dict[str, BaseDistribution]":
            del trial
            self._found = {}
            if self._groups is None:
                complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
                self._groups = groups([trial.distributions for trial in complete])
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
        """A trial that is made for one study, which takes it as it is: hundreds are added for one choice."""

        constraints: Any = MappingProxyType({})  # what is over a limit has its place in the ranks

        def __deepcopy__(self, _: object) -> "FrozenTrial":
            return self

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
        params=params,
        distributions=ranges,
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
