"""A search whose trials only pretend to train, to be run again and again."""

from dataclasses import replace

import pytest

from automl.budget import Budget
from automl.control.controller import Controller
from automl.control.criteria import Criteria
from automl.control.plan import Plan
from automl.metrics import metric
from search_spaces.spaces import space
from storage.database import open_database
from storage.events import list_events
from storage.searches import claim, create_search, get_search
from storage.segments import list_segments
from storage.trials import list_trials
from tests.automl.control.pretended_training import Crash, PretendingExecutor
from tests.automl.control.simulation import Curve, space_of

DEFAULT = Curve(floor=0.08, scale=3000.0)


CURVES = space_of(3, DEFAULT, [Curve(floor=0.04, scale=1500.0)])


class Bench:
    """A search in a database of its own, which can be run again and again."""

    def __init__(self, folder):
        self.folder = folder
        self.database = open_database(f"sqlite:///{folder / 'automl.db'}")
        self.search = create_search(self.database, "dates", {}, "0" * 64)
        self.plan = Plan(
            space(), Criteria(metric("sequence_error_rate")), Budget(time=180.0), folder / "objects", 20_000
        )
        self.executor = PretendingExecutor(folder / "objects", CURVES)
        self.shown = []

    def controller(self, **changes):
        plan = replace(self.plan, **changes)
        lease = claim(self.database, "dates", "a test", 60.0)
        search, executor = get_search(self.database, "dates"), self.executor
        return Controller(
            self.database, search, lease, executor, plan,
            clock=executor.clock, on_change=self.shown.append, waiting=executor.wait,
        )  # fmt: skip

    def run(self, **changes):
        return self.controller(**changes).run()

    def crash(self, at, **changes):
        def crash():
            raise Crash

        self.executor.at[at] = crash
        with pytest.raises(Crash):
            self.run(**changes)
        self.executor = PretendingExecutor(self.folder / "objects", CURVES, now=at)

    def trials(self):
        return list_trials(self.database, self.search.id)

    def segments(self):
        return list_segments(self.database, self.search.id)

    def messages(self, kind):
        return [event.message for event in list_events(self.database, self.search.id) if event.kind == kind]


class NoMirror:
    def __init__(self, url, search, directions):
        pass

    def __contains__(self, number):
        return True

    def update(self, rows, lease):
        pass


def flown(bench, **changes):
    """Run a search; what it had in flight, in its order."""
    flights, submit = [], bench.executor.submit

    def noting(job):
        future = submit(job)
        flights.append(bench.executor.flights[-1])
        return future

    bench.executor.submit = noting
    bench.run(**changes)
    return flights
