"""What a private search is charged, whatever becomes of its segments."""

from dataclasses import replace

import pytest

from automl.budget import Budget
from automl.control.ledger import KEPT
from automl.errors import FailureReason
from automl.privacy import Terms
from automl.segments import Segment
from storage.integrity import violations
from storage.searches import claim, get_search, release, update_search
from tests.automl.control.pretended_search import Bench, NoMirror
from tests.automl.control.pretended_training import PACE

TERMS = Terms(epsilon=8.0, delta=1e-5, rows=1000, batch=5, steps=600, noise_multiplier=1.5)


class PrivateBench(Bench):
    """A search whose step sees as many tokens as one of the pretended training."""

    def __init__(self, folder, terms=TERMS):
        super().__init__(folder)
        self.plan = replace(self.plan, private=True, pass_tokens=PACE * terms.rows // terms.batch)
        self.charge(0, terms)

    def charge(self, steps, terms=TERMS):
        lease = claim(self.database, "dates", "a test", 60.0)
        update_search(self.database, lease, summary={"privacy": replace(terms, charged=steps).to_mapping()})
        release(self.database, lease)

    @property
    def charged(self):
        return Terms.of(get_search(self.database, "dates").summary["privacy"]).charged

    @property
    def taken(self):
        return sum(segment.to_step - segment.from_step for segment in self.segments())


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr("automl.control.mirror.Mirror", NoMirror)
    bench = PrivateBench(tmp_path)
    yield bench
    bench.database.close()


def test_a_search_takes_no_more_steps_than_it_may_and_is_charged_for_each(bench):
    assert bench.run().state == "finished"
    assert 0.8 * TERMS.steps < bench.taken <= TERMS.steps
    assert bench.charged == bench.taken


def test_its_last_segments_find_steps_that_were_kept_for_them(bench):
    bench.run()
    cooled = [segment for segment in bench.segments() if segment.cooldown]
    assert sum(s.to_step - s.from_step for s in cooled) >= TERMS.steps // KEPT // 2
    assert not any(job.blends for job in bench.executor.jobs if isinstance(job, Segment))


@pytest.mark.parametrize("crashes", [(9.0,), (20.0, 31.0), (6.0, 9.0, 12.0, 15.0)])
def test_a_search_that_was_killed_has_paid_for_what_was_in_flight(bench, crashes):
    for number, moment in enumerate(crashes):
        before = bench.taken
        bench.crash(moment)
        assert bench.taken >= before
        assert bench.charged > bench.taken, number
    bench.run()
    assert bench.taken < bench.charged <= TERMS.steps
    row = get_search(bench.database, "dates")
    assert violations(bench.database, row, bench.folder / "objects") == []


def test_steps_of_an_attempt_that_failed_are_not_given_back(bench):
    bench.executor.failures = {0: [FailureReason.WORKER_LOST, FailureReason.NAN_LOSS]}
    bench.run()
    assert bench.taken < bench.charged <= TERMS.steps


def test_a_search_without_steps_begins_nothing_however_large_its_budget_is(bench):
    bench.run()
    bench.charge(TERMS.steps)
    tested, segments = len(bench.executor.tested), len(bench.segments())
    assert bench.run(budget=Budget(time=20_000.0)).best is not None
    assert len(bench.segments()) == segments
    assert len(bench.executor.tested) == tested + 1
    assert bench.messages("finish")[-1] == "the steps that privacy allows are spent"


def test_a_search_without_a_clock_keeps_to_its_steps_too(bench):
    bench.run(budget=Budget(trials=3), passes=2)
    assert 0 < bench.charged == bench.taken <= TERMS.steps


def test_no_row_of_train_is_read_again_when_the_winner_is_tested(bench):
    bench.run()
    tested = [job for job in bench.executor.jobs if hasattr(job, "split")]
    assert tested
    assert not any(job.membership for job in tested)
    assert tested[-1].exposure  # of canaries, which are nobody's


def test_a_search_that_is_not_private_has_steps_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("automl.control.mirror.Mirror", NoMirror)
    bench = Bench(tmp_path)
    bench.run()
    assert all(job.most_steps is None for job in bench.executor.jobs if hasattr(job, "most_steps"))
    assert get_search(bench.database, "dates").summary is None
    bench.database.close()
