"""What a search goes on from: crashes, lost workers, damaged and missing checkpoints, a server that is away."""

import shutil
from collections import Counter

import pytest

from automl.budget import Budget
from automl.errors import FailureReason, Obstacle
from automl.segments import Segment
from storage import objects
from storage.attempts import list_attempts
from storage.buckets import Unreachable
from storage.database import Database
from storage.engines import PAUSES, BusyError
from storage.integrity import violations
from storage.leases import LeaseLost
from storage.searches import claim, get_search
from storage.trials import BRANCH
from tests.automl.control.pretended_search import CURVES
from tests.automl.control.pretended_training import PretendingExecutor


def test_a_search_whose_checkpoints_lie_at_a_url_goes_on_after_a_crash(bench):
    bench.folder = bench.folder / "at a url"
    place = objects.place("memory://checkpoints of a test")
    bench.executor = PretendingExecutor(place, CURVES)
    bench.crash(60.0, checkpoints=place)
    bench.executor = PretendingExecutor(place, CURVES, now=60.0)
    assert bench.run(checkpoints=place).state == "finished"
    row = get_search(bench.database, "dates")
    assert violations(bench.database, row, place) == []
    with pytest.raises(Unreachable, match="is not there"):
        violations(bench.database, row, bench.folder)


@pytest.mark.parametrize("at", [1.0, 8.0, 40.0, 90.0, 140.0])
def test_a_crashed_search_goes_on_with_the_same_trials(bench, at):
    bench.crash(at)
    before, committed = bench.trials(), bench.segments()
    outcome = bench.run()
    assert [t.configuration for t in bench.trials()[: len(before)]] == [t.configuration for t in before]
    assert all(segment in bench.segments() for segment in committed)
    assert outcome.state == "finished"
    assert not [t for t in bench.trials() if t.state == "RUNNING"]


def test_a_first_segment_that_was_lost_is_begun_again_under_its_number(bench):
    bench.crash(1.0)
    assert [t.state for t in bench.trials()] == ["RUNNING", "RUNNING"]
    bench.run()
    assert "trial 0 (Recurrent → Recurrent): began again: its first segment was lost" in bench.messages("start")
    assert [a.end_reason for a in list_attempts(bench.database, bench.search.id)[:2]] == ["LOST", "COMMITTED"]


def test_the_rungs_stay_where_they_were_after_a_crash(bench):
    bench.crash(40.0)
    rung_tokens = get_search(bench.database, "dates").rung_tokens
    bench.run()
    assert rung_tokens == get_search(bench.database, "dates").rung_tokens == bench.segments()[0].tokens


def test_time_is_counted_with_every_segment(bench):
    bench.crash(25.0)
    last = get_search(bench.database, "dates").seconds
    assert 10 < last <= 25


def test_the_time_of_earlier_runs_counts(bench):
    bench.crash(100.0)
    outcome = bench.run()
    assert bench.executor.now <= 180 + 30
    assert outcome.seconds <= 180


def test_a_search_whose_budget_is_spent_answers_again_at_once(bench):
    first = bench.run()
    segments = bench.segments()
    second = bench.run()
    assert (second.best.trial, second.best.checkpoint) == (first.best.trial, first.best.checkpoint)
    assert bench.segments() == segments


@pytest.mark.parametrize("at", [60.0, 150.0])
def test_interruption_keeps_what_the_running_segments_have(bench, at):
    controller = bench.controller()
    bench.executor.at[at] = controller.interrupt
    outcome = controller.run()
    assert (outcome.state, outcome.why) == ("interrupted", get_search(bench.database, "dates").message)
    assert bench.executor.now < at + 5
    assert {t.state for t in bench.trials() if not t.origin.startswith(BRANCH)} == {"PAUSED"}
    assert outcome.best.test_scores == {}
    assert bench.run().state == "finished"


def test_control_c_is_an_interruption(bench):
    def press():
        raise KeyboardInterrupt

    bench.executor.at[60.0] = press
    assert bench.run().state == "interrupted"
    assert {t.state for t in bench.trials() if not t.origin.startswith(BRANCH)} == {"PAUSED"}


def test_control_c_while_test_is_decoded_leaves_the_search_interrupted(bench):
    def press():
        raise KeyboardInterrupt

    bench.run()
    bench.executor.at[bench.executor.now + 0.5] = press
    outcome = bench.run()
    assert (outcome.state, outcome.best.test_scores) == ("interrupted", {})


