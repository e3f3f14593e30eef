"""Openings: which programs a process has open that trains like models together, and when it opens another.

Each program that trials train by takes the device in turn, and while one is made nobody who waits for it learns
anything. So trials are begun in few programs, each of which then has many.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from random import Random

from automl.control.draws import Evenly
from automl.control.history import Trial
from automl.control.plan import Plan
from automl.control.proposals import RECIPES, REDRAWS, Proposal
from automl.control.sampler import derived_seed
from search_spaces.hulls import shared
from search_spaces.seq2seq import RECIPE, Seq2Seq

MOST = 6
"""A trial begins in a program of its own only where others are training by fewer."""
FIRST = 2
"""As long as nothing is measured: that of the default, and one beside it."""


def beginnable(offered: Sequence[Proposal], trials: Iterable[Trial], plan: Plan) -> Sequence[Proposal]:
    """Return what of `offered` may begin beside the trials that train now.

    Where as many programs are open as may be, that is what fits into one; if nothing does, other recipes of what began
    first; and all that is offered where these cannot be had, since no worker waits for a program to close, and where
    trials are counted, for then a recipe is no small thing.
    """
    if not plan.together or plan.repetition is not None or plan.budget.trials is not None:
        return offered
    known = list(trials)
    training = [trial.configuration for trial in known if trial.in_flight]
    opened = set(map(shared, training))
    if len(opened) < (MOST if any(trial.segments for trial in known) else FIRST):
        return offered
    fitting = [proposal for proposal in offered if shared(proposal.configuration) in opened]
    return fitting or _recipes(training[0], {trial.configuration for trial in known}, plan) or offered


def _recipes(of: Seq2Seq, known: Collection[Seq2Seq], plan: Plan) -> list[Proposal]:
    """Return recipes that nobody has tried for a configuration, and that its program knows."""
    draw, space = Evenly(Random(derived_seed(plan.seed, len(known)))), plan.space.around(of, RECIPE)  # noqa: S311
    drawn = dict.fromkeys(space.sample(draw) for _ in range(RECIPES * REDRAWS))
    fitting = (each for each in drawn if each not in known and shared(each) == shared(of) and plan.admissible(each))
    return [Proposal(each, "recipe") for each in islice(fitting, RECIPES)]
