import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from automl.budget import Budget
from automl.control.controller import Controller
from automl.control.criteria import Criteria
from automl.control.history import MOST_BLENDS, restore, tried
from automl.control.importance import importances
from automl.control.plan import Plan
from automl.errors import FailureReason, Obstacle
from automl.metrics import metric
from automl.metrics.costs import COSTS
from automl.segments import Evaluation, Segment
from search_spaces.spaces import space
from storage import objects
from storage.attempts import list_attempts
from storage.buckets import Unreachable
from storage.database import Database, open_database
from storage.engines import PAUSES, BusyError
from storage.events import list_events
from storage.integrity import violations
from storage.leases import LeaseLost
from storage.searches import claim, create_search, get_search
from storage.segments import list_segments
from storage.trials import BRANCH, WIDER, list_trials
from tests.automl.control.pretended_training import Crash, PretendingExecutor
from tests.automl.control.simulation import Curve, space_of

DEFAULT = Curve(floor=0.08, scale=3000.0)
CURVES = space_of(3, DEFAULT, [Curve(floor=0.04, scale=1500.0)])


class Bench:
    """A search in a database of its own, which can be run again and again."""

    def __init__(self, folder):
        self.folder = folder
        self.database = open_database(f"sqlite:///{folder / 'automl.db'}")
        self.search = create_search(self.database, "dates", {}, "0" * 64)
        self.plan = Plan(
            space(), Criteria(metric("sequence_error_rate")), Budget(time=180.0), folder / "objects", 20_000
        )
        self.executor = PretendingExecutor(folder / "objects", CURVES)
        self.shown = []

    def controller(self, **changes):
        plan = replace(self.plan, **changes)
        lease = claim(self.database, "dates", "a test", 60.0)
        search, executor = get_search(self.database, "dates"), self.executor
        return Controller(
            self.database, search, lease, executor, plan,
            clock=executor.clock, on_change=self.shown.append, waiting=executor.wait,
        )  # fmt: skip

    def run(self, **changes):
        return self.controller(**changes).run()

    def crash(self, at, **changes):
        def crash():
            raise Crash

        self.executor.at[at] = crash
        with pytest.raises(Crash):
            self.run(**changes)
        self.executor = PretendingExecutor(self.folder / "objects", CURVES, now=at)

    def trials(self):
        return list_trials(self.database, self.search.id)

    def segments(self):
        return list_segments(self.database, self.search.id)

    def messages(self, kind):
        return [event.message for event in list_events(self.database, self.search.id) if event.kind == kind]


class NoMirror:
    def __init__(self, url, search, directions):
        pass

    def __contains__(self, number):
        return True

    def update(self, rows, lease):
        pass


@pytest.fixture
def mirrored_bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.database.close()


@pytest.fixture
def bench(mirrored_bench, monkeypatch):
    monkeypatch.setattr("automl.control.mirror.Mirror", NoMirror)
    return mirrored_bench


def test_a_search_ends_within_its_time_and_finds_a_winner(bench):
    outcome = bench.run()
    assert outcome.state == "finished"
    assert 0.9 * 180 < bench.executor.now <= 180
    assert outcome.seconds == pytest.approx(bench.executor.now)
    assert get_search(bench.database, "dates").seconds == pytest.approx(outcome.seconds)


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


def test_the_winner_is_the_best_of_all_segments_and_test_is_scored_once(bench):
    outcome = bench.run()
    best = min(bench.segments(), key=lambda s: (s.scores["sequence_error_rate"], s.scores["loss"]))
    assert (outcome.best.trial, outcome.best.step) == (best.trial, best.to_step)
    assert outcome.best.test_scores == {"sequence_error_rate": 0.123}
    assert [job.checkpoint for job in bench.executor.jobs if isinstance(job, Evaluation)] == [best.checkpoint]