def test_a_search_stopped_before_its_first_step_has_no_winner_and_goes_on(bench):
    bench.executor.failures = {0: [FailureReason.STOPPED], 1: [FailureReason.STOPPED]}
    controller = bench.controller()
    bench.executor.at[1.0] = controller.interrupt
    outcome = controller.run()
    assert (outcome.state, outcome.best, bench.segments()) == ("interrupted", None, [])
    assert {a.end_reason for a in list_attempts(bench.database, bench.search.id)} == {"STOPPED"}
    assert {(t.state, t.failures) for t in bench.trials()} == {("RUNNING", 0)}
    bench.executor = PretendingExecutor(bench.folder / "objects", CURVES)
    assert bench.run().state == "finished"
    assert {t.state for t in bench.trials()} == {"PAUSED", "COMPLETE"}


def test_a_full_disk_ends_the_search_harms_no_trial_and_the_search_goes_on(bench):
    bench.executor.failures = {2: [FailureReason.STORAGE]}
    with pytest.raises(Obstacle, match="as the test wants it; the same command goes on once that is mended"):
        bench.run()
    assert get_search(bench.database, "dates").message.endswith("the same command goes on once that is mended")
    assert {(t.state, t.failures) for t in bench.trials()} <= {("PAUSED", 0), ("RUNNING", 0)}
    bench.executor = PretendingExecutor(bench.folder / "objects", CURVES, now=bench.executor.now)
    assert bench.run().state == "finished"


class TestAFolderOfCheckpointsThatIsGone:
    def take_away(self, bench, is_mount_point):
        self.known = bench.segments()
        assert len({segment.trial for segment in self.known}) >= 2
        (bench.folder / "objects").rename(bench.folder / "elsewhere")
        if is_mount_point:
            (bench.folder / "objects").mkdir()

    def bring_back(self, bench):
        shutil.rmtree(bench.folder / "objects", ignore_errors=True)
        (bench.folder / "elsewhere").rename(bench.folder / "objects")
        bench.executor = PretendingExecutor(bench.folder / "objects", CURVES, now=bench.executor.now)

    def assert_nothing_is_lost(self, bench):
        assert bench.segments() == self.known
        assert {trial.failures for trial in bench.trials()} == {0}
        assert "FAILED" not in {trial.state for trial in bench.trials()}
        assert "checkpoints were written to" in get_search(bench.database, "dates").message

    @pytest.mark.parametrize("is_mount_point", [True, False])
    @pytest.mark.parametrize("reason", [None, FailureReason.CORRUPT_CHECKPOINT])
    def test_halts_the_search_which_goes_on_when_it_is_back(self, bench, is_mount_point, reason):
        def take_away():
            self.take_away(bench, is_mount_point)
            bench.executor.failures = {number: [reason] for number in range(99)}

        bench.executor.at[60.0] = take_away
        with pytest.raises(Obstacle, match=r"objects: .* mount it, or bring it back; the same command goes on once"):
            bench.run()
        self.assert_nothing_is_lost(bench)
        self.bring_back(bench)
        assert bench.run().state == "finished"
        assert violations(bench.database, get_search(bench.database, "dates"), bench.folder / "objects") == []

    @pytest.mark.parametrize("is_mount_point", [True, False])
    def test_loses_nothing_when_the_best_is_examined(self, bench, is_mount_point):
        bench.crash(100.0)
        self.take_away(bench, is_mount_point)
        bench.executor.test_failures = [FailureReason.CORRUPT_CHECKPOINT] * 99
        with pytest.raises(Obstacle, match="mount it, or bring it back"):
            bench.run(budget=Budget(time=1.0))
        self.assert_nothing_is_lost(bench)
        self.bring_back(bench)
        assert bench.run().best.test_scores

    def test_that_is_unreadable_when_the_best_is_examined_loses_nothing_either(self, bench):
        bench.executor.test_failures = [FailureReason.STORAGE]
        with pytest.raises(Obstacle, match="as the test wants it; the same command goes on once that is mended"):
            bench.run()
        before = bench.segments()
        assert get_search(bench.database, "dates").message.endswith("once that is mended")
        assert bench.run().best.test_scores
        assert bench.segments()[: len(before)] == before


def test_a_checkpoint_that_was_written_and_is_not_there_halts_the_search(bench):
    write = bench.executor.result

    def lost(flight):
        result = write(flight)
        if isinstance(flight.job, Segment) and flight.job.from_step:
            objects.path(bench.folder / "objects", result.checkpoint).unlink()
        return result

    bench.executor.result = lost
    with pytest.raises(Obstacle, match="was written and is not there"):
        bench.run()
    assert {trial.failures for trial in bench.trials()} == {0}


