"""What a controller does with a search, whose trials only pretend to train."""

import subprocess
import sys
from dataclasses import replace

import pytest

from automl.budget import Budget
from automl.control.criteria import Criteria
from automl.control.history import restore, tried
from automl.control.importance import importances
from automl.errors import FailureReason
from automl.metrics import metric
from automl.metrics.costs import COSTS
from automl.segments import Segment
from storage.attempts import list_attempts
from storage.searches import get_search
from tests.automl.control.pretended_search import CURVES, Bench, flown
from tests.automl.control.simulation import Curve


def test_a_search_ends_within_its_time_and_finds_a_winner(bench):
    outcome = bench.run()
    assert outcome.state == "finished"
    assert 0.9 * 180 < bench.executor.now <= 180
    assert outcome.seconds == pytest.approx(bench.executor.now)
    assert get_search(bench.database, "dates").seconds == pytest.approx(outcome.seconds)


def test_the_winner_is_the_best_of_all_segments_and_test_is_scored_once(bench):
    outcome = bench.run()
    best = min(bench.segments(), key=lambda s: (s.scores["sequence_error_rate"], s.scores["loss"]))
    assert (outcome.best.trial, outcome.best.step) == (best.trial, best.to_step)
    assert outcome.best.test_scores == {"sequence_error_rate": 0.123}
    assert [job.checkpoint for job in bench.executor.tested] == [best.checkpoint]


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
    outcome = bench.run(budget=Budget(time=3600.0, trials=12))
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


def test_for_a_test_that_is_larger_than_valid_more_time_is_kept_but_no_more_than_a_fifth(bench):
    usual = bench.plan
    assert usual.kept_for_test(10.0) == pytest.approx(1.0)
    assert replace(usual, tested=False).kept_for_test(10.0) == 0
    flights = flown(bench, test_share=1_000.0)
    trained = max(flight.ends for flight in flights if isinstance(flight.job, Segment))
    assert 0.5 * 180 < trained < 0.85 * 180
