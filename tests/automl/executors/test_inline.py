import signal
import threading

import pytest

from automl.executors import InlineExecutor
from tests.automl.executors.pretending import WORKLOAD, PretendingRunner, segment


@pytest.fixture(autouse=True)
def control_c():
    """Control-C interrupts, even where the tests were started by a shell that keeps it from them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def executor():
    return InlineExecutor(lambda: PretendingRunner(WORKLOAD))


def test_control_c_ends_the_segment_early_and_keeps_its_result(executor):
    assert executor.submit(segment("interrupt")).result().tokens == 50
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_control_c_is_delivered_with_the_next_submit(executor):
    executor.submit(segment("interrupt"))
    with pytest.raises(KeyboardInterrupt):
        executor.submit(segment("end"))


def test_the_callers_own_handler_of_control_c_is_kept(executor):
    before = signal.signal(signal.SIGINT, lambda *_: executor.stop())
    try:
        assert executor.submit(segment("interrupt")).result().tokens == 50
        assert executor.submit(segment("end")).result().tokens == 100
    finally:
        signal.signal(signal.SIGINT, before)


def test_stop_from_another_thread_ends_the_segment_early(executor):
    started = threading.Event()

    class Announcing(PretendingRunner):
        def run(self, job, report, stop):
            started.set()
            return super().run(job, report, stop)

    executor = InlineExecutor(lambda: Announcing(WORKLOAD))
    threading.Thread(target=lambda: started.wait() and executor.stop()).start()
    assert executor.submit(segment("wait for stop")).result().tokens == 50