def test_so_many_damaged_checkpoints_in_a_row_are_the_disks_fault(bench):
    bench.executor.test_failures = [FailureReason.CORRUPT_CHECKPOINT] * 99
    with pytest.raises(Obstacle, match="objects: the 15 best are all damaged"):
        bench.run(budget=Budget(time=1200.0))
    assert len(bench.executor.tested) == 15
    assert bench.segments()


def test_test_is_decoded_again_when_the_worker_is_lost(bench):
    bench.executor.test_failures = [FailureReason.WORKER_LOST]
    assert bench.run().best.test_scores == {"sequence_error_rate": 0.123}


def test_a_search_is_finished_even_where_test_cannot_be_decoded(bench):
    bench.executor.test_failures = [FailureReason.ERROR]
    outcome = bench.run()
    assert (outcome.state, outcome.best.test_scores) == ("finished", {})
    assert "test was not scored: ERROR, as the test wants it" in bench.messages("warning")


def test_segments_that_run_past_the_time_are_stopped(bench):
    bench.executor.overrun = 50.0
    outcome = bench.run()
    assert outcome.state == "finished"
    assert bench.executor.now <= 180


def test_what_does_not_stop_is_given_up_when_the_time_is_over_and_loses_nothing(bench):
    bench.executor.overrun, bench.executor.is_deaf = 500.0, True
    outcome = bench.run()
    assert (outcome.state, outcome.best.test_scores) == ("finished", {"sequence_error_rate": 0.123})
    assert bench.executor.now <= 180 + 5  # the pretended clock goes on by 5 seconds
    assert {(t.state, t.failures) for t in bench.trials()} == {("PAUSED", 0)}


def test_a_first_score_is_waited_for_longer_than_the_time(bench):
    bench.executor.is_deaf = True
    bench.executor.duration = lambda job: 70.0 if isinstance(job, Segment) else 1.0
    outcome = bench.run(budget=Budget(time=60.0))
    assert outcome.state == "finished"
    assert 70 <= bench.executor.now < 120


def test_a_poisoned_trial_fails_and_the_search_goes_on(bench):
    bench.executor.failures = {2: [FailureReason.NAN_LOSS], 3: [FailureReason.OUT_OF_MEMORY]}
    assert bench.run().state == "finished"
    failed = {t.number: t.reason for t in bench.trials() if t.state == "FAILED"}
    assert failed == {2: "NAN_LOSS", 3: "OUT_OF_MEMORY"}


def test_a_lost_worker_costs_an_attempt_and_three_cost_the_trial(bench):
    lost = FailureReason.WORKER_LOST
    bench.executor.failures = {0: [lost, lost], 1: [lost, lost, lost]}
    bench.run()
    assert bench.trials()[0].state == "COMPLETE"
    assert (bench.trials()[1].state, bench.trials()[1].reason) == ("FAILED", "WORKER_LOST")


@pytest.mark.parametrize("reason", [FailureReason.WORKER_LOST, FailureReason.TIMEOUT])
def test_a_poison_trial_has_three_attempts_and_does_not_stop_the_search(bench, reason):
    bench.executor.failures = {1: [reason] * 9}
    assert bench.run().state == "finished"
    assert (bench.trials()[1].state, bench.trials()[1].reason) == ("FAILED", reason)
    assert [a.end_reason for a in list_attempts(bench.database, bench.search.id) if a.trial == 1] == [reason] * 3


def test_a_trial_that_has_trained_may_run_out_of_memory_for_others_sake(bench):
    bench.executor.failures = {0: [None, FailureReason.OUT_OF_MEMORY]}
    bench.run()
    assert bench.trials()[0].state == "COMPLETE"
    assert bench.messages("warning") == [
        f"trial 0 goes on from step {bench.segments()[0].to_step}: OUT_OF_MEMORY, as the test wants it"
    ]


def test_a_machine_on_which_no_trainer_lives_halts_the_search_and_fails_no_more_trials(bench):
    bench.run(budget=Budget(time=60.0))
    bench.executor.failures = {number: [FailureReason.WORKER_LOST] * 9 for number in range(99)}
    with pytest.raises(
        Obstacle, match=r"1[56] attempts in a row were lost, the last with WORKER_LOST, as the test wants it"
    ):
        bench.run()
    assert get_search(bench.database, "dates").message.endswith("the same command goes on")
    assert sum(t.state == "FAILED" for t in bench.trials()) <= 5
    bench.executor.failures = {}
    assert bench.run().state == "finished"


