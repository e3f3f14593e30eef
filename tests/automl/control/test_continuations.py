"""What a search does with more time than it had when it ended."""

import pytest

from automl.budget import Budget
from automl.control.history import restore, tried
from automl.control.proposals import Proposal
from automl.control.prospects import prospects
from automl.control.rungs import OUTGROWN
from automl.errors import FailureReason
from storage import objects
from storage.integrity import violations
from storage.schema import altered
from storage.searches import get_search
from storage.trials import BRANCH, CONTINUED, WIDER
from tests.automl.control.pretended_search import CURVES
from tests.automl.control.pretended_training import COMPILING
from tests.automl.control.simulation import Curve
from tests.automl.control.test_history import row

LONGER = Budget(time=900.0)


def continued(bench):
    return [trial for trial in bench.trials() if trial.origin.startswith(CONTINUED)]


def own(bench, number):
    return [segment for segment in bench.segments() if segment.trial == number]


def sound(bench):
    return violations(bench.database, get_search(bench.database, "dates"), bench.folder / "objects") == []


@pytest.fixture
def longer(bench):
    bench.run()
    bench.outcome = bench.run(budget=LONGER)
    return bench


def test_what_was_trained_out_goes_on_from_before_its_end(longer):
    first = next(trial for trial in continued(longer) if trial.parent == 0)
    place = own(longer, first.number)[0]
    before = [segment for segment in own(longer, 0) if not segment.cooldown]
    assert (place.from_step, first.seed) == (before[-1].to_step, longer.trials()[0].seed)
    assert place.tokens > before[-1].tokens
    assert any(f"continued {first.number}: the leader" in message for message in longer.messages("thaw"))
    assert f"trial {first.number} goes on in place of 0" in longer.messages("continue")
    assert sound(longer)


def test_it_gets_its_part_of_the_time_that_was_added(longer):
    lineage = restore(longer.trials(), longer.segments())
    before = max(segment.tokens for segment in own(longer, 0))
    now = max(s.tokens for s in longer.segments() if lineage[s.trial].lineage == 0)
    assert now > 3 * before


def test_what_it_reached_before_still_may_win(bench):
    before = bench.run().best
    bench.executor.curves = lambda number: CURVES(0) if number == 0 else Curve(floor=0.9, scale=3_000.0)
    now = bench.run(budget=LONGER).best
    assert continued(bench)
    assert (now.trial, now.step) == (before.trial, before.step)


def test_it_goes_on_again_and_again(longer):
    longer.run(budget=Budget(time=3_000.0))
    parents = [trial.parent for trial in continued(longer)]
    assert len(set(parents)) == len(parents)
    chain = next(trial for trial in continued(longer) if trial.parent in {t.number for t in continued(longer)})
    lineage = restore(longer.trials(), longer.segments())
    assert lineage[chain.number].lineage == lineage[chain.parent].lineage
    assert sound(longer)


def test_what_failed_going_on_is_not_gone_on_with_again(bench):
    bench.run()
    bench.executor.failures = {len(bench.trials()): [FailureReason.NAN_LOSS] * 9}
    bench.run(budget=LONGER)
    failed = [trial for trial in continued(bench) if trial.state == "FAILED"]
    bench.run(budget=Budget(time=2_000.0))
    again = [trial for trial in continued(bench) if trial.parent in {each.parent for each in failed}]
    assert failed
    assert again == failed
    assert sound(bench)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(bench):
    bench.run()
    *_, earlier, last = (segment for segment in own(bench, 0) if not segment.cooldown)
    objects.path(bench.folder / "objects", last.checkpoint).write_bytes(b"other bytes")
    bench.run(budget=LONGER)
    first = next(trial for trial in continued(bench) if trial.parent == 0)
    assert own(bench, first.number)[0].from_step == earlier.to_step


def test_proposals_and_wider_versions_are_of_what_goes_on(longer):
    trials = restore(longer.trials(), longer.segments())
    first = next(trial for trial in continued(longer) if trial.parent == 0)
    seen = tried(trials.values(), longer.plan.criteria, get_search(longer.database, "dates").rung_tokens)
    rungs = {each.configuration: each.score.rung for each in seen if each.score}
    assert rungs[trials[0].configuration] == max(rungs.values())
    assert sum(each.configuration == trials[0].configuration for each in seen) == 1
    wider = Proposal(longer.plan.space.wider(trials[0].configuration), "wider", trials[0].configuration)
    (prospect,) = prospects([wider], trials.values(), lambda _: (), lambda _: 1.0)
    assert prospect.wider_than == first.number


def test_a_wider_trial_goes_on_as_one():
    wider = altered(row(0, "COMPLETE"), origin=WIDER)
    trials = restore([wider, altered(row(1), origin=f"{CONTINUED}0"), altered(row(2), origin=f"{BRANCH}0")], [])
    assert [trial.is_wider for trial in trials.values()] == [True, True, False]


def test_near_the_end_nothing_goes_on_that_was_trained_out(bench):
    bench.run()
    bench.run(budget=Budget(time=185.0))
    assert continued(bench) == []


def test_it_is_no_trial_of_a_budget(bench):
    bench.run(budget=Budget(time=180.0, trials=4))
    bench.run(budget=Budget(time=900.0, trials=4))
    assert continued(bench)
    assert sum(trial.parent is None for trial in bench.trials()) == 4
    assert sound(bench)


def test_rungs_grow_with_a_budget_that_has_outgrown_them(bench):
    bench.run(budget=Budget(time=60.0))
    before = get_search(bench.database, "dates").rung_tokens
    bench.run(budget=Budget(time=3_000.0))
    assert get_search(bench.database, "dates").rung_tokens >= OUTGROWN * before


def test_a_first_look_that_was_interrupted_sets_no_rung_for_good(bench):
    controller = bench.controller()
    bench.executor.at[COMPILING + 0.5] = controller.interrupt
    controller.run()
    short = get_search(bench.database, "dates").rung_tokens
    bench.run()
    assert get_search(bench.database, "dates").rung_tokens > short
