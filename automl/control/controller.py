"""Runs one search: asks the scheduler what each free worker does, commits what comes back, until the budget is spent.

Every run begins by rebuilding all that is known from the rows of the database, so that going on after a crash is the
same path as beginning.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import lru_cache, partial
from time import monotonic
from typing import assert_never

from automl.control import history, rungs
from automl.control.checkpoints import returned
from automl.control.continuations import continuations
from automl.control.curves import is_late
from automl.control.decisions import Branch, Finish, Outlook, Start, Thaw, TrainOut, Wait
from automl.control.encoding import encoder
from automl.control.examination import Examination
from automl.control.failures import MOST_ATTEMPTS, MOST_LOSSES, Consequence, consequence, obstacle
from automl.control.forecast import Forecaster
from automl.control.garbage import Garbage
from automl.control.head_start import HeadStart
from automl.control.heartbeat import Heartbeat
from automl.control.history import Trial, new_segment
from automl.control.importance import importances_if_known
from automl.control.journal import Journal
from automl.control.ledger import Ledger
from automl.control.mirror import ContainedMirror
from automl.control.noise import noise_between
from automl.control.openings import beginnable
from automl.control.outcome import Ending, Outcome, Progress, Winner, early_end, explain, pareto_front
from automl.control.plan import Plan
from automl.control.proposals import Proposal, Proposals
from automl.control.prospects import prospects
from automl.control.ranking import Tried
from automl.control.remaining import Remaining, computed_seconds, remaining
from automl.control.scheduler import decide
from automl.control.tally import Tally
from automl.control.watchers import Watchers, wait_briefly
from automl.control.weighing import weighed, weights_of
from automl.errors import FailureReason, Obstacle, TrialFailure
from automl.executors import Executor
from automl.segments import Result, Segment, SegmentResult
from search_spaces.dials import to_dict
from search_spaces.seq2seq import DRAWN
from storage.attempts import end_open_attempt, open_attempt, wasted_seconds
from storage.database import Database
from storage.leases import Lease, LeaseLost
from storage.schema import altered
from storage.searches import SearchRow, set_fields
from storage.segments import SegmentRow, drop_segments, list_segments, write_segment
from storage.trials import end_trial, insert_trial, list_trials, new_trial

FIRST_EVALUATION = 8.0
POINTS = 4096
"""Configurations whose place among the others is remembered: what is offered is for the most part offered again."""


class Controller:
    """One search, by the holder of its lease.

    The caller claims and releases the lease, writes down how it ended, and shuts the executor down.
    """

    def __init__(
        self,
        database: Database,
        search: SearchRow,
        lease: Lease,
        executor: Executor,
        plan: Plan,
        *,
        clock: Callable[[], float] = monotonic,
        on_change: Callable[[Progress], None] = lambda _: None,
        waiting: Callable[[Collection[Future[Result]]], None] = wait_briefly,
    ) -> None:
        self._database = database.patient()
        self._search = search
        self._lease = lease
        self._executor = executor
        self._plan = plan
        self._clock = clock
        self._waiting = waiting
        self._proposals = plan.repetition or Proposals(plan.space, plan.seed, plan.admissible, plan.earlier)
        self._decide = plan.repetition.decide if plan.repetition else decide
        self._forecaster = Forecaster()
        self._garbage = Garbage()
        encode = encoder(plan.space.ranges)
        self._encode = lru_cache(POINTS)(lambda configuration: encode(plan.space.parameters(configuration)))
        self._began = clock()
        self._journal = Journal(self._database, lease, self._consumed, saved=search.seconds)
        self._trials = history.restore(list_trials(database, search.id), list_segments(database, search.id))
        self._tally = Tally(self._trials.values(), plan.criteria)
        self._ledger = Ledger(plan, search)
        self._decisions = sum(trial.row.attempts for trial in self._trials.values())
        self._planned: list[Segment] = []
        self._running: dict[Future[Result], tuple[Segment, float]] = {}
        self._rung_tokens = search.rung_tokens
        if plan.budget.time is None and plan.budget.device_time is None and self._rung_tokens is None:
            self._set_rung_tokens(min(max(plan.pass_tokens, 5_000), 500_000))
        self._measure_rung()
        self._ending = ""
        self._interrupted = False
        self._obstacle = ""
        self._losses = 0
        self._wasted = 0.0 if plan.budget.device_time is None else wasted_seconds(database, lease.search_id)
        self._no_more_proposals = False
        mirror = ContainedMirror(database, lease, search.name, plan.space, plan.criteria)
        self._head_start = HeadStart(executor, self._journal, is_wanted=plan.prepares and not self._trials)
        self._watchers = Watchers(on_change, mirror, self._tally, self._journal, self._began)
        for trial in self._trials.values():
            for segment in trial.segments:
                self._plan.learn(trial.configuration, segment.scores)
        self._give_up_on_killers()
        self._use_more_time()

    def run(self) -> Outcome:
        """Search until the budget is spent, the target is reached or it is interrupted.

        Raises:
            LeaseLost: Another process has taken the search over; nothing more is written.
            Obstacle: Checkpoints are out of reach, or no trainer lives long enough; everything up to then is kept.
        """
        heartbeat = Heartbeat(self._database, self._lease, self._plan.lease_seconds, self._executor.stop)
        with heartbeat, self._garbage:
            try:
                self._loop()
            except KeyboardInterrupt:
                self.interrupt()
                self._drain()
            except LeaseLost:
                self._executor.stop()
                raise
            try:
                if not self._obstacle:
                    return self._conclude()
            except TrialFailure as failure:
                self._halt(obstacle(failure))
            self._journal.add(set_fields, message=self._obstacle)
            self._journal.commit()
            raise Obstacle(self._obstacle)

    def interrupt(self) -> None:
        """End early and keep everything; safe to call from a signal handler or another thread."""
        self._interrupted = True
        self._executor.stop()

    def give_up(self) -> None:
        """End early, whatever runs; its steps since the last commit are lost. Safe to call as `interrupt` is."""
        self.interrupt()
        self._executor.abandon()

    def _give_up_on_killers(self) -> None:
        """Fail the trials that were in flight whenever this search lost its process, several times in a row."""
        for trial in self._trials.values():
            if trial.row.failures >= MOST_ATTEMPTS and trial.row.state in ("RUNNING", "PAUSED"):
                self._end_trial(trial, FailureReason.WORKER_LOST, "the search lost its process whenever this trial ran")

    def _loop(self) -> None:
        while True:
            self._reap()
            self._check_ends()
            self._fill_workers()
            self._launch()
            self._journal.save_time()
            self._watchers.tell(self._clock(), self._progress)
            if self._running:
                if self._is_ending():
                    self._executor.stop()
                if self._is_overdue():
                    self._executor.abandon()
                self._proposals.prepare()
                self._garbage.look()
                self._waiting(list(self._running))
            elif self._is_ending():
                return

    def _is_ending(self) -> bool:
        return self._interrupted or bool(self._ending)

    def _is_overdue(self) -> bool:
        """Whether what still runs would make the search end late; a first score is waited for twice as long."""
        time = self._plan.budget.time
        if time is None or not self._ending:
            return False
        return self._consumed() > (time - self._plan.kept / 2 if self._tally.best else 2 * time)

    def _drain(self) -> None:
        try:
            while self._running:
                self._waiting(list(self._running))
                self._reap()
                self._journal.commit()
        except KeyboardInterrupt:
            return

    def _check_ends(self) -> None:
        """Stop what runs when the target is reached, the time is over or every trial has failed."""
        if self._ending:
            return
        if reason := early_end(self._trials.values(), self._plan.budget.target, self._tally.best):
            self._end(reason)
        elif self._running and (self._remaining().left or 1.0) < 0:
            self._end("the time is spent")

    def _end(self, reason: str) -> None:
        self._ending = reason
        self._journal.record("finish", reason)

    def _fill_workers(self) -> None:
        while self._taken() < self._executor.workers and not self._is_ending():
            offered = self._offer()
            seen = history.candidates(self._trials, self._plan.criteria, self._encode)
            seen = weighed(seen, weights_of(self._decisions, len(self._plan.criteria.objectives)))
            known, together = self._trials.values(), self._plan.together
            ways = prospects(offered, known, self._encode, self._plan.seconds_a_token, together=together)
            decision = self._ledger.allowed(self._decide(seen, self._outlook(), ways, self._forecaster))
            match decision:
                case Start():
                    self._start(decision, offered)
                case Thaw() | TrainOut():
                    self._journal.record("thaw" if isinstance(decision, Thaw) else "train out", decision.reason)
                    self._submit(self._trials[decision.trial], decision)
                case Branch():
                    self._journal.record("branch", decision.reason)
                    self._submit(self._add(history.branch(self._trials[decision.trial], len(self._trials))), decision)
                case Wait():
                    self._journal.record("wait", decision.reason)
                    return
                case Finish():
                    if not self._running and not self._planned:
                        self._end(decision.reason)
                    return
                case other:
                    assert_never(other)

    def _taken(self) -> int:
        return len(self._running) + len(self._planned) + self._head_start.workers

    def _offer(self) -> Sequence[Proposal]:
        """Return the configurations that could be begun; a trial whose first segment was lost goes first."""
        orphan = self._tally.orphan
        if orphan is not None:
            narrower = history.narrower(orphan, self._trials, self._plan.space)
            return [Proposal(orphan.configuration, orphan.row.origin, narrower)]
        if self._no_more_proposals or self._trials_left() == 0:
            return []
        return beginnable(self._proposals.propose(self._tried()), self._trials.values(), self._plan)

    def _tried(self) -> list[Tried]:
        return history.tried(self._trials.values(), self._plan.criteria, self._rung_tokens)

    def _start(self, decision: Start, offered: Sequence[Proposal]) -> None:
        if not offered:
            self._no_more_proposals = True
            if not self._trials:
                self._end(self._plan.why_none())
            return
        trial = self._tally.orphan or self._add_trial(offered[decision.prospect])
        reason = decision.reason if trial.row.attempts == 0 else "began again: its first segment was lost"
        self._journal.record("start", f"trial {trial.row.number} ({trial.families}): {reason}")
        self._submit(trial, decision)

    def _add_trial(self, proposal: Proposal) -> Trial:
        seed = self._plan.trial_seed(len(self._trials))
        row = new_trial(len(self._trials), to_dict(proposal.configuration), seed, proposal.origin)
        return self._add(Trial(row, proposal.configuration))

    def _add(self, trial: Trial) -> Trial:
        self._journal.add(insert_trial, trial.row)
        self._trials[trial.row.number] = trial
        self._tally.note(trial)
        return trial

    def _submit(self, trial: Trial, decision: Start | Thaw | TrainOut | Branch) -> None:
        row, cools = trial.row, isinstance(decision, TrainOut | Branch)
        knows = self._plan.repetition is not None or trial.configuration.start != DRAWN
        decodes = cools or knows or is_late(decision.to_tokens, self._rung_tokens)
        segment = trial.next_segment(decision, decodes=decodes)
        if cools and not self._plan.private:
            segment = replace(segment, blends=history.blends(trial, self._trials, self._plan.criteria))
        segment = self._ledger.charge(segment, row.tokens, self._journal)
        self._journal.add(open_attempt, row.number, row.step)
        trial.row = altered(row, state="RUNNING", attempts=row.attempts + 1)
        trial.in_flight = True
        self._decisions += 1
        self._tally.note(trial)
        self._planned.append(segment)

    def _launch(self) -> None:
        """Begin what was decided, once the database knows of it."""
        self._journal.commit()
        while self._planned:
            try:
                self._running[self._executor.submit(self._planned[0])] = (self._planned[0], self._clock())
                self._head_start.follow(self._planned[0])
            except BaseException:
                self._call_off()
                raise
            del self._planned[0]

    def _call_off(self) -> None:
        for segment in self._planned:
            trial = self._trials[segment.trial]
            trial.in_flight = False
            self._journal.add(end_open_attempt, segment.trial, FailureReason.STOPPED, failure=False, seconds=0.0)
            self._tally.note(trial)
        self._planned.clear()

    def _reap(self) -> None:
        for future in [future for future in self._running if future.done()]:
            segment, begun = self._running.pop(future)
            spent = self._clock() - begun
            trial = self._trials[segment.trial]
            trial.in_flight = False
            known = history.checkpoints_of(self._trials.values())
            try:
                self._accept(trial, segment, returned(future, self._plan.checkpoints, known))
            except TrialFailure as failure:
                self._fail(trial, failure, spent)
            self._tally.note(trial)

    def _accept(self, trial: Trial, segment: Segment, result: SegmentResult) -> None:
        if costs := self._plan.costs(trial.configuration):
            result = replace(result, scores={**result.scores, **costs})
        if not self._plan.criteria.is_sound(result.scores, is_whole=segment.decodes):
            raise TrialFailure(FailureReason.NAN_LOSS, f"scores are not finite at step {result.step}")
        new = new_segment(segment, result, self._plan.checkpoints)
        self._losses = 0
        complete = segment.cooldown and not self._interrupted and not self._obstacle
        self._ledger.settle(segment, result, self._journal)
        self._journal.add(write_segment, new, complete=complete)
        stored = SegmentRow.of(new, index=trial.row.segments, attempt=trial.row.attempts)
        trial.advance(stored, result.parameters, complete)
        self._plan.learn(trial.configuration, stored.scores)
        self._no_more_proposals = False  # of what was measured, more may be within the limits
        self._measure_rung()

    def _fail(self, trial: Trial, failure: TrialFailure, spent: float) -> None:
        self._wasted += spent
        follows = consequence(failure.reason, has_trained=bool(trial.segments or trial.row.step))
        if follows == "go back" and not trial.segments and trial.parent is not None:
            follows = "fail"
        match follows:
            case "keep" | "halt":
                self._journal.add(end_open_attempt, trial.row.number, failure.reason, failure=False, seconds=spent)
                if follows == "halt":
                    self._halt(obstacle(failure))
                return
            case "retry" | "go back":
                if self._try_again(trial, failure, follows, spent):
                    return
            case "fail":
                pass
        self._end_trial(trial, failure.reason, str(failure), spent)
        self._measure_rung()

    def _end_trial(self, trial: Trial, reason: FailureReason, message: str, spent: float | None = None) -> None:
        if trial.parent is not None and not trial.segments and trial.row.checkpoint is not None:
            self._forget(trial, [])  # its place is its parent's
        self._journal.add(end_trial, trial.row.number, reason, message, spent)
        trial.fail(reason, message)
        self._tally.note(trial)
        self._journal.warn(f"trial {trial.row.number} failed: {reason}, {message}")

    def _try_again(self, trial: Trial, failure: TrialFailure, follows: Consequence, spent: float) -> bool:
        """Let a trial go on from its last sound checkpoint; False if it has been lost too often."""
        number = trial.row.number
        self._journal.add(end_open_attempt, number, failure.reason, seconds=spent)
        failures = trial.row.failures + 1
        self._losses += 1
        if self._losses >= MOST_LOSSES:
            last = f"{failure.reason}, {failure}"
            self._halt(f"{self._losses} attempts in a row were lost, the last with {last}; the same command goes on")
        if failures >= MOST_ATTEMPTS:
            return False
        trial.row = altered(trial.row, failures=failures)
        if follows == "go back":
            self._drop(trial, history.damaged(trial.segments, self._plan.checkpoints))
        self._journal.warn(f"trial {number} goes on from step {trial.row.step}: {failure.reason}, {failure}")
        return True

    def _drop(self, trial: Trial, segments: Sequence[SegmentRow]) -> None:
        """Forget segments whose checkpoints are damaged, and branches that have nothing else."""
        self._forget(trial, segments)
        self._tally.recount(self._trials.values())
        for branch in history.uprooted(self._trials.values(), {segment.checkpoint for segment in segments}):
            self._end_trial(branch, FailureReason.CORRUPT_CHECKPOINT, "the checkpoint that it began from is damaged")

    def _forget(self, trial: Trial, segments: Sequence[SegmentRow]) -> None:
        self._journal.commit()
        trial.row = drop_segments(self._database, self._lease, trial.row.number, [s.index for s in segments])
        self._journal.forget()
        trial.segments = [segment for segment in trial.segments if segment not in segments]

    def _halt(self, obstacle: str) -> None:
        self._obstacle = obstacle
        self._end(obstacle)

    def _measure_rung(self) -> None:
        """The first segment of the first trial that did not fail sets rung 0."""
        if self._rung_tokens is None and (tokens := rungs.measured(self._trials)) is not None:
            self._set_rung_tokens(tokens)

    def _use_more_time(self) -> None:
        """Where the budget has grown, rungs grow with it, and what was trained out goes on."""
        tokens = rungs.outgrown(self._rung_tokens, self._trials.values(), self._plan, self._remaining().total)
        if tokens is not None:
            self._set_rung_tokens(tokens)
        for trial in continuations(self._trials, self._plan, self._outlook()):
            self._journal.record("continue", f"trial {trial.row.number} goes on in place of {trial.parent}")
            self._add(trial)

    def _set_rung_tokens(self, tokens: int) -> None:
        self._rung_tokens = tokens
        self._journal.add(set_fields, rung_tokens=tokens)

    def _consumed(self) -> float:
        return self._search.seconds + self._plan.spent + self._clock() - self._began

    def _remaining(self, paid: tuple[float, float] | None = None) -> Remaining:
        """Seconds in which segments may train; what they need afterwards for scores and checkpoint is taken off."""
        budget = self._plan.budget
        if budget.time is None and budget.device_time is None:
            return Remaining(None, None)
        total = budget.time or budget.device_time or 0.0
        after = self._tally.seconds_after_training(min(0.1 * total, FIRST_EVALUATION), 0.2 * total)
        after += min(self._plan.kept_for_test(self._tally.seconds_of_scoring), 0.2 * total)
        return remaining(self._plan, self._executor.workers, self._consumed(), self._computed(), after, paid)

    def _computed(self) -> float:
        """Seconds of computing of all workers, where they are limited."""
        if self._plan.budget.device_time is None:
            return 0.0
        in_flight = (self._clock() - begun for _, begun in self._running.values())
        return self._wasted + computed_seconds(self._trials.values(), in_flight)

    def _outlook(self) -> Outlook:
        remaining = self._remaining(self._ledger.seconds(self._trials.values(), self._executor.workers))
        return Outlook(
            workers=self._executor.workers,
            seconds_left=remaining.left,
            seconds_total=remaining.total,
            trials_left=self._trials_left(),
            rung_tokens=self._rung_tokens,
            max_tokens=self._plan.passes * self._plan.pass_tokens,
            branching=self._plan.branches,
        )

    def _trials_left(self) -> int | None:
        """Number of trials that may still begin, those that have to begin again among them; none without a limit."""
        begun = self._tally.begun
        if self._no_more_proposals and self._tally.orphan is None:
            return 0
        return None if self._plan.budget.trials is None else max(self._plan.budget.trials - begun, 0)

    def _progress(self) -> Progress:
        time, found, metric = self._plan.budget.time, self._tally.best, self._plan.criteria.metric.name
        return Progress(
            seconds_left=None if time is None else max(time - self._consumed(), 0.0),
            trials=self._tally.counts,
            metric=metric,
            best=found[1].scores.get(metric) if found else None,
            workers=tuple(self._executor.status()),
            decision=self._journal.decision,
        )

    def _conclude(self) -> Outcome:
        self._journal.commit()
        winner = self._examined_best()
        trials, criteria, warn = self._trials.values(), self._plan.criteria, self._journal.warn
        measured = winner or any(trial.segments for trial in trials)
        why = explain(trials, criteria, winner) if measured else self._ending or "it was interrupted"
        state: Ending = "interrupted" if self._interrupted else "finished" if winner else "failed"
        seconds, importance = self._consumed(), importances_if_known(self._plan.space, self._tried(), warn)
        self._watchers.mirror()
        self._journal.add(set_fields, message=why)
        self._journal.commit()
        warning = noise_between(trials, criteria, self._plan.valid_rows) if self._plan.valid_rows else ""
        front, counts, refused = pareto_front(trials, criteria, winner), self._tally.counts, self._plan.refused()
        return Outcome(state, seconds, counts, winner, why, front, refused, warning, importance)

    def _examined_best(self) -> Winner | None:
        """Return the best trial, finished and tested."""
        warn, left = self._journal.warn, partial(self._left_to_finish, self._clock())
        examination = Examination(self._executor, self._waiting, lambda: self._interrupted, self.interrupt, warn)
        return examination.best(lambda: self._tally.best, self._plan, self._trials, left, self._drop)

    def _left_to_finish(self, since: float) -> float | None:
        """Return the seconds until the end of the budget, where it has one; what computes since then is one worker."""
        if self._interrupted:
            return 0.0
        budget = self._plan.budget
        left = [] if budget.time is None else [budget.time - self._consumed()]
        if budget.device_time is not None:
            left.append(budget.device_time - self._computed() - (self._clock() - since))
        return min(left, default=None)