@pytest.mark.parametrize("workers", [1, 3])
def test_device_time_is_shared_by_all_workers(bench, workers):
    bench.executor.workers = workers
    outcome = bench.run(budget=Budget(device_time=240.0))
    assert outcome.state == "finished"
    used = sum(sum(segment.seconds.values()) for segment in bench.segments())
    assert 0.8 * 240 < used < 240 + 10 * workers
    assert outcome.seconds == pytest.approx(used / workers, rel=0.25)


def test_what_killed_attempts_have_computed_counts_as_device_time(bench):
    killed = FailureReason.TIMEOUT
    bench.executor.failures = {number: [killed, killed, None, killed] for number in range(99)}
    bench.run(budget=Budget(device_time=240.0))
    attempts = list_attempts(bench.database, bench.search.id)
    spent = [attempt.seconds for attempt in attempts if attempt.end_reason == killed]
    assert len(spent) > 2
    assert min(spent) > 0
    assert 0.8 * 240 < sum(attempt.seconds for attempt in attempts) < 240 + 10


def test_the_default_is_the_first_trial_and_its_first_segment_sets_the_rungs(bench):
    bench.run()
    assert [t.origin for t in bench.trials()[:2]] == ["default", "family default"]
    first = bench.segments()[0]
    assert get_search(bench.database, "dates").rung_tokens == first.tokens
    assert bench.executor.jobs[0].seconds == pytest.approx((180 - 9) / 30)


def test_no_trial_is_thrown_away(bench):
    outcome = bench.run()
    assert {t.state for t in bench.trials()} == {"PAUSED", "COMPLETE"}
    assert sum(outcome.trials.values()) == len(bench.trials())
    assert all(t.checkpoint for t in bench.trials())


def test_a_trial_goes_on_from_its_last_checkpoint(bench):
    bench.run()
    lineage = {number: trial.lineage for number, trial in restore(bench.trials(), bench.segments()).items()}
    ends = {(lineage[s.trial], s.to_step, s.checkpoint) for s in bench.segments()}
    later = [job for job in bench.executor.jobs if isinstance(job, Segment) and job.from_step]
    assert later
    assert {(lineage[job.trial], job.from_step, job.checkpoint) for job in later} <= ends


def test_every_decision_is_an_event_with_its_reason(bench):
    bench.run()
    assert bench.messages("start")[0] == "trial 0 (Recurrent → Recurrent): started the default"
    assert "the leader" in bench.messages("thaw")[0]
    assert bench.messages("train out")
    assert bench.messages("finish") == ["the time is spent"]


def test_a_budget_in_trials_is_respected(bench):
    outcome = bench.run(budget=Budget(trials=6))
    assert (outcome.state, len(bench.trials())) == ("finished", 6)
    assert sum(t.state == "COMPLETE" for t in bench.trials()) == 1
    assert get_search(bench.database, "dates").rung_tokens == 20_000


def test_a_reached_target_ends_the_search(bench):
    outcome = bench.run(budget=Budget(time=180.0, target=("sequence_error_rate", "<=", 0.5)))
    assert outcome.best.scores["sequence_error_rate"] <= 0.5
    assert bench.executor.now < 120
    assert bench.messages("finish") == ["the target sequence_error_rate<=0.5 is reached"]


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
    assert len([job for job in bench.executor.jobs if isinstance(job, Evaluation)]) == 15
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


def test_a_winner_whose_checkpoint_is_damaged_is_passed_over(bench):
    bench.executor.test_failures = [FailureReason.CORRUPT_CHECKPOINT]
    outcome = bench.run()
    tested = [job for job in bench.executor.jobs if isinstance(job, Evaluation)]
    assert len(tested) == 2
    assert outcome.best.checkpoint == tested[1].checkpoint != tested[0].checkpoint
    assert tested[0].checkpoint not in [s.checkpoint for s in bench.segments()]


def test_when_the_default_fails_another_trial_sets_the_rungs(bench):
    bench.executor.failures = {0: [FailureReason.NAN_LOSS]}
    assert bench.run().state == "finished"
    assert get_search(bench.database, "dates").rung_tokens == bench.segments()[0].tokens


