"""The head start of the first trial: who compiles for it, until when, and where nobody does."""

from automl.errors import FailureReason
from automl.segments import Preparation, Segment
from tests.automl.control.pretended_search import Bench


def preparations(bench: Bench) -> list[Preparation]:
    return [job for job in bench.executor.jobs if isinstance(job, Preparation)]


def test_the_second_worker_compiles_for_the_first_trial_before_it_begins_another(bench: Bench) -> None:
    bench.run(prepares=True)
    first, second, third = bench.executor.jobs[:3]
    assert isinstance(first, Segment)
    assert second == Preparation(first.trial, first.configuration)
    assert isinstance(third, Segment)
    assert len(preparations(bench)) == 1
    assert bench.messages("prepare") == ["compiles what trial 0 goes on with beside its first look"]


def test_others_begin_when_it_is_done_and_not_before(bench: Bench) -> None:
    bench.executor.preparing = 50.0
    controller = bench.controller(prepares=True)
    bench.executor.at[49.0] = controller.interrupt
    controller.run()
    assert {job.trial for job in bench.executor.jobs} == {0}


def test_one_worker_alone_compiles_for_itself(bench: Bench) -> None:
    bench.executor.workers = 1
    bench.run(prepares=True)
    assert not preparations(bench)


def test_a_search_that_goes_on_has_its_programs(bench: Bench) -> None:
    bench.crash(60.0, prepares=True)
    bench.run(prepares=True)
    assert not preparations(bench)


def test_where_it_fails_the_search_goes_on_as_without(bench: Bench) -> None:
    bench.executor.test_failures = [FailureReason.WORKER_LOST]
    outcome = bench.run(prepares=True)
    assert (outcome.state, outcome.trials.get("failed", 0)) == ("finished", 0)
