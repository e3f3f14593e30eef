"""What a person sees while a search runs: a live display on a terminal, plain lines elsewhere."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from automl.control.outcome import Progress

LINE_SECONDS = 10.0
PATIENCE = 1.0
"""Seconds of reading before a bar is drawn."""
SHOW_CURSOR = b"\x1b[?25h\n"


class Display(Protocol):
    """Shows a search on standard error."""

    def notice(self, line: str) -> None:
        """Show a line that stays."""
        ...

    def change(self, progress: Progress) -> None:
        """Show how far the search is."""
        ...

    def advance(self, what: str, share: float) -> None:
        """Show how far reading is, before anything is searched."""
        ...

    def announce(self, line: str) -> None:
        """Show a line from a signal handler."""
        ...

    def abandon(self) -> None:
        """Leave the terminal usable, without waiting for anything."""
        ...

    def stop(self) -> None:
        """Show nothing more."""
        ...


def display(seconds: float | None, stream: TextIO) -> Display:
    """Return the display that suits a stream, of a search of so many seconds where it has a limit."""
    console = Console(file=stream)
    if stream.isatty() and not console.is_dumb_terminal:
        return LiveDisplay(seconds, console)
    return LineDisplay(seconds, stream)


class LiveDisplay:
    """Redraws a few lines at the foot of a terminal; the clock ticks between two changes."""

    def __init__(self, seconds: float | None, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._console = console
        self._clock = clock
        self._progress: Progress | None = None
        self._changed = self._began = clock()
        self._part: tuple[str, float] | None = None
        self._note = ""
        self._live = Live(
            console=console,
            get_renderable=self.render,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def notice(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def change(self, progress: Progress) -> None:
        self._progress, self._changed = progress, self._clock()
        if not self._live.is_started:
            self._live.start()

    def advance(self, what: str, share: float) -> None:
        self._part = (what, share) if share < 1 else None
        if not self._live.is_started and self._clock() - self._began >= PATIENCE:
            self._live.start()

    def announce(self, line: str) -> None:
        # The console's locks may be held by what the signal has interrupted: the next redraw shows the line.
        self._note = line

    def abandon(self) -> None:
        os.write(self._console.file.fileno(), SHOW_CURSOR)

    def stop(self) -> None:
        if self._live.is_started:
            self._live.stop()

    def render(self) -> RenderableType:
        """Return what is to be drawn now."""
        lines: list[RenderableType] = []
        if self._progress is not None:
            lines += [*self._bar(self._progress), *self._state(self._progress)]
        elif self._part is not None:
            what, share = self._part
            lines.append(_beside(ProgressBar(total=1.0, completed=share, width=40), f"{what} {share:.0%}"))
        if self._note:
            lines.append(Text(self._note, style="bold yellow"))
        return Group(*lines)

    def _bar(self, progress: Progress) -> list[RenderableType]:
        if progress.seconds_left is None or not self._seconds:
            return []
        left = max(progress.seconds_left - (self._clock() - self._changed), 0.0)
        bar = ProgressBar(total=self._seconds, completed=self._seconds - left, width=40)
        return [_beside(bar, f"{minutes(left)} left")]

    def _state(self, progress: Progress) -> list[RenderableType]:
        lines = [Text(f"trials  {counted(progress.trials)}"), Text(f"best    {self._best(progress)}", style="bold")]
        lines += [Text(f"worker {number}: {line}", style="cyan") for number, line in enumerate(progress.workers)]
        if progress.decision:
            lines.append(Text(progress.decision, style="dim"))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return list(lines)

    def _best(self, progress: Progress) -> str:
        return "none yet" if progress.best is None else f"{progress.metric} {progress.best:.4g} on valid"


class LineDisplay:
    """Writes a line when the best score improves or a trial fails, else at most one every `LINE_SECONDS`."""

    def __init__(self, seconds: float | None, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._stream = stream
        self._clock = clock
        self._best: float | None = None
        self._failed = 0
        self._written = clock()

    def notice(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def change(self, progress: Progress) -> None:
        failed = progress.trials.get("failed", 0)
        due = self._clock() - self._written >= LINE_SECONDS
        if progress.best == self._best and failed <= self._failed and not due:
            return
        improved = "improved: " if progress.best != self._best else ""
        fallen = "a trial failed: " if failed > self._failed else ""
        self._best, self._failed, self._written = progress.best, failed, self._clock()
        self.notice(fallen + improved + self._line(progress))

    def advance(self, what: str, share: float) -> None:
        if self._clock() - self._written >= LINE_SECONDS:
            self._written = self._clock()
            self.notice(f"{what} · {share:.0%}")

    def announce(self, line: str) -> None:
        with suppress(RuntimeError):  # the signal has interrupted a write to the same stream
            self.notice(line)

    def abandon(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def _line(self, progress: Progress) -> str:
        parts = [counted(progress.trials)]
        if progress.best is not None:
            parts.insert(0, f"best {progress.metric} {progress.best:.4g} on valid")
        if progress.seconds_left is not None:
            parts.append(f"{minutes(progress.seconds_left)} left")
        if progress.decision:
            parts.append(progress.decision)
        return " · ".join(parts)


def _beside(bar: ProgressBar, text: str) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_row(bar, Text(text))
    return grid


def minutes(seconds: float) -> str:
    """Return a duration as people read it on a clock: `1:05`, or `2:01:05` from an hour on."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    clock = f"{rest // 60}:{rest % 60:02d}"
    return f"{hours}:{clock:0>5}" if hours else clock


def counted(trials: Mapping[str, int]) -> str:
    """Return the number of trials by state in words."""
    return ", ".join(f"{count} {state}" for state, count in trials.items() if count) or "no trial yet"
