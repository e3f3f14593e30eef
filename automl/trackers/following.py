"""Follows a search through the database, and tells trackers what is new, in a thread beside it."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from automl.trackers import Dials, Told, Tracker, tracker
from storage.database import Database, StorageError
from storage.searches import SearchRow
from storage.segments import SegmentRow, list_segments
from storage.trials import TrialRow, list_trials

LOOK_SECONDS = 2.0
OPEN = ("RUNNING", "PAUSED")


class Follower:
    """Tells one tracker of a search.

    A segment is told once; those that were there at its beginning, only where the tracker does not know the search.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        self._told: set[tuple[int, int]] = set()

    def begin(self, trials: Sequence[TrialRow], segments: Sequence[SegmentRow]) -> None:
        """Leave out what the tracker knows."""
        if self._tracker.knows():
            self._begun = {trial.number for trial in trials}
            self._ended = {trial.number for trial in trials if trial.state not in OPEN}
            self._told = {(segment.trial, segment.index) for segment in segments}

    def tell(self, trials: Sequence[TrialRow], segments: Sequence[SegmentRow]) -> None:
        """Tell what is new."""
        for trial in trials:
            if trial.number not in self._begun:
                self._begun.add(trial.number)
                self._tracker.begin(trial.number, dials_of(trial.configuration))
        for segment in segments:
            if (segment.trial, segment.index) not in self._told:
                self._told.add((segment.trial, segment.index))
                costs = {"tokens": float(segment.tokens), "seconds": sum(segment.seconds.values())}
                self._tracker.scores(segment.trial, segment.to_step, {**segment.scores, **costs})
        for trial in trials:
            if trial.state not in OPEN and trial.number not in self._ended:
                self._ended.add(trial.number)
                self._tracker.end(trial.number, trial.state)

    def close(self) -> None:
        """Tell nothing more."""
        self._tracker.close()


class Following:
    """Looks at a search now and then, and at its end, while the context is open."""

    def __init__(
        self, database: Database, search: int, names: Sequence[str], told: Told, say: Callable[[str], None]
    ) -> None:
        self._database = database
        self._search = search
        self._told = told
        self._say = say
        self._names = names
        self._followers: dict[str, Follower] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Following":
        before = self._rows()
        for name in self._names:
            with self._contained(name):
                follower = Follower(tracker(name, self._told))
                follower.begin(*before)
                self._followers[name] = follower
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(StorageError):
            self._look()
        for name, follower in list(self._followers.items()):
            with self._contained(name):
                follower.close()

    def _follow(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            with suppress(StorageError):  # the next time will do
                self._look()

    def _look(self) -> None:
        rows = self._rows()
        for name, follower in list(self._followers.items()):
            with self._contained(name):
                follower.tell(*rows)

    def _rows(self) -> tuple[list[TrialRow], list[SegmentRow]]:
        return list_trials(self._database, self._search), list_segments(self._database, self._search)

    @contextmanager
    def _contained(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of a package or a server of others
            self._followers.pop(name, None)
            self._say(f"tracker {name} is told no more: {type(error).__name__}")


@contextmanager
def followed(
    database: Database, row: SearchRow, metric: str, names: Sequence[str], runs: Path, say: Callable[[str], None]
) -> Iterator[None]:
    """Tell trackers of a search while the context is open; `runs` is the folder of those that write files."""
    if not names:
        yield
        return
    with Following(database, row.id, names, Told(row.name, str(row.document["kind"]), metric, runs), say):
        yield


def dials_of(configuration: Mapping[str, Any], before: str = "") -> Dials:
    """Return the dials of a configuration by their paths."""
    dials: dict[str, str | int | float | bool] = {}
    for name, value in configuration.items():
        if isinstance(value, Mapping):
            dials |= dials_of(value, f"{before}{name}.")
        else:
            dials[f"{before}{name}"] = value if isinstance(value, str | int | float) else str(value)
    return dials
