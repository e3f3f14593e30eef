"""The last thing that a search does: what stands best on valid is scored on test, once, as it will decode."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from automl.control.checkpoints import check, is_damaged
from automl.control.companions import companions
from automl.control.failures import MOST_ATTEMPTS, MOST_LOSSES, consequence
from automl.control.finishing import BY_EXACT_MATCH, COMPILING, finish, might_be_better
from automl.control.history import Trial, checkpoints_of
from automl.control.outcome import Winner
from automl.control.plan import Plan
from automl.errors import FailureReason, TrialFailure
from automl.executors import Executor
from automl.segments import Evaluation, EvaluationResult, Member, Result, Teaching, TeachingResult
from search_spaces.decoding import Decoding, Greedy, decoding_to_mapping
from storage.segments import SegmentRow

TEACHING = 0.25
"""Share of the time that is left in which teachers may say what they expect."""


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

    def best(
        self,
        standing: Callable[[], tuple[Trial, SegmentRow] | None],
        plan: Plan,
        trials: Mapping[int, Trial],
        left: Callable[[], float | None],
        drop: Callable[[Trial, Sequence[SegmentRow]], None],
    ) -> Winner | None:
        """Return what stands best as the winner; a segment whose checkpoint is damaged is dropped, and passed over.

        Raises:
            TrialFailure: Checkpoints are out of reach, or so many are damaged that it is the disk's fault (`STORAGE`).
        """
        for _ in range(MOST_LOSSES):
            if (found := standing()) is None:
                return None
            if winner := self.winner(*found, plan, trials.values(), left):
                return winner
            check(plan.checkpoints, checkpoints_of(trials.values()))
            trial, segment = found
            drop(trial, [segment])
            number = trial.row.number
            self._warn(f"trial {number} at step {segment.to_step} is passed over: its checkpoint is damaged")
        raise TrialFailure(FailureReason.STORAGE, f"{plan.checkpoints}: the {MOST_LOSSES} best are all damaged")

    def winner(
        self,
        trial: Trial,
        segment: SegmentRow,
        plan: Plan,
        trials: Iterable[Trial],
        left: Callable[[], float | None],
    ) -> Winner | None:
        """Return a trial at a segment as the winner: decoding as suits it, and scored on test.

        Where the plan allows it, other trials speak together with it if that is better on valid, or they teach with it
        what a further model is to learn. What is not to be tested is left as it is.

        Args:
            left: Seconds that are left, none without a limit.

        Returns:
            Nothing if the checkpoint is damaged.

        Raises:
            TrialFailure: It cannot be told, since no trial can go on here (`STORAGE`).
        """
        if plan.repetition is not None or not plan.tested:
            return None if is_damaged(plan.checkpoints, segment.checkpoint) else Winner.of(trial, segment, {})
        measure = partial(self._on_valid, trial, segment)
        if plan.criteria.is_measured(segment.scores):
            tries = plan.says_texts and not (plan.ensembles and plan.criteria.metric.name in BY_EXACT_MATCH)
            decoding, scores = (
                finish(segment, plan.criteria, measure, left, plan.test_share)
                if tries
                else (Greedy(), dict(segment.scores))
            )
        else:  # it has ended before anything was decoded
            found = measure(Greedy())
            if found is None:
                return None
            decoding, scores = Greedy(), {**segment.scores, **found}
        test = self._examined(trial, segment, decoding, "test", membership=not plan.private, exposure=True)
        if test is None:
            return None
        winner = replace(Winner.of(trial, segment, test.scores), membership=test.membership, exposure=test.exposure)
        winner = replace(winner, scores=scores, decoding=_way(decoding))
        alone = plan.criteria.metric.name not in scores or not might_be_better(plan.criteria.metric, scores)
        if not plan.ensembles or alone:
            return winner
        remaining = left()
        if remaining is not None and remaining < COMPILING:
            self._warn(f"the winner stays alone: {remaining:.0f} s were left to try others with it")
            return winner
        together = self._ensemble(winner, companions(trials, trial, plan.criteria), plan)
        return replace(winner, teacher=self._teacher(together, left)) if plan.distils else together

    def _teacher(self, winner: Winner, left: Callable[[], float | None]) -> Mapping[str, Any] | None:
        """Have a winner, alone or with others, say what it expects of train; nothing where it could not."""
        members = [{"configuration": winner.configuration, "checkpoint": winner.checkpoint}, *winner.members]
        seconds = left()
        job = Teaching(
            winner.trial,
            tuple(Member(own["configuration"], own["checkpoint"]) for own in members),
            None if seconds is None else max(TEACHING * seconds, 1.0),
        )
        match self._answered(job, "nothing can be distilled"):
            case TeachingResult() as found if found.tokens:
                return {
                    "trials": [winner.trial, *(own["trial"] for own in winner.members)],
                    "scores": winner.scores,
                    "test_scores": winner.test_scores,
                    "parameters": winner.parameters,
                    "soft_targets": found.soft_targets,
                }
        return None

    def _ensemble(self, winner: Winner, others: Sequence[tuple[Trial, SegmentRow]], plan: Plan) -> Winner:
        """Return the winner together with those of the others that it is better with on valid; alone if with none."""
        metric = plan.criteria.metric
        job = Evaluation(
            winner.trial,
            winner.configuration,
            winner.checkpoint,
            "valid",
            winner.decoding,
            others=tuple(Member(trial.row.configuration, segment.checkpoint) for trial, segment in others),
            choose=True,
            most=plan.most_parameters,
        )
        valid = self._evaluated(job) if others else None
        if not valid or metric.name not in valid.scores:
            return winner
        if not metric.better(valid.scores[metric.name], winner.scores[metric.name]):
            return winner
        chosen = [others[place] for place in valid.chosen]
        members = tuple(job.others[place] for place in valid.chosen)
        job = replace(job, split="test", others=members, choose=False)
        test = self._evaluated(replace(job, membership=not plan.private, exposure=True))
        if not test or not test.scores:
            return winner
        sizes = [winner.parameters, *(trial.row.parameters for trial, _ in chosen)]
        return replace(
            winner,
            scores=valid.scores,
            test_scores=test.scores,
            membership=test.membership,
            exposure=test.exposure,
            parameters=sum(size or 0 for size in sizes),
            members=tuple(
                {"trial": trial.row.number, **asdict(own)} for (trial, _), own in zip(chosen, members, strict=True)
            ),
            single={name: getattr(winner, name) for name in ("scores", "test_scores", "parameters")},
        )

    def _on_valid(self, trial: Trial, segment: SegmentRow, decoding: Decoding) -> Mapping[str, float] | None:
        found = self._examined(trial, segment, decoding, "valid")
        return None if found is None else found.scores

    def _examined(
        self,
        trial: Trial,
        segment: SegmentRow,
        decoding: Decoding,
        split: str,
        *,
        membership: bool = False,
        exposure: bool = False,
    ) -> EvaluationResult | None:
        """Return the scores on a split; decode again if the worker is lost, and be content without them in the end.

        Returns:
            Nothing if the checkpoint is damaged.
        """
        job = Evaluation(trial.row.number, trial.row.configuration, segment.checkpoint, split, _way(decoding))
        return self._evaluated(replace(job, membership=membership, exposure=exposure))

    def _evaluated(self, job: Evaluation) -> EvaluationResult | None:
        match self._answered(job, f"{job.split} was not scored"):
            case EvaluationResult() as found:
                return found
            case TrialFailure():
                return None
        return EvaluationResult(job.trial, {}, 0)

    def _answered(self, job: Evaluation | Teaching, otherwise: str) -> Result | TrialFailure | None:
        """Return how it ended, if well or by a damaged checkpoint; it is done again where the worker is lost.

        `otherwise` is what follows if it fails.
        """
        for _ in range(MOST_ATTEMPTS):
            match self._result(job):
                case TrialFailure(reason=FailureReason.CORRUPT_CHECKPOINT) as failure:
                    return failure
                case TrialFailure() as failure:
                    self._warn(f"{otherwise}: {failure.reason}, {failure}")
                    follows = consequence(failure.reason, has_trained=True)
                    if follows == "halt":
                        raise failure
                    if follows != "retry":
                        return None
                case EvaluationResult() | TeachingResult() as found:
                    return found
                case _:
                    return None
        return None

    def _result(self, job: Evaluation | Teaching) -> Result | BaseException | None:
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
