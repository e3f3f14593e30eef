"""Continuations: what was trained out goes on from before its end, in a search that has more time than it had then.

A rate that has fallen to zero is no place to go on from, and the place before it is still there. So a trial that was
trained out is left as it is, with what it reached, and another one goes on from where it stood before.
"""

from collections.abc import Mapping
from functools import partial

from automl.control.checkpoints import is_damaged
from automl.control.curves import has_stalled
from automl.control.decisions import Outlook
from automl.control.history import Trial, candidates, continuation, is_within
from automl.control.plan import Plan
from automl.control.scheduler import is_before_the_end


def continuations(trials: Mapping[int, Trial], plan: Plan, outlook: Outlook) -> list[Trial]:
    """Return the trials that go on in place of those that were trained out; none where the end is near.

    What had stalled before it was trained out stays at its end, and so does a branch, whose parent goes on. What failed
    going on is not gone on with again. Repetitions and private searches do what was counted beforehand.
    """
    if plan.repetition is not None or plan.private or not is_before_the_end(outlook):
        return []
    over = {trial.parent for trial in trials.values() if trial.row.is_continued}
    ended = [t for t in trials.values() if t.state == "finished" and not t.row.is_branch and t.row.number not in over]
    found: list[Trial] = []
    for trial in ended:
        new = continuation(trial, len(trials) + len(found), trials, partial(is_damaged, plan.checkpoints))
        if new is not None and is_within(trial, plan.criteria) and not _has_stalled(new, trials, plan):
            found.append(new)
    return found


def _has_stalled(new: Trial, trials: Mapping[int, Trial], plan: Plan) -> bool:
    number = new.row.number
    shown = candidates({**trials, number: new}, plan.criteria)
    return any(has_stalled(each) for each in shown if each.number == number)
