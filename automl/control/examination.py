"""The last thing that a search does: what stands best on valid is scored on test, once, as it will decode."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from automl.control.criteria import Criteria
from automl.control.failures import MOST_ATTEMPTS, consequence
from automl.control.finishing import finish
from automl.control.history import Trial
from automl.control.outcome import Winner
from automl.errors import FailureReason, TrialFailure
from automl.executors import Executor
from automl.segments import Evaluation, EvaluationResult, Result
from search_spaces.decoding import Decoding, Greedy, decoding_to_mapping
from storage.segments import SegmentRow


class Examination:
    """Decodes test, until it has been interrupted."""

    def __init__(
        self,
        executor: Executor,
        waiting: Callable[[Collection[Future[Result]]], None],
        interrupted: Callable[[], bool],
        interrupt: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        self._executor = executor
        self._waiting = waiting
        self._interrupted = interrupted
        self._interrupt = interrupt
        self._warn = warn

    def winner(
        self, trial: Trial, segment: SegmentRow, criteria: Criteria, left: Callable[[], float | None]
    ) -> Winner | None:
        """Return a trial at a segment as the winner: decoding as suits it, and scored on test.

        Args:
            left: Seconds that are left, none without a limit.

        Returns:
            Nothing if the checkpoint is damaged.
        """
        decoding, scores = finish(segment, criteria, partial(self._on_valid, trial, segment), left)
        test = self._examined(trial, segment, decoding)
        if test is None:
            return None
        winner = replace(Winner.of(trial, segment, test.scores), membership=test.membership)
        return winner if isinstance(decoding, Greedy) else replace(winner, scores=scores, decoding=_way(decoding))

    def _on_valid(self, trial: Trial, segment: SegmentRow, decoding: Decoding) -> Mapping[str, float] | None:
        found = self._examined(trial, segment, decoding, "valid")
        return None if found is None else found.scores

    def _examined(
        self, trial: Trial, segment: SegmentRow, decoding: Decoding, split: str = "test"
    ) -> EvaluationResult | None:
        """Return the scores on a split; decode again if the worker is lost, and be content without them in the end.

        Returns:
            Nothing if the checkpoint is damaged.
        """
        job = Evaluation(
            trial.row.number, trial.row.configuration, segment.checkpoint, split, _way(decoding), split == "test"
        )
        unknown = EvaluationResult(trial.row.number, {}, 0)
        for _ in range(MOST_ATTEMPTS):
            match self._result(job):
                case EvaluationResult() as found:
                    return found
                case TrialFailure(reason=FailureReason.CORRUPT_CHECKPOINT):
                    return None
                case TrialFailure() as failure:
                    self._warn(f"{split} was not scored: {failure.reason}, {failure}")
                    if consequence(failure.reason, has_trained=True) != "retry":
                        return unknown
                case _:
                    return unknown
        return unknown

    def _result(self, job: Evaluation) -> Result | BaseException | None:
        """Return how it ended, or nothing if it was interrupted."""
        if self._interrupted():
            return None
        try:
            future = self._executor.submit(job)
            while not (future.done() or self._interrupted()):
                self._waiting([future])
        except KeyboardInterrupt:
            self._interrupt()
        return None if self._interrupted() else future.exception() or future.result()


def _way(decoding: Decoding) -> dict[str, Any] | None:
    """Return how a job is told to decode: greedily where it is told nothing."""
    return None if isinstance(decoding, Greedy) else decoding_to_mapping(decoding)
