from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from automl.control.outcome import Progress
from automl.terminal.progress import LINE_SECONDS, PATIENCE, LineDisplay, LiveDisplay, counted, display, minutes

SECONDS = 600.0
BEGUN = Progress(
    seconds_left=500.0,
    trials={"running": 2},
    metric="bleu",
    best=None,
    workers=("trial 0: compiling",),
    decision="started trial 0",
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lines_of(clock: Clock) -> tuple[LineDisplay, StringIO]:
    stream = StringIO()
    return LineDisplay(SECONDS, stream, clock), stream


def test_plain_lines_come_at_most_every_ten_seconds(clock: Clock) -> None:
    shown, stream = lines_of(clock)
    for clock.now in (1.0, LINE_SECONDS, LINE_SECONDS + 1, 2 * LINE_SECONDS - 0.1, 2 * LINE_SECONDS):
        shown.change(BEGUN)
    assert stream.getvalue().splitlines() == ["2 running · 8:20 left · started trial 0"] * 2


def test_an_improvement_is_a_line_at_once(clock: Clock) -> None:
    shown, stream = lines_of(clock)
    for best in (None, 3.0, 3.0, 8.0):
        shown.change(replace(BEGUN, best=best))
    lines = stream.getvalue().splitlines()
    assert [line.partition(" · ")[0] for line in lines] == [
        "improved: best bleu 3 on valid",
        "improved: best bleu 8 on valid",
    ]


def test_a_failed_trial_is_a_line_at_once(clock: Clock) -> None:
    shown, stream = lines_of(clock)
    for _ in range(2):
        shown.change(replace(BEGUN, trials={"running": 1, "failed": 1}))
    assert stream.getvalue().startswith("a trial failed: 1 running, 1 failed")
    assert stream.getvalue().count("\n") == 1


def live(clock: Clock) -> tuple[LiveDisplay, Terminal]:
    stream = Terminal()
    console = Console(file=stream, force_terminal=True, width=100, no_color=True)
    return LiveDisplay(SECONDS, console, clock), stream


def rendered(shown: LiveDisplay) -> str:
    console = Console(file=StringIO(), width=100)
    console.print(shown.render())
    text = console.file
    assert isinstance(text, StringIO)
    return text.getvalue()


def test_the_live_display_shows_trials_best_workers_and_decision(clock: Clock) -> None:
    shown, _ = live(clock)
    shown.change(replace(BEGUN, best=8.25))
    shown.stop()
    for expected in ("2 running", "bleu 8.25 on valid", "worker 0: trial 0: compiling", "started trial 0", "8:20 left"):
        assert expected in rendered(shown)


def test_the_time_left_runs_on_between_two_changes(clock: Clock) -> None:
    shown, _ = live(clock)
    shown.change(BEGUN)
    shown.stop()
    clock.now = 60.0
    assert "7:20 left" in rendered(shown)


def test_a_line_from_a_signal_handler_is_in_the_next_redraw(clock: Clock) -> None:
    shown, stream = live(clock)
    shown.announce("stopping")
    assert stream.getvalue() == ""
    assert "stopping" in rendered(shown)


def test_a_live_display_leaves_the_cursor_and_the_notices(clock: Clock) -> None:
    shown, stream = live(clock)
    shown.notice("train: 3 rows [dropped]")
    shown.change(BEGUN)
    shown.stop()
    assert stream.getvalue().startswith("train: 3 rows [dropped]\n")
    assert stream.getvalue().rstrip().rpartition("\x1b[?25")[2].startswith("h")


def test_only_a_terminal_that_can_redraw_gets_the_live_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(display(SECONDS, Terminal()), LiveDisplay)
    assert isinstance(display(SECONDS, StringIO()), LineDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display(SECONDS, Terminal()), LineDisplay)


def test_no_colour_is_written_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    shown = display(SECONDS, stream)
    shown.change(BEGUN)
    shown.stop()
    assert "\x1b[36m" not in stream.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0:00"), (65.2, "1:05"), (3600.0, "1:00:00"), (7265.0, "2:01:05")])
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert minutes(seconds) == text


def test_states_without_a_trial_are_not_counted() -> None:
    assert counted({"running": 0, "paused": 2}) == "2 paused"
    assert counted({}) == "no trial yet"


def test_a_long_reading_has_a_bar_until_it_is_over(clock: Clock) -> None:
    shown, stream = live(clock)
    shown.advance("reading train.tsv", 0.1)
    assert stream.getvalue() == ""
    clock.now = PATIENCE
    shown.advance("reading train.tsv", 0.25)
    assert "reading train.tsv 25%" in rendered(shown)
    shown.advance("reading train.tsv", 1.0)
    assert "reading" not in rendered(shown)
    shown.stop()


def test_a_long_reading_is_a_line_now_and_then(clock: Clock) -> None:
    shown, stream = lines_of(clock)
    for clock.now in (1.0, LINE_SECONDS, LINE_SECONDS + 1):
        shown.advance("reading train.tsv", 0.5)
    assert stream.getvalue() == "reading train.tsv · 50%\n"
