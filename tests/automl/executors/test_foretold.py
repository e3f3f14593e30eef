from dataclasses import replace

import pytest

from automl.errors import FailureReason
from automl.executors import ForetoldExecutor, InlineExecutor
from automl.executors.foretold import COMPILING, EVALUATING, WRITING
from automl.segments import Evaluation
from tests.automl.executors.pretending import WORKLOAD, PretendingRunner, segment

AFTER = EVALUATING + WRITING


@pytest.fixture
def executor():
    return ForetoldExecutor(InlineExecutor(lambda: PretendingRunner(WORKLOAD)), lambda segment: 0.02)


def test_a_segment_takes_what_its_tokens_are_expected_to(executor):
    result = executor.submit(segment("end")).result()
    assert result.seconds["training"] == pytest.approx(100 * 0.02)
    assert executor.clock() == pytest.approx(sum(result.seconds.values())) == pytest.approx(2 + COMPILING + AFTER)


def test_a_segment_that_goes_on_is_charged_for_its_own_tokens(executor):
    executor.submit(segment("end"))
    before = executor.clock()
    executor.submit(replace(segment("end"), from_step=10))
    assert executor.clock() - before == pytest.approx(AFTER)


def test_a_limit_of_seconds_is_taken_off(executor):
    seen = []
    inner = executor._executor
    executor._executor = type("Seen", (), {"submit": lambda self, job: seen.append(job) or inner.submit(job)})()
    executor.submit(replace(segment("end"), seconds=0.001))
    assert seen[0].seconds is None


def test_a_failure_comes_back_and_takes_its_time(executor):
    assert executor.submit(segment("fail")).exception().reason is FailureReason.NAN_LOSS
    assert executor.submit(Evaluation(2, {}, "digest")).result().rows == 3
    assert executor.clock() == COMPILING + EVALUATING
