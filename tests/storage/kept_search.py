"""A search as a killed one leaves it: trials finished, paused, failed and in flight, with their checkpoints."""

from storage import objects
from storage.attempts import begin_attempt, end_attempt
from storage.database import Database
from storage.events import append_event
from storage.leases import Lease
from storage.objects import Place
from storage.searches import SearchRow, claim, create_search, get_search, update_search
from storage.segments import NewSegment, commit_segment
from storage.trials import add_trial, fail_trial


def commit(
    database: Database, lease: Lease, folder: Place, trial: int, from_step: int, *, complete: bool = False
) -> str:
    begin_attempt(database, lease, trial, from_step)
    data = f"state of trial {trial} at step {from_step + 10} ".encode() * 50
    digest = objects.write(folder, data)
    scores = {"loss": 1.0 / (from_step + 1), "sequence_error_rate": 0.5}
    segment = NewSegment(
        trial, from_step, from_step + 10, 50 * (from_step + 10), scores, digest, len(data), 9, {"training": 0.5}
    )
    commit_segment(database, lease, segment, complete=complete, elapsed=0.75)
    return digest


def keep_search(database: Database, folder: Place, name: str = "dates") -> SearchRow:
    create_search(database, name, {"name": name}, "d" * 64)
    lease = claim(database, name, "a test", -1)
    for number in range(4):
        add_trial(database, lease, {"width": 8, "number": number}, number, "sampler")
    commit(database, lease, folder, 0, 0)
    commit(database, lease, folder, 0, 10, complete=True)
    commit(database, lease, folder, 1, 0)
    begin_attempt(database, lease, 1, 10)
    end_attempt(database, lease, 1, "WORKER_LOST")
    begin_attempt(database, lease, 2, 0)
    fail_trial(database, lease, 2, "NAN_LOSS", "the loss is not finite")
    begin_attempt(database, lease, 3, 0)
    append_event(database, lease, "start", "trial 3: started")
    update_search(database, lease, rung_tokens=500, summary={"budget": {"trials": 4}})
    row = get_search(database, name)
    assert row is not None
    return row