def test_a_search_ends_when_its_first_five_trials_fail(bench):
    bench.executor.failures = {number: [FailureReason.BAD_DATA] for number in range(9)}
    outcome = bench.run()
    assert (outcome.state, outcome.best) == ("failed", None)
    assert outcome.why == "the first 5 trials failed: BAD_DATA, as the test wants it"
    assert 5 <= len(bench.trials()) <= 6


def test_scores_that_are_not_finite_fail_the_trial(bench):
    bench.executor.curves = lambda number: Curve(float("nan"), 1.0) if number == 2 else CURVES(number)
    bench.run()
    assert (bench.trials()[2].state, bench.trials()[2].reason) == ("FAILED", "NAN_LOSS")


def test_only_admissible_configurations_are_trained(bench):
    bench.run(admissible=lambda c: type(c.encoder).__name__ == "Transformer")
    assert {t.configuration["encoder"]["kind"] for t in bench.trials()} == {"Transformer"}


def test_a_search_without_an_admissible_configuration_fails_and_says_why(bench):
    outcome = bench.run(admissible=lambda c: False)
    assert (outcome.state, outcome.why) == ("failed", "no configuration is within the constraints")


def sizes(job):
    return {"parameters": 1000.0 / (1 + job.trial % 7)}


TWO = Criteria(metric("sequence_error_rate"), (COSTS["parameters"],))


def test_of_several_objectives_the_front_is_kept_and_the_best_by_the_first_wins(bench):
    bench.executor.costs = sizes
    outcome = bench.run(criteria=TWO)
    assert len(outcome.front) > 1
    assert outcome.front[0].checkpoint == outcome.best.checkpoint
    pairs = [tuple(each.scores[name] for name in ("sequence_error_rate", "parameters")) for each in outcome.front]
    assert [p for p, _ in pairs] == sorted(p for p, _ in pairs)
    assert [size for _, size in pairs] == sorted((size for _, size in pairs), reverse=True)


def test_a_second_objective_changes_what_is_trained(bench, tmp_path_factory):
    one = Bench(tmp_path_factory.mktemp("one"))
    bench.executor.costs = one.executor.costs = sizes
    bench.run(criteria=TWO, budget=Budget(time=120.0))
    one.run(budget=Budget(time=120.0))
    courses = [[(t.number, t.tokens) for t in b.trials()] for b in (bench, one)]
    one.database.close()
    assert courses[0] != courses[1]


def test_optuna_reads_a_search_of_several_objectives(mirrored_bench):
    import optuna

    mirrored_bench.executor.costs = sizes
    mirrored_bench.run(criteria=TWO, budget=Budget(time=60.0))
    study = optuna.load_study(study_name="dates", storage=mirrored_bench.database.url)
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert study.best_trials


def test_a_trial_over_the_limit_of_latency_neither_goes_on_nor_wins(bench):
    bench.executor.costs = lambda job: {"latency": 0.05 if job.trial in (0, 3) else 0.01}
    outcome = bench.run(criteria=Criteria(metric("sequence_error_rate"), limits={"latency": 0.02}))
    assert outcome.best.scores["latency"] == 0.01
    assert [job.trial for job in bench.executor.jobs if isinstance(job, Segment)].count(0) == 1


def test_a_search_whose_models_are_all_too_slow_has_no_winner_and_names_the_nearest(bench):
    bench.executor.costs = lambda job: {"latency": 0.03 + 0.01 * (job.trial != 1)}
    criteria = Criteria(metric("sequence_error_rate"), limits={"latency": 0.02})
    outcome = bench.run(criteria=criteria, budget=Budget(trials=4))
    assert (outcome.state, outcome.best) == ("failed", None)
    assert "the nearest, trial 1" in outcome.why


