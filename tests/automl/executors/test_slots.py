"""Several jobs in one process: they run together, end apart, and none is blamed for another."""

from dataclasses import replace

import pytest

from automl.errors import FailureReason, TrialFailure
from automl.executors import Limits, SlotsExecutor
from automl.segments import SegmentResult
from tests.automl.executors.pretending import WORKLOAD, PretendingRunner, segment
from tests.automl.executors.test_processes import wait_until_it_reports

RUNNER = f"{PretendingRunner.__module__}:PretendingRunner"


@pytest.fixture
def executor():
    made = SlotsExecutor(replace(WORKLOAD, slots=3), 3, runner=RUNNER)
    yield made
    made.shutdown(wait=False)


def reason(future) -> FailureReason:
    error = future.exception(timeout=60)
    assert isinstance(error, TrialFailure)
    return error.reason


def test_a_job_ends_while_another_still_runs_in_the_same_process(executor):
    long = executor.submit(segment("wait for stop", trial=1))
    assert isinstance(executor.submit(segment("end", trial=2)).result(timeout=60), SegmentResult)
    assert not long.done()
    executor.stop()
    assert isinstance(long.result(timeout=60), SegmentResult)


def test_more_jobs_than_places_wait_for_one(executor):
    futures = [executor.submit(segment("end", trial=number)) for number in range(8)]
    assert [future.result(timeout=60).trial for future in futures] == list(range(8))


def test_a_process_that_dies_under_several_jobs_blames_none_and_the_next_time_the_guilty_is_found(executor):
    beside = executor.submit(segment("wait for stop", trial=1))
    wait_until_it_reports(executor, beside)
    guilty = executor.submit(segment("exit", trial=2, code=1))
    assert {reason(beside), reason(guilty)} == {FailureReason.STOPPED}
    again = [executor.submit(segment("end", trial=1)), executor.submit(segment("exit", trial=2, code=1))]
    assert isinstance(again[0].result(timeout=60), SegmentResult)
    assert reason(again[1]) is FailureReason.WORKER_LOST


def test_what_had_too_little_memory_beside_others_is_alone_the_next_time(executor):
    assert reason(executor.submit(segment("have too little memory", trial=1))) is FailureReason.STOPPED
    beside = executor.submit(segment("wait for stop", trial=2))
    wait_until_it_reports(executor, beside)
    again, third = executor.submit(segment("end", trial=1)), executor.submit(segment("end", trial=3))
    assert not again.running()
    executor.stop()
    assert all(isinstance(each.result(timeout=60), SegmentResult) for each in (beside, again, third))


def test_memory_beyond_the_limit_blames_none_of_several_jobs_and_the_next_time_the_guilty_is_found():
    executor = SlotsExecutor(replace(WORKLOAD, slots=2), 2, runner=RUNNER, limits=Limits(memory=300 << 20))
    first = executor.submit(segment("wait for stop", trial=1))
    wait_until_it_reports(executor, first)
    guilty = executor.submit(segment("hold memory", trial=2))
    assert {reason(first), reason(guilty)} == {FailureReason.STOPPED}
    assert isinstance(executor.submit(segment("end", trial=1)).result(timeout=60), SegmentResult)
    assert reason(executor.submit(segment("hold memory", trial=2))) is FailureReason.OUT_OF_MEMORY
    executor.shutdown(wait=False)


def test_jobs_that_are_given_up_were_stopped(executor):
    job = executor.submit(segment("wait for stop", trial=1))
    wait_until_it_reports(executor, job)
    executor.abandon()
    assert reason(job) is FailureReason.STOPPED
    assert isinstance(executor.submit(segment("end", trial=1)).result(timeout=60), SegmentResult)


def test_a_job_that_takes_no_step_is_killed_and_those_beside_it_are_blameless():
    executor = SlotsExecutor(replace(WORKLOAD, slots=2), 2, runner=RUNNER, limits=Limits(step=2.0))
    job = executor.submit(segment("hang", trial=1))
    wait_until_it_reports(executor, job)
    beside = executor.submit(segment("wait for stop", trial=2))
    assert reason(job) is FailureReason.TIMEOUT
    assert reason(beside) is FailureReason.STOPPED
    executor.shutdown(wait=False)
