"""A process that trains like models together opens few programs, each of which then has many trials."""

from collections.abc import Hashable
from dataclasses import replace
from typing import NamedTuple

import pytest

from automl.budget import Budget
from automl.control.openings import FIRST, MOST, beginnable
from automl.control.proposals import Proposal
from automl.segments import Segment
from search_spaces.dials import from_dict
from search_spaces.hulls import shared
from search_spaces.optimizers import Muon
from search_spaces.seq2seq import Seq2Seq, without_recipe
from search_spaces.spaces import space
from tests.automl.control import test_history
from tests.automl.control.pretended_search import Bench

WORKERS = 16
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
    assert all(len(each.beside) < MOST or each.program in each.beside for each in begun)


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


def test_an_optimizer_with_a_program_of_its_own_is_no_recipe_for_an_open_one(bench):
    training = in_flight(DEFAULT, FAMILIES[0])
    filling = beginnable([Proposal(FAMILIES[2], "family default")], training, bench.plan)
    assert not any(isinstance(proposal.configuration.optimizer, Muon) for proposal in filling)
