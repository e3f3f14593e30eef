"""What a search does with more time than it had when it ended."""

import pytest

from automl.budget import Budget
from automl.control.history import restore
from automl.control.rungs import OUTGROWN
from storage.integrity import violations
from storage.searches import get_search
from storage.trials import CONTINUED
from tests.automl.control.pretended_training import COMPILING

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


def test_what_it_reached_before_still_may_win(longer):
    best = min(longer.segments(), key=lambda s: (s.scores["sequence_error_rate"], s.scores["loss"]))
    assert (longer.outcome.best.trial, longer.outcome.best.step) == (best.trial, best.to_step)


def test_it_goes_on_again_and_again(longer):
    longer.run(budget=Budget(time=3_000.0))
    parents = [trial.parent for trial in continued(longer)]
    assert len(set(parents)) == len(parents)
    chain = next(trial for trial in continued(longer) if trial.parent in {t.number for t in continued(longer)})
    lineage = restore(longer.trials(), longer.segments())
    assert lineage[chain.number].lineage == lineage[chain.parent].lineage
    assert sound(longer)


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
