"""Beyond the contract: what happens to actors. Runs on a Ray cluster of its own, where Ray is installed."""

import signal
import sys
import time

import pytest

from automl.errors import FailureReason, InputError
from automl.executors.limits import Limits
from automl.executors.ray import RayExecutor, connect
from tests.automl.executors.pretending import WORKLOAD, PretendingRunner, segment
from tests.automl.executors.test_processes import TICK

RUNNER = f"{PretendingRunner.__module__}:PretendingRunner"


@pytest.fixture(scope="module")
def executor(ray_cluster):
    executor = RayExecutor(WORKLOAD, 1, runner=RUNNER, limits=Limits(step=1.5))
    yield executor
    executor.shutdown()


def test_what_ray_says_of_a_lost_actor_is_not_on_standard_output(ray_cluster, capfd):
    executor = RayExecutor(WORKLOAD, 1, runner=RUNNER)
    executor.submit(segment("end by a signal", number=int(signal.SIGKILL))).exception(timeout=60)
    until = time.monotonic() + 60
    said = ""
    while "(raylet)" not in said and time.monotonic() < until:
        time.sleep(0.1)
        out, err = capfd.readouterr()
        said += err
        assert out == ""
    executor.shutdown()
    assert "(raylet)" in said
    print("a result")
    assert capfd.readouterr().out == "a result\n"


def test_stop_ends_a_running_segment_early_with_its_result(executor):
    future = executor.submit(segment("wait for stop"))
    while "in process" not in executor.status()[0]:
        assert not future.done()
        time.sleep(TICK)
    executor.stop()
    assert future.result(timeout=60).tokens == 50


def test_a_killed_actor_costs_its_own_job_and_ray_starts_another(executor):
    error = executor.submit(segment("end by a signal", number=int(signal.SIGKILL))).exception(timeout=60)
    assert error.reason is FailureReason.WORKER_LOST
    assert executor.submit(segment("end")).result(timeout=60).tokens == 100


def test_an_actor_that_takes_no_step_is_killed_and_ray_starts_another(executor):
    error = executor.submit(segment("live without a step")).exception(timeout=60)
    assert error.reason is FailureReason.TIMEOUT
    assert executor.submit(segment("end")).result(timeout=60).tokens == 100


class Unreachable:
    def is_initialized(self):
        return False

    def init(self, address, **options):
        raise ConnectionError(f"{address} does not answer")


@pytest.mark.parametrize(("address", "where"), [(None, "on this machine"), ("host:6379", "at host:6379")])
def test_a_cluster_that_does_not_answer_is_named(monkeypatch, address, where):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", Unreachable())
    with pytest.raises(InputError) as refused:
        connect(address)
    assert (
        str(refused.value) == f"no Ray cluster answers {where}; start one (ray start --head), or name one by --address"
    )


def test_without_ray_the_executor_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"install automl-seq2seq\[ray\]"):
        RayExecutor(WORKLOAD, 1)
