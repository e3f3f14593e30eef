"""The ledger of a private search: steps are paid for before they are taken, and what is not taken is given back.

What is charged stands in the row of the search and is written in the same transaction as the attempt that takes the
steps. So a search that is killed has paid for whatever was in flight, whether that came to anything or not.
"""

from collections.abc import Iterable
from dataclasses import replace
from math import ceil

from automl.control.decisions import Decision, Finish
from automl.control.history import Trial
from automl.control.journal import Journal
from automl.control.plan import Plan
from automl.privacy import Terms
from automl.segments import Segment, SegmentResult
from storage.searches import SearchRow, set_fields

KEPT = 5
"""One in so many of all steps are kept for the last segments, in which the learning rate falls."""
PART = 16
"""Where a segment has no tokens to reach, it may take one in so many of all steps."""
LEAST = 64
"""One in so many is begun whatever is kept."""
NEARLY = 0.9
"""Share of the steps from which on it is they, and not the time, that end a search."""
SUMMARY = "privacy"
"""Where the terms and what is charged stand in the summary of a search."""


class Ledger:
    """The steps of a search; of one that keeps nothing private, without end and without a record."""

    def __init__(self, plan: Plan, search: SearchRow) -> None:
        """Go on from what the search has been charged."""
        self._summary = dict(search.summary or {})
        self._terms = Terms.of(self._summary[SUMMARY]) if plan.private else None
        self._step_tokens = 1.0 if self._terms is None else self._terms.rate * plan.pass_tokens
        self._most_tokens = plan.passes * plan.pass_tokens
        self._is_timed = plan.budget.time is not None or plan.budget.device_time is not None

    def allowed(self, decision: Decision) -> Decision:
        """Return what is decided; nothing more is begun where no step is left."""
        if self._terms is None:
            return decision
        share = self._terms.charged / self._terms.steps
        spent = share >= 1 or (isinstance(decision, Finish) and share > NEARLY)
        return Finish("the steps that privacy allows are spent") if spent else decision

    def charge(self, segment: Segment, tokens: int, journal: Journal) -> Segment:
        """Return a segment of a trial that has seen so many tokens, with the steps that it may take; charge them."""
        if self._terms is None:
            return segment
        left = self._terms.steps - self._terms.charged
        granted = min(max(self._wanted(self._terms, segment, tokens), 1), left)
        self._note(granted, journal)
        return replace(segment, most_steps=granted, fills=False)  # it ends with its steps, whatever time is left

    def _wanted(self, terms: Terms, segment: Segment, tokens: int) -> int:
        goal = segment.to_tokens
        if segment.cooldown:
            return terms.steps if goal is None else self._steps(goal - tokens)
        if not self._is_timed:
            goal = min(goal or self._most_tokens, self._most_tokens)
        wanted = terms.steps // PART if goal is None else self._steps(goal - tokens)
        free = terms.steps - terms.charged - terms.steps // KEPT
        return min(wanted, max(free, terms.steps // LEAST))

    def _steps(self, tokens: int) -> int:
        return ceil(tokens / self._step_tokens)

    def settle(self, segment: Segment, result: SegmentResult, journal: Journal) -> None:
        """Give back what a segment was charged and did not take."""
        if segment.most_steps is not None:
            self._note(result.step - result.from_step - segment.most_steps, journal)

    def seconds(self, trials: Iterable[Trial], workers: int) -> tuple[float, float] | None:
        """Return the seconds that all steps take so many workers, and those of the charged ones.

        Nothing while no step has been measured, and where no clock has a say.
        """
        if self._terms is None or not self._is_timed:
            return None
        segments = [segment for trial in trials for segment in trial.segments]
        steps = sum(segment.to_step - segment.from_step for segment in segments)
        if steps == 0:
            return None
        each = sum(segment.seconds.get("training", 0.0) for segment in segments) / steps / workers
        return each * self._terms.steps, each * self._terms.charged

    def _note(self, steps: int, journal: Journal) -> None:
        assert self._terms is not None
        self._terms = replace(self._terms, charged=self._terms.charged + steps, epsilon_spent=None)
        self._summary = {**self._summary, SUMMARY: self._terms.to_mapping()}
        journal.add(set_fields, summary=self._summary)
