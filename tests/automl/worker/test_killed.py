"""Searches whose process is killed at their end, and what the next one makes of them."""

import pytest

from automl.searches import Options, run_search
from storage.leases import Lease
from storage.queues import queue_search
from storage.searches import renew
from storage.segments import list_segments
from storage.trials import list_trials


class Killed(BaseException):
    """Stands for SIGKILL: nothing is given back."""


def kill(*_: object, **__: object) -> None:
    raise Killed


def killed_at(place, monkeypatch, where, work):
    """Let a process come so far and no further, and its lease lapse."""
    with monkeypatch.context() as patched:
        patched.setattr(where, kill)
        for module in ("worker", "searches"):
            patched.setattr(f"automl.{module}.release", lambda *_, **__: None)
        with pytest.raises(Killed):
            work()
    row = place.search()
    place.read(renew, Lease(row.id, row.epoch), -1.0)


BEFORE_THE_OUTCOME = ("automl.control.controller.Controller._examined_best", "automl.searches._summary")


AFTER_THE_OUTCOME = (
    "automl.searches._complaint",
    "automl.searches._distilled",
    "automl.searches.read_best",
    "automl.winners.write_bundle",
    "automl.searches.drop_spent_key",
)


@pytest.mark.parametrize("where", [*BEFORE_THE_OUTCOME, *AFTER_THE_OUTCOME, "automl.searches.describe"])
def test_a_search_that_is_killed_at_its_end_is_completed_by_the_next_worker_and_trained_no_further(
    place, monkeypatch, where
):
    place.queue(out=place.folder / "winner")
    killed_at(place, monkeypatch, where, place.work)
    row = place.search()
    segments, jobs = place.read(list_segments, row.id), list(place.jobs)
    assert (row.state == "finished") is (where == "automl.searches.describe")
    place.work()
    row = place.search()
    assert (row.state, row.bundle) == ("finished", str(place.folder / "winner"))
    assert row.summary["best"]["test_scores"] != {}
    assert row.message == row.summary["ended"]["why"] != ""
    assert (place.folder / "winner" / "MANIFEST.json").exists()
    assert place.read(list_segments, row.id) == segments
    if where not in BEFORE_THE_OUTCOME:
        assert place.jobs == jobs


@pytest.mark.parametrize("where", [*BEFORE_THE_OUTCOME, *AFTER_THE_OUTCOME])
def test_a_command_that_is_killed_at_its_end_completes_its_search_when_it_is_given_again(place, monkeypatch, where):
    options = Options(storage=place.url, executor="inline", out=place.folder / "winner")
    killed_at(place, monkeypatch, where, lambda: run_search(place.document(), options))
    segments = place.read(list_segments, place.search().id)
    found = run_search(place.document(), options)
    assert (found.state, place.search().state, found.bundle) == ("finished", "finished", place.folder / "winner")
    assert found.why == place.search().message != ""
    assert place.read(list_segments, place.search().id) == segments


def test_a_search_with_a_larger_budget_that_is_killed_has_not_ended_as_it_did_before(place, monkeypatch):
    place.queue()
    place.work()
    place.queue(trials=4)
    place.meanwhile = lambda job: job.trial == 3 and kill()
    killed_at(place, monkeypatch, "automl.searches._summary", place.work)
    place.meanwhile = lambda job: None
    place.work()
    assert (place.search().state, len(place.read(list_trials, place.search().id))) == ("finished", 4)
    assert place.search().summary["budget"]["trials"] == 4


def test_a_search_that_is_told_to_end_and_killed_before_it_is_given_back_is_not_lost_to_workers(place, monkeypatch):
    place.queue(trials=30)
    place.meanwhile = lambda job: job.trial == 3 and place.controller.interrupt()
    killed_at(place, monkeypatch, "automl.worker.Worker._end", place.work)
    place.meanwhile = lambda job: None
    place.work()
    assert (place.search().state, len(place.read(list_trials, place.search().id))) == ("finished", 30)


def test_a_search_that_has_ended_and_was_not_given_back_is_not_begun_again(place, monkeypatch):
    place.queue()
    killed_at(place, monkeypatch, "automl.worker.Worker._end", place.work)
    jobs = list(place.jobs)
    place.read(queue_search, "numbers")
    place.work()
    assert (place.search().state, place.jobs) == ("finished", jobs)