class TestADamagedCheckpoint:
    @pytest.fixture(autouse=True)
    def three_segments_of_the_default(self, bench):
        bench.crash(60.0)
        self.before = [s for s in bench.segments() if s.trial == 0]
        assert len(self.before) >= 3
        bench.executor.failures = {0: [FailureReason.CORRUPT_CHECKPOINT]}

    def damage(self, bench, *segments):
        for segment in segments:
            objects.path(bench.folder / "objects", segment.checkpoint).write_bytes(b"damaged")

    def first_jobs_of_the_default(self, bench):
        bench.run()
        return [job.from_step for job in bench.executor.jobs if isinstance(job, Segment) and job.trial == 0][:2]

    def test_is_answered_by_going_back_to_the_one_before(self, bench):
        self.damage(bench, self.before[-1])
        assert self.first_jobs_of_the_default(bench) == [self.before[-1].to_step, self.before[-2].to_step]
        assert bench.trials()[0].state == "COMPLETE"

    def test_with_others_before_it_is_answered_by_going_back_to_the_last_sound_one(self, bench):
        self.damage(bench, *self.before[1:])
        assert self.first_jobs_of_the_default(bench) == [self.before[-1].to_step, self.before[0].to_step]

    def test_without_a_sound_one_is_answered_by_beginning_again(self, bench):
        self.damage(bench, *self.before)
        assert self.first_jobs_of_the_default(bench) == [self.before[-1].to_step, 0]
        assert bench.trials()[0].state == "COMPLETE"

    def test_that_stays_damaged_costs_the_trial_after_three_attempts(self, bench):
        bench.executor.failures = {0: [FailureReason.CORRUPT_CHECKPOINT] * 9}
        bench.run()
        assert (bench.trials()[0].state, bench.trials()[0].reason) == ("FAILED", "CORRUPT_CHECKPOINT")


def test_a_pretraining_whose_best_checkpoint_is_damaged_ends_with_the_next_best(bench):
    bench.run(tested=False)
    best = min(bench.segments(), key=lambda s: (s.scores["sequence_error_rate"], s.scores["loss"]))
    objects.path(bench.folder / "objects", best.checkpoint).write_bytes(b"damaged")
    outcome = bench.run(tested=False)
    assert outcome.best.checkpoint != best.checkpoint
    assert (outcome.best.test_scores, bench.executor.tested) == ({}, [])


def test_a_winner_whose_checkpoint_is_damaged_is_passed_over(bench):
    bench.executor.test_failures = [FailureReason.CORRUPT_CHECKPOINT]
    outcome = bench.run()
    tested = bench.executor.tested
    assert len(tested) == 2
    assert outcome.best.checkpoint == tested[1].checkpoint != tested[0].checkpoint
    assert tested[0].checkpoint not in [s.checkpoint for s in bench.segments()]


def test_a_lost_lease_stops_the_search_at_once(bench):
    bench.executor.at[60.0] = lambda: claim(bench.database, "dates", "a test", 60.0)
    with pytest.raises(LeaseLost):
        bench.run()
    assert bench.executor.now < 80


def test_what_a_dead_controller_left_running_is_paused_before_anything_else(bench):
    bench.crash(60.0)
    running = [t.number for t in bench.trials() if t.state == "RUNNING" and t.checkpoint]
    bench.controller()
    assert running
    assert {t.state for t in bench.trials() if t.number in running} == {"PAUSED"}


def test_a_server_that_is_away_for_longer_than_a_transaction_waits_ends_no_search_whatever_is_written(
    bench, monkeypatch
):
    bench.executor.failures = {0: [None, FailureReason.CORRUPT_CHECKPOINT]}
    controller, tries, attempt = bench.controller(), Counter(), Database._attempt

    def away(self, work):
        tries[work] += 1
        if tries[work] <= len(PAUSES) + 2:
            raise BusyError("the database does not answer")
        return attempt(self, work)

    monkeypatch.setattr(Database, "_attempt", away)
    monkeypatch.setattr("storage.database.time.sleep", lambda _: None)
    assert controller.run().state == "finished"
    assert any(warning.startswith("trial 0 goes on") for warning in bench.messages("warning"))
    assert min(tries.values()) > len(PAUSES) + 2
