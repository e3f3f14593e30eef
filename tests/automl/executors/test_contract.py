"""What every executor holds, whatever runs the jobs."""

import re
import time
from dataclasses import replace

import pytest

from automl.errors import FailureReason, TrialFailure
from automl.executors import EXECUTORS, Executor, InlineExecutor, ProcessExecutor, RayExecutor, SlotsExecutor
from automl.segments import Evaluation, EvaluationResult, SegmentResult
from tests.automl.executors.pretending import WORKLOAD, PretendingRunner, segment

MODULE = PretendingRunner.__module__


@pytest.fixture(scope="module", params=["inline", "processes", "ray", "slots"])
def executor(request):
    made: Executor
    match request.param:
        case "inline":
            made = InlineExecutor(lambda: PretendingRunner(WORKLOAD))
        case "ray":
            request.getfixturevalue("ray_cluster")
            made = RayExecutor(WORKLOAD, 1, runner=f"{MODULE}:PretendingRunner")
        case "slots":
            made = SlotsExecutor(replace(WORKLOAD, slots=2), 1, runner=f"{MODULE}:PretendingRunner")
        case _:
            made = ProcessExecutor(WORKLOAD, 1, runner=f"{MODULE}:PretendingRunner")
    yield made
    made.shutdown()


def failure(executor: Executor, act: str) -> TrialFailure:
    error = executor.submit(segment(act)).exception(timeout=60)
    assert isinstance(error, TrialFailure)
    return error


def test_a_segment_comes_back_with_its_result(executor):
    result = executor.submit(segment("end", trial=7)).result(timeout=60)
    assert isinstance(result, SegmentResult)
    assert (result.trial, result.tokens, result.checkpoint) == (7, 100, "digest")


def test_an_evaluation_comes_back_with_its_scores(executor):
    result = executor.submit(Evaluation(2, {}, "digest")).result(timeout=60)
    assert result == EvaluationResult(2, {"sequence_error_rate": 0.5}, rows=3)


def test_a_failure_comes_back_with_its_reason_and_message(executor):
    error = failure(executor, "fail")
    assert error.reason is FailureReason.NAN_LOSS
    assert str(error) == "the loss is not finite at step 3"


def test_any_other_exception_is_an_error_of_one_line(executor):
    error = failure(executor, "raise")
    assert error.reason is FailureReason.ERROR
    assert re.fullmatch(r"ValueError at \w+\.py:\d+", str(error))  # its text might quote data


def test_memory_that_runs_out_has_its_own_reason(executor):
    assert failure(executor, "exhaust").reason is FailureReason.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("act", "reason"), [("fill the disk", FailureReason.STORAGE), ("read bad data", FailureReason.BAD_DATA)]
)
def test_what_the_system_or_the_data_refuse_has_its_own_reason(executor, act, reason):
    assert failure(executor, act).reason is reason


def test_a_failure_costs_only_its_own_job(executor):
    failure(executor, "fail")
    assert executor.submit(segment("end")).result(timeout=60).tokens == 100


def test_a_job_that_is_given_up_was_stopped_and_costs_nothing_else(executor):
    if isinstance(executor, InlineExecutor):
        pytest.skip("it runs jobs in the caller's own process")
    hanging = executor.submit(segment("hang"))
    deadline = time.monotonic() + 60
    while not executor.status()[0].startswith("trial 1: training") and time.monotonic() < deadline:
        time.sleep(0.02)
    executor.abandon()
    assert hanging.exception(timeout=60).reason is FailureReason.STOPPED
    assert executor.submit(segment("end")).result(timeout=60).tokens == 100


def test_every_worker_says_in_one_line_what_it_does(executor):
    executor.submit(segment("end")).result(timeout=60)
    assert len(executor.status()) == executor.workers == 1
    assert "\n" not in executor.status()[0]


@pytest.mark.parametrize("name", EXECUTORS)
def test_nothing_can_be_submitted_after_shutdown(name, request):
    if name == "ray":
        request.getfixturevalue("ray_cluster")
    executor = EXECUTORS[name](WORKLOAD, 1 if name == "ray" else 0)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(segment("end"))
