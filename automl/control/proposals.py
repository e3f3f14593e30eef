"""What to try next: the defaults of each family, what earlier searches found, then draws of several kinds.

Optuna's TPE draws from a private study rebuilt from what was measured. A live one would count every paused trial as
running, hence among the bad. So each trial with a score, paused or finished, becomes one COMPLETE row, and each trial
in its first segment a RUNNING one, in a study that lives for one choice.
"""

import hashlib
import itertools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any, assert_never

from automl.control.draws import Evenly, Near
from automl.control.fronts import crowding, layers
from search_spaces.dials import Choice, Uniform
from search_spaces.seq2seq import RECIPE, Seq2Seq
from search_spaces.spaces import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    Dials = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]
    """Parameters of a configuration and the ranges behind them."""

MOST_ROWS = 300
STARTUP_TRIALS = 6
REDRAWS = 10
"""A kind of draw is given up after so many times the draws that are wanted of it."""
ASKS = 4
"""Optuna is asked at most so often for one choice: an answer costs milliseconds, and may be known already."""
BEST = 3
"""Neighbours of so many are drawn."""
TURNED = 1.5
"""Dials in which a neighbour differs, in the middle."""
RECIPES, SAMPLED, NEIGHBOURS, RANDOM = 6, 2, 32, 64
"""Configurations of each kind to choose among."""


@dataclass(frozen=True)
class Score:
    """Where a trial stands: its rung, and its latest objective and loss there, both lower is better.

    Attributes:
        others: Further objectives, likewise.
        excess: By which share it is over a limit.
    """

    rung: int
    objective: float
    loss: float
    others: tuple[float, ...] = ()
    excess: float = 0.0


@dataclass(frozen=True)
class Tried:
    """A trial so far; without a score it is in its first segment, or has failed."""

    configuration: Seq2Seq
    score: Score | None = None
    failed: bool = False


@dataclass(frozen=True)
class Proposal:
    """A configuration and where it comes from.

    One of `default`, `family default`, `earlier search`, `recipe`, `sampler`, `neighbour` and `random`.
    """

    configuration: Seq2Seq
    origin: str


