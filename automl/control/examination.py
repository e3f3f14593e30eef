"""The last thing that a search does: it scores on test what stands best on valid, once."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future

from automl.control.failures import MOST_ATTEMPTS, consequence
from automl.control.history import Trial
from automl.errors import FailureReason, TrialFailure
from automl.executors import Executor
from automl.segments import Evaluation, EvaluationResult, Result
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

    def scores(self, trial: Trial, segment: SegmentRow) -> Mapping[str, float] | None:
        """Return the scores on test; decode again if the worker is lost, and be content without them in the end.

        Returns:
            Nothing if the checkpoint is damaged.
        """
        job = Evaluation(trial.row.number, trial.row.configuration, segment.checkpoint)
        for _ in range(MOST_ATTEMPTS):
            match self._result(job):
                case EvaluationResult(scores=scores):
                    return scores
                case TrialFailure(reason=FailureReason.CORRUPT_CHECKPOINT):
                    return None
                case TrialFailure() as failure:
                    self._warn(f"test was not scored: {failure.reason}, {failure}")
                    if consequence(failure.reason, has_trained=True) != "retry":
                        return {}
                case _:
                    return {}
        return {}

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
