"""Trials that are made from the leader: a wider version, and copies that are cooled down."""

import pytest

from automl.budget import Budget
from automl.control.criteria import Criteria
from automl.control.history import MOST_BLENDS, restore
from automl.errors import FailureReason
from automl.metrics import metric
from automl.metrics.costs import COSTS
from automl.segments import Segment
from storage.integrity import violations
from storage.searches import get_search
from storage.trials import BRANCH, WIDER
from tests.automl.control.pretended_search import Bench, flown


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
