"""Every crash point, and an error at every point, of what is done to a search."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from storage import database as databases
from storage import objects
from storage.archive import export_search, import_search
from storage.attempts import open_attempt
from storage.batches import Batch
from storage.database import Database, StorageError, open_database
from storage.events import note
from storage.integrity import violations
from storage.leases import Lease
from storage.searches import SearchExists, claim, create_search, get_search, release, renew
from storage.segments import NewSegment, list_segments, write_segment
from storage.trials import insert_trial, list_trials, new_trial
from tests.storage.kept_search import keep_search
from tests.storage.old_schemas import differences, empty, make_old
from tests.torture import FULL
from tests.torture.faults import Faults, in_a_child

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
SEGMENTS = 2
DUMP = Path(__file__).parents[1] / "storage" / "schemas" / "0001.sql"


@pytest.fixture(scope="module", autouse=True)
def migrated_once() -> None:
    """Here every database is migrated."""


def search_on(folder: Path) -> None:
    with closing(open_database(f"sqlite:///{folder / 'automl.db'}")) as database:
        search_in(database, folder)


def search_in(database: Database, folder: Path, name: str = "dates") -> None:
    """Do what is left of a search of one trial with two segments."""
    with suppress(SearchExists):
        create_search(database, name, {"name": name}, "d" * 64)
    lease = claim(database, name, "a controller", -1)
    renew(database, lease, -1)
    batch = Batch(database, lease)
    if not list_trials(database, lease.search_id):
        batch.add(insert_trial, new_trial(0, {"width": 8}, 0, "default"))
        batch.commit(0.25)
    while list_trials(database, lease.search_id)[0].state != "COMPLETE":
        train_on(database, lease, batch, folder / "objects")
    release(database, lease)


def train_on(database: Database, lease: Lease, batch: Batch, folder: Path) -> None:
    trial = list_trials(database, lease.search_id)[0]
    batch.add(open_attempt, 0, trial.step)
    batch.add(note, "thaw", f"trial 0 from step {trial.step}")
    batch.commit(0.25)
    end = (trial.step // 10 + 1) * 10
    data = f"state at {end}".encode()
    segment = NewSegment(0, trial.step, end, 50 * end, {"loss": 1.0 / end}, objects.write(folder, data), len(data), 9)
    batch.add(write_segment, segment, complete=end == 10 * SEGMENTS)
    batch.commit(0.25)


def check_search(folder: Path) -> None:
    with closing(open_database(f"sqlite:///{folder / 'automl.db'}")) as database:
        check_search_in(database, folder)


def check_search_in(database: Database, folder: Path, name: str = "dates") -> None:
    search_in(database, folder, name)
    row = get_search(database, name)
    assert row is not None
    assert violations(database, row, folder / "objects") == []
    (trial,) = list_trials(database, row.id)
    assert (trial.state, trial.step) == ("COMPLETE", 10 * SEGMENTS)
    assert [segment.to_step for segment in list_segments(database, row.id)] == [10, 20]


def prepare_nothing(folder: Path) -> None:
    open_database(f"sqlite:///{folder / 'automl.db'}").close()


def prepare_old(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "automl.db")) as connection:
        connection.executescript(DUMP.read_text(encoding="utf-8"))


def migrate(folder: Path) -> None:
    open_database(f"sqlite:///{folder / 'automl.db'}").close()


def check_migrated(folder: Path) -> None:
    with closing(open_database(f"sqlite:///{folder / 'automl.db'}")) as database:
        check_migrated_in(database, folder)


def check_migrated_in(database: Database, folder: Path) -> None:
    row = get_search(database, "dates")
    assert row is not None
    assert len(list_segments(database, row.id)) == sum(trial.segments for trial in list_trials(database, row.id)) > 0
    assert all(segment.attempt for segment in list_segments(database, row.id))
    for segment in list_segments(database, row.id):  # the dump is of rows alone
        file = folder / "objects" / segment.checkpoint[:2] / segment.checkpoint
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    lines = violations(database, row, folder / "objects")
    assert [line for line in lines if not line.endswith("does not have the bytes it was written with")] == []


def prepare_kept(folder: Path) -> None:
    with closing(open_database(f"sqlite:///{folder / 'automl.db'}")) as database:
        keep_search(database, folder / "objects")


def export(folder: Path) -> None:
    with closing(open_database(f"sqlite:///{folder / 'automl.db'}")) as database:
        row = get_search(database, "dates")
        assert row is not None
        export_search(database, row, folder / "objects", folder / "dates.zip")


def check_exported(folder: Path) -> None:
    if not (folder / "dates.zip").exists():
        export(folder)
    with closing(open_database(f"sqlite:///{folder / 'automl.db'}")) as database:
        row = import_search(database, folder / "others", folder / "dates.zip", "again")
        assert violations(database, row, folder / "others") == []


WAYS = {
    "search": (prepare_nothing, search_on, check_search),
    "migrate": (prepare_old, migrate, check_migrated),
    "export": (prepare_kept, export, check_exported),
}
Step = Callable[[Path], None]


def count_points(folder: Path, prepare: Step, work: Step) -> int:
    folder.mkdir()
    prepare(folder)
    with Faults(-1, "kill").installed() as faults:
        work(folder)
    return faults.points


KINDS = ["kill", "ENOSPC", "EIO", "LOST"]


def some(points: int, kind: str) -> range:
    return range(1, points + 1) if FULL else range(1 + len(kind) % 3, points + 1, max(points // 6, 1))


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "PAUSES", (0.0,))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_fault_at_any_point_violates_nothing(tmp_path: Path, way: str, kind: str) -> None:
    prepare, work, check = WAYS[way]
    points = count_points(tmp_path / "counted", prepare, work)
    struck = 0
    for at in some(points, kind):
        folder = tmp_path / str(at)
        folder.mkdir()
        prepare(folder)
        struck += strike(lambda folder=folder: work(folder), Faults(at, kind))
        check(folder)
    print(f"{way}, {kind}: {struck} of {points} points, 0 violations")
    assert struck > 0


@pytest.mark.parametrize("server", ["PostgreSQL", "MariaDB"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_any_point_of_a_search_on_a_server_violates_nothing(
    server_urls: Callable[[str], str], server: str, tmp_path: Path, kind: str
) -> None:
    url = server_urls(server)

    def work(folder: Path, name: str) -> None:
        with closing(open_database(url)) as database:
            search_in(database, folder, name)

    open_database(url).close()  # whose schema is another matter
    with Faults(-1, "kill").installed() as counted:
        work(tmp_path / "counted", f"{kind} counted")
    struck = 0
    for at in some(counted.points, kind):
        folder, name = tmp_path / str(at), f"{kind} {at}"
        struck += strike(lambda folder=folder, name=name: work(folder, name), Faults(at, kind))
        with closing(open_database(url)) as database:
            check_search_in(database, folder, name)
    print(f"search on {server}, {kind}: {struck} of {counted.points} points, 0 violations")
    assert struck > 0


@pytest.mark.parametrize("server", ["PostgreSQL", "MariaDB"])
@pytest.mark.parametrize("revision", [None, "0001"], ids=["new", "old"])
@pytest.mark.parametrize("kind", KINDS if FULL else ["kill"])
def test_an_upgrade_of_a_server_that_was_cut_off_anywhere_goes_on(
    server_urls: Callable[[str], str], server: str, revision: str | None, tmp_path: Path, kind: str
) -> None:
    url = server_urls(server)

    def prepare() -> None:
        empty(url)
        if revision:
            make_old(url, revision)

    def work() -> None:
        open_database(url).close()

    prepare()
    with Faults(-1, "kill").installed() as counted:
        work()
    struck = 0
    for at in some(counted.points, kind):
        prepare()
        struck += strike(work, Faults(at, kind))
        with closing(open_database(url)) as database:
            assert differences(database) == []
            if revision:
                check_migrated_in(database, tmp_path)
    empty(url)
    print(f"upgrade of {revision or 'nothing'} on {server}, {kind}: {struck} of {counted.points} points, all went on")
    assert struck > 0


def strike(work: Callable[[], None], faults: Faults) -> bool:
    """Whether the fault came to be."""
    if faults.kind == "kill":

        def child() -> None:
            with faults.installed():
                work()

        return in_a_child(child) == -9
    with faults.installed(), suppress(StorageError, OSError):
        work()
    return faults.has_struck
