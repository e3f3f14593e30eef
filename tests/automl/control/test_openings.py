"""A process that trains like models together opens few programs, each of which then has many trials."""

from collections.abc import Hashable
from dataclasses import replace
from typing import NamedTuple

import pytest

from automl.budget import Budget
from automl.control.openings import FIRST, beginnable
from automl.control.proposals import Proposal
from automl.segments import Segment
from search_spaces.dials import from_dict
from search_spaces.hulls import shared
from search_spaces.seq2seq import Seq2Seq, without_recipe
from search_spaces.spaces import space
from storage.schema import altered
from tests.automl.control import test_history
from tests.automl.control.pretended_search import Bench

WORKERS, FEW = 16, 3
DEFAULT, *FAMILIES = space().defaults()


class Beginning(NamedTuple):
    """A first segment as it begins: the programs of what trains beside it, and its own."""

    beside: frozenset[Hashable]
    program: Hashable


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("openings"))
    bench.plan = replace(bench.plan, together=True, budget=Budget(time=24.0))
    bench.executor.workers = WORKERS
    return bench


@pytest.fixture(scope="module")
def begun(bench):
    """What a search begins, one after another."""
    found, submit = [], bench.executor.submit

    def noting(job):
        if is_trained(job) and job.from_step == 0:
            beside = (flight.job for flight in bench.executor.flights if is_trained(flight.job))
            found.append(
                Beginning(frozenset(shared(configuration(each)) for each in beside), shared(configuration(job)))
            )
        return submit(job)

    bench.executor.submit = noting
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("automl.control.openings.MOST", FEW)
        bench.run()
    return found


def is_trained(job):
    return isinstance(job, Segment)


def configuration(job):
    return from_dict(Seq2Seq, job.configuration)


def test_before_the_first_score_two_programs_are_made_and_every_worker_trains_by_one(begun):
    programs = [each.program for each in begun[:WORKERS]]
    assert programs == [shared(DEFAULT), shared(FAMILIES[0]), *[shared(DEFAULT)] * (WORKERS - 2)]


def test_a_program_is_opened_beside_few_others(begun):
    assert len({each.program for each in begun}) > FIRST
    assert any(len(each.beside) >= FEW for each in begun)
    assert all(len(each.beside) < FEW or each.program in each.beside for each in begun)


def test_what_fills_an_open_program_is_another_recipe_that_nobody_has_tried(bench, begun):
    rows = bench.trials()[:WORKERS]
    filling = [from_dict(Seq2Seq, row.configuration) for row in rows if row.origin == "recipe"]
    assert {*map(without_recipe, filling)} == {without_recipe(DEFAULT)}
    assert len({*filling, DEFAULT}) == len(filling) + 1


def in_flight(*configurations):
    found = test_history.trials(*[(0.5, 1.0)] * len(configurations))
    return [
        replace(found[number], configuration=each, in_flight=True, segments=[])
        for number, each in enumerate(configurations)
    ]


def test_what_fits_no_open_program_begins_where_nothing_else_can(bench):
    offered, training = [Proposal(FAMILIES[2], "family default")], in_flight(DEFAULT, FAMILIES[0])
    assert beginnable(offered, training[:1], bench.plan) == offered
    assert {p.origin for p in beginnable(offered, training, bench.plan)} == {"recipe"}
    assert beginnable(offered, training, replace(bench.plan, admissible=lambda _: False)) == offered


@pytest.mark.parametrize("change", [{"together": False}, {"budget": Budget(time=60.0, trials=20)}])
def test_whatever_is_offered_begins_in_processes_of_their_own_and_where_trials_are_counted(bench, change):
    offered, training = [Proposal(FAMILIES[2], "family default")], in_flight(DEFAULT, FAMILIES[0], FAMILIES[1])
    assert beginnable(offered, training, replace(bench.plan, **change)) == offered


def filling(plan, *trials):
    """What may begin where another family is offered, which fits no open program."""
    found = beginnable([Proposal(FAMILIES[2], "family default")], trials, plan)
    return [(proposal.configuration, proposal.origin) for proposal in found]


def test_what_fills_a_program_needs_no_other(bench):
    for seed in range(5):
        found = filling(replace(bench.plan, seed=seed), *in_flight(DEFAULT, FAMILIES[0]))
        assert {shared(each) for each, _ in found} == {shared(DEFAULT)}


def test_what_was_best_in_earlier_searches_fills_a_program_first(bench):
    earlier = [replace(DEFAULT, dropout=0.1), FAMILIES[3], DEFAULT]
    found = filling(replace(bench.plan, earlier=earlier), *in_flight(DEFAULT, FAMILIES[0]))
    assert found[0] == (earlier[0], "earlier search")
    assert {origin for _, origin in found[1:]} == {"recipe"}


@pytest.mark.parametrize(("reason", "filled"), [("ERROR", FAMILIES[0]), ("NAN_LOSS", DEFAULT)])
def test_a_program_that_failed_is_not_filled_but_another_one(bench, reason, filled):
    default, other, failed = in_flight(DEFAULT, FAMILIES[0], replace(DEFAULT, dropout=0.1))
    failed = replace(failed, in_flight=False, row=altered(failed.row, state="FAILED", reason=reason))
    found = filling(bench.plan, default, other, failed)
    assert {shared(each) for each, _ in found} == {shared(filled)}


def test_where_every_open_program_has_failed_what_is_offered_begins(bench):
    default, other, *failed = in_flight(DEFAULT, FAMILIES[0], DEFAULT, FAMILIES[0])
    failed = [replace(each, in_flight=False, row=altered(each.row, state="FAILED")) for each in failed]
    assert filling(bench.plan, default, other, *failed) == [(FAMILIES[2], "family default")]


def test_a_wider_version_of_the_leader_is_held_up_by_no_number_of_programs(bench):
    wider = Proposal(space().wider(DEFAULT), "wider", DEFAULT)
    offered, training = [Proposal(FAMILIES[2], "family default"), wider], in_flight(DEFAULT, FAMILIES[0])
    *recipes, last = beginnable(offered, training, bench.plan)
    assert last == wider
    assert {proposal.origin for proposal in recipes} == {"recipe"}
