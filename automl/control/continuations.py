"""Continuations: what was trained out goes on from before its end, in a search that has more time than it had then.

A rate that has fallen to zero is no place to go on from, and the place before it is still there. So a trial that was
trained out is left as it is, with what it reached, and another one goes on from where it stood before.
"""

from collections.abc import Mapping

from automl.control.criteria import Criteria
from automl.control.curves import has_stalled
from automl.control.decisions import Outlook
from automl.control.history import Trial, candidates, continuation, is_within, superseded
from automl.control.scheduler import is_before_the_end


def continuations(trials: Mapping[int, Trial], criteria: Criteria, outlook: Outlook) -> list[Trial]:
    """Return the trials that go on in place of those that were trained out; none where the end is near.

    What had stalled before it was trained out stays at its end, and so does a branch, whose parent goes on.
    """
    if not is_before_the_end(outlook):
        return []
    over = superseded(trials.values())
    ended = [t for t in trials.values() if t.state == "finished" and not t.row.is_branch and t.row.number not in over]
    found: dict[int, Trial] = {}
    for trial in ended:
        new = continuation(trial, len(trials) + len(found), trials)
        if new is not None and is_within(trial, criteria) and not _has_stalled(new, trials, criteria):
            found[new.row.number] = new
    return list(found.values())


def _has_stalled(new: Trial, trials: Mapping[int, Trial], criteria: Criteria) -> bool:
    number = new.row.number
    return any(has_stalled(each) for each in candidates({**trials, number: new}, criteria) if each.number == number)
