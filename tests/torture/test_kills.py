"""Processes that are killed, stopped and many."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from automl.budget import Budget
from automl.control.controller import Controller
from automl.control.criteria import Criteria
from automl.control.plan import Plan
from automl.metrics import metric
from search_spaces.spaces import space
from storage import objects, schema
from storage.database import Database, open_database
from storage.integrity import violations
from storage.leases import LeaseLost, current_owner
from storage.queues import queue_search
from storage.searches import claim, claim_next, create_search, get_search, list_searches, release, renew, update_search
from storage.segments import list_segments
from storage.trials import list_trials
from tests.automl.control.pretended_training import PretendingExecutor
from tests.automl.control.simulation import Curve, space_of
from tests.storage.kept_search import commit
from tests.torture import FULL, times
from tests.torture.faults import in_a_child

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
TRIALS = 5
CURVES = space_of(3, Curve(floor=0.08, scale=3000.0), [Curve(floor=0.04, scale=1500.0)])


def fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 70
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def control(url: str, name: str, folder: Path, trials: int = TRIALS, workers: int = 2) -> None:
    """Run the search to its end: training is pretended, what is kept of it is not."""
    with closing(open_database(url)) as database:
        lease = claim(database, name, current_owner(), 5.0)
        row = get_search(database, name)
        assert row is not None
        executor = PretendingExecutor(folder, CURVES, workers, now=row.seconds)
        plan = Plan(space(), Criteria(metric("sequence_error_rate")), Budget(trials=trials), folder, 20_000)
        found = Controller(database, row, lease, executor, plan, clock=executor.clock, waiting=executor.wait).run()
        update_search(database, lease, state=found.state)
        release(database, lease)


def test_controllers_are_killed_and_no_trial_is_lost_doubled_or_beyond_the_budget(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    kills, searches = kill(database, database_url, tmp_path, times(4, 200), TRIALS, workers=2)
    print(f"{database.reading.dialect.name}: {kills} kills over {searches} searches, nothing lost, doubled, beyond it")


@pytest.mark.skipif(not FULL, reason="in the counted form alone: fifty trials of 32 workers are long under kills")
def test_thirty_two_workers_under_kills_begin_no_trial_beyond_the_budget(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    kills, searches = kill(database, database_url, tmp_path, 40, trials=50, workers=32)
    print(
        f"{database.reading.dialect.name}: {kills} kills, {searches} searches of 50 trials by 32 workers, none beyond"
    )


def committed(database: Database, name: str) -> int:
    search = get_search(database, name)
    assert search is not None
    return len(list_segments(database, search.id))


def kill(
    database: Database, url: str, folder: Path, goal: int, trials: int, workers: int, seed: int = 0
) -> tuple[int, int]:
    """Run searches and kill their controllers at random moments, so often; return how often, and how many searches.

    Every other kill waits until something was committed: whoever loses its process whenever it trains is to blame at
    last. After each search everything is as it would be without a kill.
    """
    kills, number, chance = 0, 0, random.Random(seed)
    while kills < goal:
        name, number = f"killed {number}", number + 1
        create_search(database, name, {}, "0" * 64)
        while True:
            before = committed(database, name) if kills % 2 else -1
            child = fork(lambda name=name: control(url, name, folder, trials, workers))
            deadline = time.monotonic() + chance.uniform(0.05, 2.0)
            while time.monotonic() < deadline or committed(database, name) == before:
                if os.waitpid(child, os.WNOHANG)[0]:
                    break
                time.sleep(0.02)
            try:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                kills += 1
            except (ProcessLookupError, ChildProcessError):
                pass
            row = get_search(database, name)
            assert row is not None
            if (row.state == "finished" and not row.held) or kills >= goal:
                break
        if row.state != "finished":
            assert in_a_child(lambda name=name: control(url, name, folder, trials, workers)) == 0
        row = get_search(database, name)
        assert row is not None
        assert (row.state, violations(database, row, folder)) == ("finished", [])
        found = list_trials(database, row.id)
        assert [trial.number for trial in found] == list(range(trials))
        assert {trial.state for trial in found} <= {"PAUSED", "COMPLETE"}
    return kills, number


def test_many_workers_on_one_sqlite_file_all_live_and_claim_nothing_twice(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'automl.db'}"
    workers, searches = times(6, 32), times(12, 160)
    with closing(open_database(url)) as database:
        for number in range(searches):
            create_search(database, f"search {number}", {}, "0" * 64)
            queue_search(database, f"search {number}")

    def work() -> None:
        with closing(open_database(url)) as database:
            while (found := claim_next(database, current_owner(), 600.0)) is not None:
                _train(database, found[0].name, tmp_path)

    def _train(database: Database, name: str, folder: Path) -> None:
        row = get_search(database, name)
        assert row is not None
        from storage.leases import Lease
        from storage.trials import add_trial

        lease = Lease(row.id, row.epoch)
        add_trial(database, lease, {}, 0, "default")
        commit(database, lease, folder / "objects", 0, 0, complete=True)
        update_search(database, lease, state="finished")
        release(database, lease)

    children = [fork(work) for _ in range(workers)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    with closing(open_database(url)) as database:
        rows = list_searches(database)
        assert codes == [0] * workers
        assert [row.epoch for row in rows] == [1] * searches
        assert [line for row in rows for line in violations(database, row, tmp_path / "objects")] == []
    print(f"{workers} workers, {searches} searches: 0 died, 0 claimed twice")


def test_a_process_stopped_beyond_its_lease_is_refused_when_it_wakes(database: Database, database_url: str) -> None:
    for number in range(times(1, 50)):
        name = f"stopped {number}"
        create_search(database, name, {}, "0" * 64)
        reading, writing = os.pipe()

        def child(name: str = name, writing: int = writing) -> None:
            with closing(open_database(database_url)) as own:
                lease = claim(own, name, f"{os.getpid()}", 0.05)
                os.write(writing, b"x")
                os.kill(os.getpid(), signal.SIGSTOP)
                for late in (lambda: renew(own, lease, 60.0), lambda: update_search(own, lease, message="late")):
                    with pytest.raises(LeaseLost):
                        late()

        process = fork(child)
        os.read(reading, 1)
        os.waitpid(process, os.WUNTRACED)
        time.sleep(0.06)
        lease = claim(database, name, "another", 60.0)
        os.kill(process, signal.SIGCONT)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
        renew(database, lease, 60.0)
        release(database, lease)
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("shift", [-3600.0, 3600.0])
def test_a_wrong_clock_takes_no_lease_over(database: Database, monkeypatch: pytest.MonkeyPatch, shift: float) -> None:
    from datetime import UTC, datetime

    from storage.leases import LeaseHeld

    create_search(database, "dates", {}, "0" * 64)
    lease = claim(database, "dates", "first", 30.0)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    monkeypatch.setattr(schema, "utc_now", lambda: datetime.fromtimestamp(real() + shift, UTC))
    with pytest.raises(LeaseHeld):
        claim(database, "dates", "second", 30.0)
    renew(database, lease, 30.0)
    release(database, lease)


def test_of_a_thousand_damaged_checkpoints_none_loads(tmp_path: Path) -> None:
    chance, loaded = random.Random(0), 0
    digests = [objects.write(tmp_path, chance.randbytes(chance.randint(1, 3000))) for _ in range(50)]
    for number in range(1000):
        digest = chance.choice(digests)
        file = objects.path(tmp_path, digest)
        data = file.read_bytes()
        match number % 4:
            case 0:
                place = chance.randrange(len(data))
                file.write_bytes(data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :])
            case 1:
                file.write_bytes(data[: chance.randrange(len(data))])
            case 2:
                other = chance.choice([name for name in digests if name != digest])
                file.write_bytes(objects.path(tmp_path, other).read_bytes())
            case _:
                file.unlink()
        loaded += objects.is_sound(tmp_path, digest)
        file.write_bytes(data)
    assert loaded == 0