def test_what_was_measured_is_learnt_and_learnt_again_by_the_next_run(bench):
    learnt = []
    bench.run(learn=lambda configuration, scores: learnt.append(scores), budget=Budget(time=60.0))
    first, learnt[:] = list(learnt), []
    assert sorted(s["loss"] for s in first) == sorted(s.scores["loss"] for s in bench.segments())
    bench.run(learn=lambda configuration, scores: learnt.append(scores), budget=Budget(time=60.0))
    assert len(learnt) == len(first)


def test_a_mirror_that_fails_costs_a_warning_and_nothing_else(bench, monkeypatch):
    class Broken:
        def __init__(self, *arguments):
            raise OSError("disk full")

    monkeypatch.setattr("automl.control.mirror.Mirror", Broken)
    assert bench.run().state == "finished"
    assert "the Optuna study was not brought up to date (OSError); the search goes on" in bench.messages("warning")


def test_optuna_reads_the_search(mirrored_bench):
    import optuna

    outcome = mirrored_bench.run()
    study = optuna.load_study(study_name="dates", storage=mirrored_bench.database.url)
    assert len(study.trials) == len(mirrored_bench.trials())
    assert study.best_value == pytest.approx(outcome.best.scores["sequence_error_rate"])


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


def test_progress_is_shown_while_it_runs(bench):
    bench.run()
    left = [progress.seconds_left for progress in bench.shown]
    assert left == sorted(left, reverse=True)
    assert bench.shown[-1].best is not None
    assert any(progress.workers for progress in bench.shown)


def test_the_outcome_says_what_won_and_against_what(bench):
    outcome = bench.run()
    assert f"trial {outcome.best.trial}" in outcome.why or "the default" in outcome.why
    assert "sequence_error_rate" in outcome.why
    assert "against" in outcome.why


def test_the_outcome_says_which_dials_mattered_as_a_report_does(bench):
    outcome = bench.run(budget=Budget(time=1200.0))
    trials, row = restore(bench.trials(), bench.segments()).values(), get_search(bench.database, "dates")
    assert outcome.importance == importances(bench.plan.space, tried(trials, bench.plan.criteria, row.rung_tokens))
    assert sum(outcome.importance.values()) == pytest.approx(1)


def test_where_it_cannot_be_told_which_dials_mattered_the_winner_is_kept(bench, monkeypatch):
    def broken(space, tried):
        raise ZeroDivisionError

    monkeypatch.setattr("automl.control.importance.importances", broken)
    outcome = bench.run()
    assert (outcome.state, outcome.importance) == ("finished", {})
    assert "which dials mattered is not known (ZeroDivisionError)" in bench.messages("warning")


def test_importing_the_controller_imports_neither_jax_nor_optuna():
    script = "import sys, automl.control.controller; print({'jax', 'flax', 'optax', 'optuna'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def flown(bench, **changes):
    """Run a search; what it had in flight, in its order."""
    flights, submit = [], bench.executor.submit

    def noting(job):
        future = submit(job)
        flights.append(bench.executor.flights[-1])
        return future

    bench.executor.submit = noting
    bench.run(**changes)
    return flights


class TestAWiderVersionOfTheLeader:
    def wider(self, bench):
        return [trial for trial in bench.trials() if trial.origin == WIDER]

    def test_begins_and_goes_on_as_a_duty(self, bench):
        bench.run(budget=Budget(time=1200.0))
        (trial,) = self.wider(bench)
        assert trial.segments > 1
        assert any("a wider version of 0, the leader" in message for message in bench.messages("start"))
        assert any(f"continued {trial.number}: wider than the leader" in message for message in bench.messages("thaw"))

    def test_whose_first_segment_was_lost_begins_again_as_one(self, bench):
        flights = flown(bench, budget=Budget(time=1200.0))
        number = self.wider(bench)[0].number
        begun = next(flight.began for flight in flights if flight.job.trial == number)
        bench.database.close()
        (bench.folder / "again").mkdir()
        again = Bench(bench.folder / "again")
        again.crash(at=begun + 0.1, budget=Budget(time=1200.0))
        assert [trial.segments for trial in self.wider(again)] == [0]
        again.run(budget=Budget(time=1200.0))
        (trial,) = self.wider(again)
        assert trial.number == number
        assert trial.segments > 1


