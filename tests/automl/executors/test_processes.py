import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from automl.errors import FailureReason, TrialFailure
from automl.executors import Limits, ProcessExecutor
from automl.executors.processes import environment
from automl.segments import Result, Segment
from tests.automl.executors.pretending import WORKLOAD, PretendingRunner, segment

RUNNER = f"{PretendingRunner.__module__}:PretendingRunner"
TICK = 0.005
"""Seconds between two looks at what another process does, which needs the processor and the lock to do it."""


def wait_until_it_reports(executor: ProcessExecutor, future: Future[Result]) -> int:
    while "in process" not in executor.status()[0]:
        assert not future.done()
        time.sleep(TICK)
    return int(executor.status()[0].rpartition(" ")[2])


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(scope="module")
def executor():
    executor = ProcessExecutor(WORKLOAD, 1, runner=RUNNER)
    yield executor
    executor.shutdown()


def test_stop_ends_a_running_segment_early_with_its_result(executor):
    future = executor.submit(segment("wait for stop"))
    wait_until_it_reports(executor, future)
    executor.stop()
    assert future.result(timeout=60).tokens == 50


def test_stop_does_not_touch_later_jobs(executor):
    stopped = executor.submit(segment("wait for stop"))
    wait_until_it_reports(executor, stopped)
    executor.stop()
    stopped.result(timeout=60)
    assert executor.submit(segment("interrupt")).result(timeout=60).tokens == 100


def test_a_worker_that_died_idle_costs_nothing(executor):
    future = executor.submit(segment("wait for stop"))
    process = wait_until_it_reports(executor, future)
    executor.stop()
    future.result(timeout=60)
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert executor.submit(segment("end")).result(timeout=60).tokens == 100


def test_a_worker_that_cannot_be_started_fails_its_job_and_the_next_one_runs(executor, monkeypatch):
    def refuse(*arguments):
        raise BlockingIOError("Resource temporarily unavailable")

    process = wait_until_it_reports(executor, hanging := executor.submit(segment("hang")))
    with monkeypatch.context() as patched:
        patched.setattr("automl.executors.processes.Child", refuse)
        os.kill(process, signal.SIGKILL)
        assert hanging.exception(timeout=60).reason is FailureReason.WORKER_LOST
        assert "Resource temporarily" in str(executor.submit(segment("end")).exception(timeout=60))
    assert executor.submit(segment("end")).result(timeout=60).tokens == 100


def test_a_killed_worker_fails_its_job_and_is_replaced(executor):
    error = executor.submit(segment("end by a signal", number=int(signal.SIGSEGV))).exception(timeout=60)
    assert error.reason is FailureReason.WORKER_LOST
    assert "signal 11, SIGSEGV" in str(error)
    assert executor.submit(segment("end")).result(timeout=60).tokens == 100


def test_a_worker_computes_with_one_thread_where_the_workload_says_so(executor):
    assert executor.submit(segment("threads")).result(timeout=60).tokens == 1


def test_the_environment_adds_to_the_flags_of_xla():
    changed = environment(WORKLOAD, {"XLA_FLAGS": "--a", "JAX_PLATFORMS": "cpu"})
    assert changed["XLA_FLAGS"] == "--a --xla_cpu_multi_thread_eigen=false"
    assert (changed["JAX_PLATFORMS"], changed["NPROC"]) == ("cpu", "1")


def test_the_environment_leaves_threads_alone_by_default():
    assert "XLA_FLAGS" not in environment(replace(WORKLOAD, threads=0), {})


def ending_of(job: Segment, **limits: Any) -> TrialFailure:
    executor = ProcessExecutor(WORKLOAD, 1, runner=RUNNER, limits=Limits(**limits))
    failure = executor.submit(job).exception(timeout=60)
    again = executor.submit(segment("end"))
    executor.shutdown()
    assert again.result(timeout=0).tokens == 100
    assert isinstance(failure, TrialFailure)
    return failure


def test_a_worker_that_lives_but_takes_no_step_is_killed_and_replaced():
    failure = ending_of(segment("live without a step"), step=0.5)
    assert failure.reason is FailureReason.TIMEOUT
    assert str(failure) == "no progress for 0 s while training at step 3"


def test_a_worker_whose_step_grows_is_left_alone_however_long_it_takes(executor):
    slow = ProcessExecutor(WORKLOAD, 1, runner=RUNNER, limits=Limits(step=2.0))
    assert slow.submit(segment("step slowly", seconds=0.3)).result(timeout=60).tokens == 100
    slow.shutdown()


