"""A worker: claims queued searches, one after another, and runs them until it is told to end."""

import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from automl.control.controller import Controller
from automl.control.heartbeat import Heartbeat
from automl.control.outcome import Progress
from automl.errors import InputError, Obstacle
from automl.hardware import cores, gpus
from automl.planning import LEASE_SECONDS
from automl.privacy import drop_key
from automl.searches import Options, run_search
from automl.settings import Settings, private_folder
from automl.submissions import Submission, document_of
from automl.winners import Search
from storage import objects
from storage.database import Database, StorageError, open_database
from storage.events import append_event
from storage.leases import Lease, LeaseLost, current_owner
from storage.searches import SearchRow, claim_next, release, update_search
from storage.spending import account_computed
from storage.wishes import Wish, ask, forget_wish, wish_of
from storage.workers import forget_worker, see_worker

POLL_SECONDS = 2.0
WISH_SECONDS = 1.0
CANCEL_SECONDS = 5.0
"""What runs when a search is cancelled is waited for so long, then given up; a pause waits until it is saved."""
SEEN_SECONDS = 15.0
PAUSES = (2.0, 5.0, 15.0, 60.0)
"""Seconds that a worker waits after so many obstacles in a row."""


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker works.

    Attributes:
        storage: URL of the database.
        executor: A name in `EXECUTORS` instead of what searches were queued with.
        workers: Trainers at the same time, likewise.
        address: Of the Ray cluster.
        once: End after one search, or when none is queued.
        lease_seconds: Another worker takes a search over when nothing was heard of its worker for so long.
        say: Told in one sentence of whatever a person should know.
        watch: Told of the controller that runs, and of none when none does.
        on_change: Told of progress, a few times a second.
        wait: Waits for so many seconds.
    """

    storage: str
    executor: str | None = None
    workers: int | None = None
    address: str | None = None
    once: bool = False
    lease_seconds: float = LEASE_SECONDS
    say: Callable[[str], None] = field(default=lambda _: None)
    watch: Callable[[Controller | None], None] = field(default=lambda _: None)
    on_change: Callable[[Progress], None] = field(default=lambda _: None)
    wait: Callable[[float], None] = time.sleep


def work(options: WorkerOptions) -> None:
    """Claim and run searches until KeyboardInterrupt, or until a search was interrupted from outside.

    Whatever is wrong with a search fails that search; whatever is wrong with the machine or the database is waited out.

    Raises:
        StorageError: The database cannot be opened at the beginning.
    """
    with (
        closing(open_database(options.storage)) as database,
        Presence(database, current_owner()) as presence,
        closing(Worker(database, options, presence)) as worker,
        suppress(KeyboardInterrupt),
    ):
        while worker.run_next():
            pass


class Presence:
    """Says in the table of workers that this process lives, and what it does, while the context is open."""

    def __init__(self, database: Database, owner: str) -> None:
        self.owner = owner
        self._database = database
        self._search: int | None = None
        self._changed = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._repeat, daemon=True)

    def show(self, search: int | None) -> None:
        """Say which search is run from now on."""
        self._search = search
        self._changed.set()

    def __enter__(self) -> "Presence":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._changed.set()
        self._thread.join()
        with suppress(StorageError):
            forget_worker(self._database, self.owner)

    def _repeat(self) -> None:
        while not self._ended:
            with suppress(StorageError):  # the next time will do
                see_worker(self._database, self.owner, self._search)
            self._changed.wait(SEEN_SECONDS)
            self._changed.clear()


class Wishes:
    """Ends the run of a search in good order when somebody asks so, while the context is open.

    A search is paused, too, as soon as its account has computed for as long as it may.

    Attributes:
        heard: What was asked.
        why: In a sentence, where nobody has asked.
    """

    def __init__(self, database: Database, search: int, account: int | None = None) -> None:
        self.heard: Wish | None = None
        self.why = ""
        self._account = account
        self._database = database
        self._search = search
        self._controller: Controller | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def watch(self, controller: Controller) -> None:
        """Say which controller is to be ended; before there is one, a wish waits."""
        self._controller = controller
        if self.heard is not None:  # between a pre-training and the trials that begin with it
            controller.interrupt()

    def __enter__(self) -> "Wishes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._ended.is_set():
            if self._controller is not None:
                with suppress(StorageError):  # the next time will do
                    self.heard = wish_of(self._database, self._search) or self._pause()
                if self.heard is not None:
                    self._controller.interrupt()
                    while self.heard == "cancel" and not self._ended.wait(CANCEL_SECONDS):
                        self._controller.give_up()
                    return
            self._ended.wait(WISH_SECONDS)

    def _pause(self) -> Wish | None:
        """Ask for a pause where the account has computed for as long as it may."""
        self.why = "" if self._account is None else overspent(self._database, self._account)
        if not self.why:
            return None
        ask(self._database, self._search, "pause")
        return "pause"


def overspent(database: Database, account_id: int) -> str:
    """Say that an account has computed for as long as it may; nothing where it may go on."""
    found = account_computed(database, account_id)
    if found is None:
        return ""
    account, seconds = found
    most = (account.quotas or {}).get("compute_seconds")
    if most is None or seconds < most:
        return ""
    return f"account {account.name!r} has spent its {most:,.0f} s of computing; it can go on when it is given more"


class Worker:
    """Runs queued searches one after another, in the thread that calls it."""

    def __init__(self, database: Database, options: WorkerOptions, presence: Presence) -> None:
        self._database = database
        self._options = options
        self._presence = presence
        self._obstacles = 0
        self._unfinished: Lease | None = None

    def run_next(self) -> bool:
        """Run the next search, or wait a little for one; False if the worker is to end."""
        try:
            self._give_back()
            claimed = claim_next(self._database, self._presence.owner, self._options.lease_seconds)
            if claimed is None:
                return self._idle()
            return self._run(*claimed) and not self._options.once
        except (StorageError, Obstacle) as error:
            self.close()
            self._pause(str(error))
            return True

    def _idle(self) -> bool:
        if self._options.once:
            self._options.say("no search is queued")
            return False
        self._options.wait(POLL_SECONDS)
        return True

    def _run(self, row: SearchRow, lease: Lease) -> bool:
        """Run a claimed search; False if it was interrupted from outside, and so the worker."""
        self._options.say(f"runs search {row.name!r}")
        self._presence.show(row.id)
        self._unfinished = lease
        try:
            with (
                Heartbeat(self._database, lease, self._options.lease_seconds, lambda: None),
                Wishes(self._database, row.id, row.account_id) as wishes,
            ):
                found = self._search(row, lease, wishes)
        except LeaseLost:
            self._unfinished = None
            self._options.say(f"search {row.name!r} was taken over by another worker")
            return True
        except (StorageError, Obstacle):
            raise
        except Exception as error:
            self._fail(row, lease, error)
            return True
        finally:
            self._presence.show(None)
            self._options.watch(None)
        return self._end(row, lease, found, wishes)

    def _end(self, row: SearchRow, lease: Lease, found: Search, wishes: Wishes) -> bool:
        interrupted, wish = found.state == "interrupted", wishes.heard
        held_back = interrupted and wish in ("pause", "cancel")
        if wish is not None and not held_back:
            forget_wish(self._database, row.id)
        if held_back:  # what was interrupted may have been its pre-training alone
            with suppress(LeaseLost):
                update_search(self._database, lease, state="interrupted", message=wishes.why or found.why)
                if wishes.why:
                    append_event(self._database, lease, "warning", wishes.why)
        release(self._database, lease, queue=interrupted and not held_back)
        self._unfinished, self._obstacles = None, 0
        state = f"ended by {wish!r}" if held_back else "queued again" if interrupted else found.state
        self._options.say(f"search {row.name!r} is {state}: {wishes.why or found.why}")
        return not interrupted or wish is not None

    def close(self) -> None:
        """Give back what is still held, for another worker."""
        with suppress(StorageError):
            self._give_back()

    def _give_back(self) -> None:
        if self._unfinished is not None:
            release(self._database, self._unfinished, queue=True)
            self._unfinished = None

    def _search(self, row: SearchRow, lease: Lease, wishes: Wishes) -> Search:
        options, settings = self._options, Settings()
        submission = Submission.from_mapping(row.options or {})

        def watch(controller: Controller) -> None:
            options.watch(controller)
            wishes.watch(controller)

        checkpoints = objects.place(settings.checkpoints or submission.checkpoints)
        return run_search(
            document_of(row, submission, checkpoints, private_folder(settings.cache)),
            Options(
                storage=options.storage,
                executor=options.executor or submission.executor,
                workers=options.workers or _allowed(submission.workers, row, settings),
                address=options.address,
                out=submission.out,
                export=submission.out is not None,
                lease=lease,
                account=row.account_id,
                checkpoints=checkpoints,
                on_change=options.on_change,
                on_notice=options.say,
                on_controller=watch,
            ),
        )

    def _fail(self, row: SearchRow, lease: Lease, error: Exception) -> None:
        why = str(error) if isinstance(error, InputError) else _described(error)
        self._options.say(f"search {row.name!r} has failed: {why}")
        update_search(self._database, lease, state="failed", message=why)
        drop_key(Settings().privacy_keys, row)
        release(self._database, lease)
        self._unfinished = None

    def _pause(self, why: str) -> None:
        pause = PAUSES[min(self._obstacles, len(PAUSES) - 1)]
        self._obstacles += 1
        self._options.say(f"{why} (goes on in {pause:.0f} s)")
        self._options.wait(pause)


def _allowed(workers: int | None, row: SearchRow, settings: Settings) -> int | None:
    """Return how many trainers a search may have here: of an account's no more than are usual on this machine."""
    if workers is None or row.account_id is None:
        return workers
    return min(workers, settings.workers or max(cores(), len(gpus())))


def _described(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"unexpected {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