class Proposals:
    """Proposes configurations of a space; the same trials and seed give the same proposals.

    First come the defaults: of the space, of each family, then what was best in earlier searches, and beside each other
    recipes for the architecture that leads, whose programs are compiled already. After some trials there is all to
    choose among: what is left of those, and draws from Optuna's TPE, from the neighbourhood of the best and evenly.

    Configurations that are not `admissible` are never proposed.

    Attributes:
        earlier: What was best in earlier searches on data that looks alike, the best first.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        admissible: Callable[[Seq2Seq], bool] = lambda _: True,
        earlier: Sequence[Seq2Seq] = (),
    ) -> None:
        self._space = space
        self._seed = seed
        self._admissible = admissible
        self.earlier = earlier
        self._proposed: tuple[object, list[Proposal]] = (None, [])
        self._dials: dict[Seq2Seq, Dials] = {}

    def propose(self, tried: Sequence[Tried]) -> list[Proposal]:
        """Return different configurations to choose among; none if no admissible one can be found.

        None of them has been tried, unless the space has no other.
        """
        scored = [t for t in tried if t.score is not None]
        places = ordered([t.score for t in scored if t.score is not None])
        best = [scored[place].configuration for place in places[:BEST]]
        key = (len(tried), *best)
        if self._proposed[0] != key:
            self._proposed = (key, self._choose(tried, best))
        return self._proposed[1]

    def _choose(self, tried: Sequence[Tried], best: Sequence[Seq2Seq]) -> list[Proposal]:
        known = {t.configuration for t in tried}
        found: dict[Seq2Seq, str] = {}
        firsts = [p for p in self._firsts() if p.configuration not in known]
        if firsts and not best:
            return firsts[:1]
        wide = not firsts or len(tried) >= STARTUP_TRIALS
        for first in firsts if wide else firsts[:1]:
            found[first.configuration] = first.origin
        repeated: list[Seq2Seq] = []
        for origin, wanted, draws in self._draws(tried, best, wide=wide):
            count = 0
            for configuration in itertools.islice(draws, wanted * REDRAWS):
                if not self._admissible(configuration):
                    continue
                if configuration in known:
                    repeated.append(configuration)
                elif configuration not in found:
                    found[configuration] = origin
                    count += 1
                if count == wanted:
                    break
        if not found and repeated:
            found[repeated[-1]] = "sampler"
        return [Proposal(configuration, origin) for configuration, origin in found.items()]

    def _firsts(self) -> Iterator[Proposal]:
        defaults = self._space.defaults()
        for configuration in defaults:
            if self._admissible(configuration):
                yield Proposal(configuration, "default" if configuration == defaults[0] else "family default")
        for configuration in self.earlier:
            if self._admissible(configuration):
                yield Proposal(configuration, "earlier search")

    def _draws(
        self, tried: Sequence[Tried], best: Sequence[Seq2Seq], *, wide: bool
    ) -> Iterator[tuple[str, int, Iterator[Seq2Seq]]]:
        """Yield each kind of draw: its name, how many are wanted, and a source of them."""
        seed = self._derived_seed(len(tried))
        draw = Random(seed)  # noqa: S311
        if best:
            recipes = self._space.around(best[0], RECIPE)
            yield "recipe", RECIPES, (recipes.sample(Evenly(draw)) for _ in itertools.count())
        if not wide:
            return
        if best:
            yield "sampler", SAMPLED, itertools.islice(self._sampled(tried, seed), ASKS)
            yield "neighbour", NEIGHBOURS, self._neighbours(best, draw)
        yield "random", RANDOM, (self._space.sample(Evenly(draw)) for _ in itertools.count())

    def _neighbours(self, best: Sequence[Seq2Seq], draw: Random) -> Iterator[Seq2Seq]:
        parameters = [self._space.parameters(configuration) for configuration in best]
        while True:
            chosen = draw.choice(parameters)
            yield self._space.sample(Near(draw, chosen, rate=TURNED / max(len(chosen), TURNED)))

    def _sampled(self, tried: Sequence[Tried], seed: int) -> Iterator[Seq2Seq]:
        from optuna.trial import TrialState

        with quiet():
            study = study_of(self._space, tried, seed, self._dials)
        while True:
            with quiet():
                trial = study.ask()
                configuration = self._space.sample(trial)
                study.tell(trial, state=TrialState.FAIL)
            yield configuration

    def _derived_seed(self, number: int) -> int:
        digest = hashlib.sha256(f"{self._seed} {number}".encode()).digest()
        return int.from_bytes(digest[:4], "big")


def distributions(space: Space, configuration: Seq2Seq) -> "dict[str, BaseDistribution]":
    """Return the ranges behind a configuration's parameters in Optuna's terms."""
    return {path: to_distribution(dial) for path, dial in space.distributions(configuration).items()}


def to_distribution(dial: Choice | Uniform) -> "BaseDistribution":
    """Return a dial's range in Optuna's terms; the same object for the same dial."""
    return _distribution(dial, repr(dial))


@cache
def _distribution(dial: Choice | Uniform, _values: str) -> "BaseDistribution":
    # The text tells dials apart that are equal and are not the same: (0, 1) and (False, True).
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    match dial:
        case Choice(values):
            return CategoricalDistribution(values)
        case Uniform(low, high, log):
            return FloatDistribution(low, high, log=log)
        case other:
            assert_never(other)


def ordered(scores: Sequence[Score]) -> list[int]:
    """Return the places of scores, the best first.

    A higher rung is better, and within the limits; then the objective counts, then the loss. Where there are several
    objectives, fronts count on each rung, and on a front the room that a score has to itself.
    """
    ranks: list[tuple[float, ...]] = [(s.excess, -s.rung, s.objective, s.loss) for s in scores]
    rungs: dict[int, list[int]] = defaultdict(list)
    for place, score in enumerate(scores):
        if score.others:
            rungs[score.rung].append(place)
    for places in rungs.values():
        values = [(scores[place].objective, *scores[place].others) for place in places]
        fronts = layers(values)
        room = {n: iter(crowding([v for v, f in zip(values, fronts, strict=True) if f == n])) for n in set(fronts)}
        for place, number in zip(places, fronts, strict=True):
            ranks[place] = (scores[place].excess, -scores[place].rung, number, -next(room[number]))
    return sorted(range(len(scores)), key=ranks.__getitem__)


def informative(scores: Sequence[Score]) -> dict[Score, int]:
    """Rank scores on one scale, the best first.

    Of very many the best half of the places is kept, and an even sample of the rest.
    """
    places = ordered(scores)
    ranks = list(range(len(places)))
    if len(places) > MOST_ROWS:
        half = MOST_ROWS // 2
        ranks = ranks[:half] + [half + i * (len(places) - half) // half for i in range(half)]
    return {scores[places[rank]]: rank for rank in ranks}


def study_of(space: Space, tried: Sequence[Tried], seed: int, known: "dict[Seq2Seq, Dials] | None" = None) -> "Study":
    """Return a study in memory of what was tried, the ranks of the trials as values.

    Args:
        known: Remembers the dials of configurations from study to study.
    """
    from optuna import create_study
    from optuna.samplers import TPESampler

    sampler = TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed, n_startup_trials=STARTUP_TRIALS)
    study = create_study(sampler=sampler)
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


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's remarks on experimental options, new studies and few trials from the person who searches."""
    from optuna import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