class TestACopyOfTheLeader:
    def branches(self, bench):
        return [trial for trial in bench.trials() if trial.origin.startswith(BRANCH)]

    def test_begins_at_a_checkpoint_of_the_leader_and_is_trained_out(self, bench):
        bench.run()
        first = self.branches(bench)[0]
        own = [segment for segment in bench.segments() if segment.trial == first.number]
        places = {(s.to_step, s.checkpoint) for s in bench.segments() if s.trial == 0}
        job = next(job for job in bench.executor.jobs if job.trial == first.number)
        assert (first.origin, first.state, [segment.cooldown for segment in own]) == ("branch of 0", "COMPLETE", [True])
        assert (job.from_step, job.checkpoint) in places
        assert (job.seed, own[0].from_step) == (bench.trials()[0].seed, job.from_step)
        assert violations(bench.database, get_search(bench.database, "dates"), bench.folder / "objects") == []

    def test_is_one_of_the_times_that_the_end_of_the_leader_may_be_blended_with(self, bench):
        bench.run()
        job = next(job for job in bench.executor.jobs if isinstance(job, Segment) and job.cooldown and job.trial == 0)
        kin = {0, *(trial.number for trial in self.branches(bench))}
        before = {s.checkpoint: s for s in bench.segments() if s.trial in kin and not (s.trial == 0 and s.cooldown)}
        best = min(before.values(), key=lambda s: (s.scores["sequence_error_rate"], s.scores["loss"]))
        assert set(job.blends) <= before.keys()
        assert len(job.blends) == MOST_BLENDS
        assert job.blends[0] == best.checkpoint

    def test_that_a_crash_cut_short_is_cooled_down_by_the_next_run(self, bench):
        begun = next(flight for flight in flown(bench) if flight.job.trial == self.branches(bench)[0].number)
        bench.database.close()
        (bench.folder / "again").mkdir()
        again = Bench(bench.folder / "again")
        again.crash(at=begun.began + 0.1)
        cut = self.branches(again)
        assert [trial.state for trial in cut] == ["RUNNING"]
        again.run()
        assert self.branches(again)[0].state == "COMPLETE"
        assert violations(again.database, get_search(again.database, "dates"), again.folder / "objects") == []
        again.database.close()

    def test_whose_checkpoint_is_damaged_fails_and_the_search_goes_on(self, bench):
        bench.executor.failures = {number: [FailureReason.CORRUPT_CHECKPOINT] for number in range(1, 9)}
        outcome = bench.run()
        assert outcome.state == "finished"
        assert {(trial.reason, trial.checkpoint) for trial in self.branches(bench)} == {("CORRUPT_CHECKPOINT", None)}
        assert violations(bench.database, get_search(bench.database, "dates"), bench.folder / "objects") == []

    @pytest.mark.parametrize(
        "changes",
        [
            {"budget": Budget(time=180.0, trials=6)},
            {"budget": Budget(device_time=300.0)},
            {
                "criteria": Criteria(metric("sequence_error_rate"), (COSTS["parameters"],)),
                "costs": lambda _: {"parameters": 1.0},
            },
        ],
    )
    def test_is_not_made_where_it_would_cost_another_share_than_that_of_exploring(self, bench, changes):
        bench.run(**changes)
        assert bench.trials()
        assert self.branches(bench) == []

    def test_whose_own_checkpoint_is_damaged_ends_with_that_reason(self, bench):
        controller = bench.controller()
        bench.executor.at[119.0] = controller.interrupt
        controller.run()
        branch = next(
            t for t in restore(bench.trials(), bench.segments()).values() if t.parent is not None and t.segments
        )
        controller = bench.controller()
        controller._drop(controller._trials[branch.row.number], controller._trials[branch.row.number].segments)
        controller._journal.commit()
        assert next(t for t in bench.trials() if t.number == branch.row.number).reason == "CORRUPT_CHECKPOINT"


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
