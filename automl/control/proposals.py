"""What to try next: the defaults of each family, then Optuna's TPE on a private study rebuilt from what was measured.

A live Optuna study would count every paused trial as running, hence among the bad. So each trial with a score, paused
or finished, becomes one COMPLETE row, and each trial in its first segment a RUNNING one, in a study that lives for one
proposal.
"""

import hashlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from search_spaces.dials import Choice, Uniform
from search_spaces.seq2seq import RECIPE, Seq2Seq
from search_spaces.spaces import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

MOST_ROWS = 300
STARTUP_TRIALS = 6
REDRAWS = 20
DRAWS = 200


@dataclass(frozen=True)
class Score:
    """Where a trial stands: its rung, and its latest objective and loss there, both lower is better."""

    rung: int
    objective: float
    loss: float


@dataclass(frozen=True)
class Tried:
    """A trial so far; without a score it is in its first segment, or has failed."""

    configuration: Seq2Seq
    score: Score | None = None
    failed: bool = False


@dataclass(frozen=True)
class Proposal:
    """A configuration and where it comes from: `default`, `family default`, `recipe` or `sampler`."""

    configuration: Seq2Seq
    origin: str


class Proposals:
    """Proposes configurations of a space; the same trials and seed give the same proposal.

    Every other one is another recipe for the architecture that leads: its programs are compiled already,
    while a new architecture costs a compilation before its first step.

    Configurations that are not `admissible` are never proposed.
    """

    def __init__(self, space: Space, seed: int, admissible: Callable[[Seq2Seq], bool] = lambda _: True) -> None:
        self._space = space
        self._seed = seed
        self._admissible = admissible

    def propose(self, tried: Sequence[Tried]) -> Proposal | None:
        """Return the next configuration to try, or nothing if no admissible one can be found."""
        known = [t.configuration for t in tried]
        scored = [t for t in tried if t.score is not None]
        if scored and len(tried) % 2 == 0:
            best = min(scored, key=lambda t: rank_of(t.score))
            return self._sampled(self._space.around(best.configuration, RECIPE), tried, "recipe")
        defaults = self._space.defaults()
        for configuration in defaults:
            if configuration not in known and self._admissible(configuration):
                return Proposal(configuration, "default" if configuration == defaults[0] else "family default")
        return self._sampled(self._space, tried, "sampler")

    def _sampled(self, space: Space, tried: Sequence[Tried], origin: str) -> Proposal | None:
        with _quiet():
            study = _study(self._space, tried, self._derived_seed(len(tried)))
            configurations = list(self._draw(space, study, [t.configuration for t in tried]))
        return Proposal(configurations[-1], origin) if configurations else None

    def _draw(self, space: Space, study: "Study", known: Sequence[Seq2Seq]) -> Iterator[Seq2Seq]:
        """Yield admissible configurations up to the first that is new, or up to so many that are not."""
        from optuna.trial import TrialState

        repeated = 0
        for _ in range(DRAWS):
            trial = study.ask()
            configuration = space.sample(trial)
            study.tell(trial, state=TrialState.FAIL)
            if not self._admissible(configuration):
                continue
            yield configuration
            repeated += 1
            if configuration not in known or repeated > REDRAWS:
                return

    def _derived_seed(self, number: int) -> int:
        digest = hashlib.sha256(f"{self._seed} {number}".encode()).digest()
        return int.from_bytes(digest[:4], "big")


def to_distribution(dial: Choice | Uniform) -> "BaseDistribution":
    """Return a dial's range in Optuna's terms."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    match dial:
        case Choice(values):
            return CategoricalDistribution(values)
        case Uniform(low, high, log):
            return FloatDistribution(low, high, log=log)
        case other:
            assert_never(other)


def rank_of(score: Score | None) -> tuple[float, float, float]:
    """Return what sorts scores, the best first: a higher rung, then the objective, then the loss."""
    return (math.inf, math.inf, math.inf) if score is None else (-score.rung, score.objective, score.loss)


def informative(scores: Sequence[Score]) -> dict[Score, int]:
    """Rank scores on one scale, the best first.

    Of very many the best half of the places is kept, and an even sample of the rest.
    """
    ordered = sorted(scores, key=rank_of)
    ranks = list(range(len(ordered)))
    if len(ordered) > MOST_ROWS:
        half = MOST_ROWS // 2
        ranks = ranks[:half] + [half + i * (len(ordered) - half) // half for i in range(half)]
    return {ordered[rank]: rank for rank in ranks}


def _study(space: Space, tried: Sequence[Tried], seed: int) -> "Study":
    from optuna import create_study
    from optuna.samplers import TPESampler

    sampler = TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed, n_startup_trials=STARTUP_TRIALS)
    study = create_study(sampler=sampler)
    ranks = informative([t.score for t in tried if t.score is not None])
    for trial in tried:
        if trial.score in ranks or (trial.score is None and not trial.failed):
            study.add_trial(_row(space, trial, None if trial.score is None else ranks[trial.score]))
    return study


def _row(space: Space, trial: Tried, rank: int | None) -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.RUNNING if rank is None else TrialState.COMPLETE,
        value=rank,
        params=space.parameters(trial.configuration),
        distributions={k: to_distribution(d) for k, d in space.distributions(trial.configuration).items()},
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's remarks on experimental options and new studies from the person who searches."""
    from optuna import logging
    from optuna.exceptions import ExperimentalWarning

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