def test_a_worker_that_holds_too_much_memory_is_killed_and_replaced():
    failure = ending_of(segment("hold memory"), memory=200 << 20)
    assert (failure.reason, "are more than its 200 MiB" in str(failure)) == (FailureReason.OUT_OF_MEMORY, True)


def test_a_worker_that_has_grown_is_replaced_between_two_jobs_and_others_are_not():
    executor = ProcessExecutor(WORKLOAD, 1, runner=RUNNER, limits=Limits(memory=500 << 20))
    first, same, other = (executor.submit(segment(act)) for act in ("name", "grow", "name"))
    assert first.result(timeout=60).tokens == same.result(timeout=60).tokens != other.result(timeout=60).tokens
    executor.shutdown()


def test_a_job_that_runs_out_of_memory_where_others_ran_is_tried_once_more_in_a_new_process():
    executor = ProcessExecutor(WORKLOAD, 1, runner=RUNNER)
    futures = [executor.submit(segment(act)) for act in ("end", "exhaust after others", "exhaust", "end")]
    answers = [future.exception(timeout=60) or future.result().tokens for future in futures]
    assert (answers[0], answers[1], answers[3]) == (100, 100, 100)
    assert answers[2].reason is FailureReason.OUT_OF_MEMORY
    executor.shutdown()


def test_a_worker_that_asks_for_more_memory_than_there_is_fails_by_itself():
    assert ending_of(segment("reserve memory")).reason is FailureReason.OUT_OF_MEMORY


def test_a_worker_opens_no_more_files_than_it_may():
    assert "Too many open files" in str(ending_of(segment("open files"), files=500))


def test_a_worker_that_does_not_stop_is_killed_and_its_job_is_blameless():
    executor = ProcessExecutor(WORKLOAD, 1, runner=RUNNER, limits=Limits(drain=0.5))
    future = executor.submit(segment("hang"))
    wait_until_it_reports(executor, future)
    executor.stop()
    assert future.exception(timeout=60).reason is FailureReason.STOPPED
    executor.shutdown()


@pytest.mark.parametrize(
    ("job", "reason", "named"),
    [
        (segment("end by a signal", number=int(signal.SIGABRT)), FailureReason.WORKER_LOST, "signal 6, SIGABRT"),
        (segment("end by a signal", number=int(signal.SIGXCPU)), FailureReason.TIMEOUT, "SIGXCPU"),
        (segment("end by a signal", number=int(signal.SIGXFSZ)), FailureReason.STORAGE, "SIGXFSZ"),
        (segment("exit", code=0), FailureReason.WORKER_LOST, "exit code 0"),
        (segment("exit", code=139), FailureReason.WORKER_LOST, "exit code 139"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_end_of_a_worker_has_its_reason(executor, job, reason, named):
    failure = executor.submit(job).exception(timeout=60)
    assert (failure.reason, named in str(failure)) == (reason, True)


def test_a_runner_that_cannot_be_built_fails_the_job_with_the_cause():
    executor = ProcessExecutor(WORKLOAD, 1, runner=f"{PretendingRunner.__module__}:UnbuildableRunner")
    error = executor.submit(segment("end")).exception(timeout=60)
    executor.shutdown()
    assert (error.reason, str(error)) == (FailureReason.ERROR, "FileNotFoundError: there is no token table")


def test_shutdown_without_waiting_fails_the_running_job_and_leaves_no_process():
    executor = ProcessExecutor(WORKLOAD, 1, runner=RUNNER)
    future = executor.submit(segment("hang"))
    process = wait_until_it_reports(executor, future)
    executor.shutdown(wait=False)
    assert future.exception(timeout=60).reason is FailureReason.WORKER_LOST
    assert gone(process)


def test_shutdown_lets_the_running_job_end_and_leaves_no_process():
    executor = ProcessExecutor(WORKLOAD, 1, runner=RUNNER)
    future = executor.submit(segment("wait for stop"))
    process = wait_until_it_reports(executor, future)
    executor.stop()
    executor.shutdown()
    assert future.result(timeout=0).tokens == 50
    assert gone(process)


@pytest.mark.parametrize("act", ["hang", "hold the interpreter"])
def test_workers_die_with_their_parent(act):
    script = f"""
import os, signal, time
from tests.automl.executors.pretending import WORKLOAD, segment
from automl.executors import ProcessExecutor
executor = ProcessExecutor(WORKLOAD, 1, runner={RUNNER!r})
executor.submit(segment({act!r}))
while "in process" not in executor.status()[0]:
    time.sleep({TICK})
print(executor.status()[0].rpartition(" ")[2], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    parent = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    process = int(parent.stdout)
    while not gone(process):
        time.sleep(TICK)


def test_the_parent_imports_no_jax():
    script = "import sys, automl.executors, automl.executors.child; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
