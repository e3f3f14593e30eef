"""Openings: which programs a process has open that trains like models together, and when it opens another.

Each program that trials train by takes the device in turn, and while one is made nobody who waits for it learns
anything. So trials are begun in few programs, each of which then has many.
"""

from collections.abc import Hashable, Iterable, Sequence
from itertools import islice
from random import Random

from automl.control.draws import Evenly
from automl.control.history import Trial
from automl.control.plan import Plan
from automl.control.proposals import RECIPES, REDRAWS, Proposal
from automl.control.sampler import derived_seed
from automl.errors import FailureReason
from search_spaces.hulls import shared
from search_spaces.seq2seq import RECIPE, Seq2Seq

MOST = 6
"""A trial begins in a program of its own only where others are training by fewer."""
FIRST = 2
"""As long as nothing is measured: that of the default, and one beside it."""


def beginnable(offered: Sequence[Proposal], trials: Iterable[Trial], plan: Plan) -> Sequence[Proposal]:
    """Return what of `offered` may begin beside the trials that train now.

    Where as many programs are open as may be, that is what fits into one, else what was best in earlier searches and
    other recipes of what trains; and a wider version of the leader. All that is offered may begin where there are none
    of these, or their program has failed, since no worker waits for a program to close, and where trials are counted,
    for then a recipe is no small thing.
    """
    if not plan.together or plan.repetition is not None or plan.budget.trials is not None:
        return offered
    known = list(trials)
    oldest: dict[Hashable, Trial] = {}
    for trial in known:
        if trial.in_flight:
            oldest.setdefault(shared(trial.configuration), trial)
    if len(oldest) < (MOST if any(trial.segments for trial in known) else FIRST):
        return offered
    fitting = [proposal for proposal in offered if shared(proposal.configuration) in oldest]
    wider = [proposal for proposal in offered if proposal.wider_than is not None and proposal not in fitting]
    fillings = (_filling(trial.configuration, known, plan) for trial in oldest.values())
    found = fitting or next(filter(None, fillings), [])
    return [*found, *wider] if found else offered


def _filling(first: Seq2Seq, known: Sequence[Trial], plan: Plan) -> list[Proposal]:
    """Return what nobody has tried and a configuration's program knows; nothing where that program has failed."""
    program, seen = shared(first), {trial.configuration for trial in known}
    if any(_is_broken(trial) and shared(trial.configuration) == program for trial in known):
        return []

    def fits(configuration: Seq2Seq) -> bool:
        return configuration not in seen and shared(configuration) == program and plan.admissible(configuration)

    found = dict.fromkeys(filter(fits, plan.earlier), "earlier search")
    draw, space = Evenly(Random(derived_seed(plan.seed, len(known)))), plan.space.around(first, RECIPE)  # noqa: S311
    drawn = (space.sample(draw) for _ in range(RECIPES * REDRAWS))
    for each in islice(filter(fits, drawn), RECIPES):
        found.setdefault(each, "recipe")
    return [Proposal(configuration, origin) for configuration, origin in found.items()]


def _is_broken(trial: Trial) -> bool:
    """Say whether a trial has failed, and not by its recipe."""
    return trial.row.state == "FAILED" and trial.row.reason != FailureReason.NAN_LOSS
