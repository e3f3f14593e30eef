"""What is asked of all trials at every turn of the controller, kept up to date as one of them changes."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from statistics import median

import numpy as np

from automl.control.criteria import Criteria
from automl.control.curves import State
from automl.control.history import Trial
from storage.segments import SegmentRow

DECODING = 3.0
"""Times that a segment may need after training, once valid is decoded, of what it needs without."""
RECENT = 20
"""Segments by which the seconds after training are foretold."""
ENOUGH, SPARE = 0.75, 1.25
"""The share of them that it is to be enough for, and so many times as much: the last is scored most thoroughly."""
AGAIN = 1.0
"""Added to it where nothing is decoded: at the end of a trial, its last parameters are scored beside the average."""


class Tally:
    """Counts, the best so far and what has changed; nothing here takes longer the more trials there are.

    Whoever changes a trial says so by `note`; a trial whose segments were dropped, by `recount`.
    """

    def __init__(self, trials: Iterable[Trial], criteria: Criteria) -> None:
        self._criteria = criteria
        self.recount(trials)

    def recount(self, trials: Iterable[Trial]) -> None:
        """Begin anew from all trials."""
        self._states: dict[int, State] = {}
        self._counted: dict[int, int] = {}
        self._counts: Counter[State] = Counter()
        self._after: deque[float] = deque(maxlen=RECENT)
        self._after_a_look: deque[float] = deque(maxlen=RECENT)
        self._decodes_nothing = False
        self._orphans: dict[int, Trial] = {}
        self._own: set[int] = set()
        self._changed: dict[int, Trial] = {}
        self._standing: tuple[float, ...] = ()
        self.best: tuple[Trial, SegmentRow] | None = None
        for trial in trials:
            self.note(trial)

    def note(self, trial: Trial) -> None:
        """Count a trial that is new or has changed."""
        number, state = trial.row.number, trial.state
        before = self._states.get(number)
        if before is not None:
            self._counts[before] -= 1
        self._counts[state] += 1
        self._states[number] = state
        if trial.parent is None:
            self._own.add(number)
        self._orphans.pop(number, None)
        if trial.is_orphan:
            self._orphans[number] = trial
        self._changed[number] = trial
        counted = self._counted.get(number, 0)
        if len(trial.segments) != counted:
            self._counted[number] = len(trial.segments)
            self._measure(trial, trial.segments[counted:])

    def _measure(self, trial: Trial, new: Sequence[SegmentRow]) -> None:
        for segment in new:
            after = self._after if self._criteria.is_measured(segment.scores) else self._after_a_look
            self._decodes_nothing |= after is self._after and segment.index == 0 and trial.begins_with_a_look
            after.append(segment.seconds.get("evaluating", 0.0) + segment.seconds.get("writing", 0.0))
        standings = [(self._criteria.standing(s.scores), s) for s in new if self._criteria.allows(s.scores)]
        if standings:
            standing, segment = min(standings, key=itemgetter(0))
            if self.best is None or standing <= self._standing:
                self.best, self._standing = (trial, segment), standing

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of trials by state."""
        return {state: number for state, number in self._counts.items() if number}

    @property
    def orphan(self) -> Trial | None:
        """The first trial that has to begin again."""
        return self._orphans[min(self._orphans)] if self._orphans else None

    @property
    def begun(self) -> int:
        """Trials that began by themselves and do not have to begin again."""
        return len(self._own) - len(self._orphans)

    @property
    def seconds_of_scoring(self) -> float:
        """What valid takes to be scored, in the middle; nothing before it was."""
        return median(self._after) if self._after else 0.0

    def seconds_after_training(self, guess: float, most: float = math.inf) -> float:
        """What most segments need at most after training, for all scores and a checkpoint; a guess before the first.

        Where nothing has been decoded yet, what was needed without it says the least that the guess may be, up to
        `most`. What is not scored when the time is over is lost, so that more is kept than half of them need.
        """
        if self._after:
            spare = SPARE + (AGAIN if self._decodes_nothing else 0.0)
            return spare * float(np.quantile(self._after, ENOUGH))
        looks = self._after_a_look
        return max(guess, min(DECODING * median(looks), most)) if looks else guess

    def take_changed(self) -> list[Trial]:
        """Trials that were noted since this was asked last."""
        changed = list(self._changed.values())
        self._changed = {}
        return changed

    def give_back(self, trials: Iterable[Trial]) -> None:
        """Count trials as changed again, since nothing came of it."""
        self._changed = {trial.row.number: trial for trial in trials} | self._changed
