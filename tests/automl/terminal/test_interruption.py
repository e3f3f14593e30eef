import signal
from io import StringIO

import pytest

from automl.terminal.interruption import STOPPING, Interruption
from automl.terminal.progress import LineDisplay


class Running:
    def __init__(self) -> None:
        self.interruptions = 0

    def interrupt(self) -> None:
        self.interruptions += 1


def test_the_first_signal_ends_in_good_order_and_the_second_at_once() -> None:
    stream, running, codes = StringIO(), Running(), []
    interruption = Interruption(LineDisplay(None, stream), codes.append)
    interruption.watch(running)
    with interruption:
        signal.raise_signal(signal.SIGINT)
        assert (running.interruptions, codes) == (1, [])
        signal.raise_signal(signal.SIGTERM)
    assert (running.interruptions, codes) == (1, [130])
    assert stream.getvalue() == f"{STOPPING}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_before_anything_runs_a_signal_is_an_ordinary_interrupt(number: signal.Signals) -> None:
    with Interruption(LineDisplay(None, StringIO())), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_the_handlers_of_before_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruption(LineDisplay(None, StringIO())):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
