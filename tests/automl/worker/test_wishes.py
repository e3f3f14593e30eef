"""What is wished of a search that runs: to pause, to be cancelled, to begin again."""

import threading
import time
from contextlib import closing

import pytest

from automl.searches import Options
from automl.submissions import submit
from automl.tasks.document import document_from_mapping
from automl.worker import Wishes
from storage.database import open_database
from storage.queues import queue_search
from storage.wishes import ask, forget_wish, wish_of
from tests.automl.worker.queued_search import WORDS


def test_a_pause_that_comes_while_it_pretrains_holds_the_search_back_until_it_goes_on(place, monkeypatch):
    monkeypatch.setattr("automl.worker.WISH_SECONDS", 0.01)
    (place.folder / "text.txt").write_text(WORDS.replace("\t", " "))
    fields = {"name": "numbers", "data": {"train": "train.tsv"}, "pretraining": {"unlabelled": "text.txt"}}
    submit(document_from_mapping({**fields, "budget": {"trials": 1}}, place.folder), Options(storage=place.url))
    row = place.search()

    def meanwhile(job):
        with closing(open_database(place.url)) as database:
            ask(database, row.id, "pause")
        time.sleep(0.3)

    place.meanwhile = meanwhile
    place.work()
    assert (place.search().state, place.search().held) == ("interrupted", False)
    assert place.search("numbers.denoising").state == "interrupted"
    place.work()
    assert place.said[-1] == "no search is queued"
    place.meanwhile = lambda job: None
    place.read(forget_wish, row.id)
    place.read(queue_search, "numbers")
    place.work()
    assert place.search().state == "finished"


def wishing(place, wish):
    """Asks once, and lets trials take long enough for the worker to hear it before the budget is spent."""

    def meanwhile(job):
        row = place.search()
        if job.trial == 2:
            place.read(ask, row.id, wish)
        if job.trial >= 2:
            time.sleep(0.05)

    return meanwhile


def test_a_search_is_paused_while_its_worker_goes_on_with_others(place, monkeypatch):
    monkeypatch.setattr("automl.worker.WISH_SECONDS", 0.01)
    place.queue(trials=200)
    place.meanwhile = wishing(place, "pause")
    place.work()
    row = place.search()
    assert (row.state, row.held, place.read(wish_of, row.id)) == ("interrupted", False, "pause")
    assert place.said[-1].startswith("search 'numbers' is ended by 'pause'")
    place.queue("other")
    place.work(once=False)
    assert (place.search().state, place.search("other").state) == ("interrupted", "finished")


def test_a_search_that_is_to_begin_its_run_again_does_so_at_once_with_the_new_budget(place, monkeypatch):
    monkeypatch.setattr("automl.worker.WISH_SECONDS", 0.01)
    place.queue(trials=200)
    place.meanwhile = wishing(place, "restart")
    place.work()
    assert place.search().state == "queued"
    place.meanwhile = lambda job: None
    place.queue(trials=3)
    place.work(once=False)
    assert (place.search().state, place.read(wish_of, place.search().id)) == ("finished", None)


class Busy:
    """A controller whose trainer does not come to an end by itself."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.given_up = threading.Event()

    def interrupt(self) -> None:
        self.told.append("interrupt")

    def give_up(self) -> None:
        self.told.append("give up")
        self.given_up.set()


@pytest.mark.parametrize(("wish", "gives_up"), [("cancel", True), ("pause", False)])
def test_what_runs_is_given_up_when_its_search_is_cancelled_and_saved_when_it_is_paused(
    place, monkeypatch, wish, gives_up
):
    monkeypatch.setattr("automl.worker.WISH_SECONDS", 0.01)
    monkeypatch.setattr("automl.worker.CANCEL_SECONDS", 0.01)
    place.queue(trials=200)
    busy, row = Busy(), place.search()
    with closing(open_database(place.url)) as database, Wishes(database, row.id) as wishes:
        wishes.watch(busy)
        ask(database, row.id, wish)
        assert busy.given_up.wait(60 if gives_up else 0.3) is gives_up
    assert busy.told[0] == "interrupt"


def test_a_wish_that_was_heard_ends_the_next_run_of_the_same_search_as_well(place, monkeypatch):
    monkeypatch.setattr("automl.worker.WISH_SECONDS", 0.01)
    place.queue()
    first, second, row = Busy(), Busy(), place.search()
    with closing(open_database(place.url)) as database, Wishes(database, row.id) as wishes:
        wishes.watch(first)
        ask(database, row.id, "pause")
        while wishes.heard is None:
            time.sleep(0.01)
        wishes.watch(second)
    assert second.told == ["interrupt"]
