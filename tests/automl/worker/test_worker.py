"""Queued searches and the workers that run them, on SQLite, with a trainer that only pretends."""

import re
import threading
from contextlib import closing
from types import SimpleNamespace

import pytest

from automl.errors import FailureReason, InputError, TrialFailure
from automl.privacy import key_name, secret_key
from automl.searches import Options
from automl.settings import Settings
from automl.submissions import submit
from automl.tasks.document import document_from_mapping
from automl.worker import _allowed
from storage import objects
from storage.attempts import list_attempts
from storage.checkpoints import referenced
from storage.database import StorageError, open_database
from storage.leases import Lease
from storage.searches import claim, get_search, renew
from storage.trials import list_trials
from storage.workers import list_workers
from tests.automl.worker.queued_search import WORDS


def test_what_a_search_brings_along_is_referred_to_before_it_is_written(place, monkeypatch):
    def write(folder, data):
        with closing(open_database(place.url)) as database:
            assert objects.digest_of(data) in referenced(database)
        return objects.write(folder, data)

    there = {name: getattr(objects, name) for name in ("digest_of", "address", "read", "CorruptObject", "Place")}
    monkeypatch.setattr("automl.submissions.objects", SimpleNamespace(**there, write=write))
    place.queue()
    assert place.queue(workers=2).state == "queued"
    with closing(open_database(place.url)) as database:
        assert get_search(database, "numbers").options["workers"] == 2


def test_a_queued_search_waits_with_all_that_it_needs(place):
    assert place.queue(workers=3).state == "queued"
    row = place.search()
    assert (row.owner, row.options["workers"], row.options["checkpoints"]) == (None, 3, str(place.checkpoints))
    digest, suffix = row.options["data"]["train"]
    assert (objects.read(place.checkpoints, digest).decode(), suffix) == (WORDS, ".tsv")


def test_what_may_be_shared_is_what_was_said_last(place):
    for shared in (True, False):
        fields = {"name": "numbers", "data": {"train": "train.tsv"}, "share_samples": shared}
        submit(document_from_mapping({**fields, "budget": {"trials": 2}}, place.folder), Options(storage=place.url))
        assert place.search().document["share_samples"] is shared
        assert place.search().document["data"]["train"] == str(place.folder / "train.tsv")


def test_a_worker_runs_what_is_queued_and_ends(place):
    place.queue()
    place.work()
    row = place.search()
    assert (row.state, row.held, row.bundle) == ("finished", False, None)
    assert len(place.read(list_trials, row.id)) == 2
    assert place.said[-1].startswith("search 'numbers' is finished: ")
    assert place.read(list_workers) == []


@pytest.mark.parametrize(("metric", "smoothing"), [("bits_per_character", 0.0), ("sequence_error_rate", 0.1)])
def test_the_first_trial_is_the_default_for_what_is_searched(place, metric, smoothing):
    fields = {"name": "numbers", "data": {"train": "train.tsv"}, "budget": {"trials": 1}, "metric": {"name": metric}}
    submit(document_from_mapping(fields, place.folder), Options(storage=place.url))
    place.work()
    (trial,) = place.read(list_trials, place.search().id)
    assert trial.configuration["label_smoothing"] == smoothing


def test_a_worker_ends_when_nothing_is_queued(place):
    place.queue()
    place.work()
    place.work()
    assert place.said[-1] == "no search is queued"


def test_searches_are_run_one_after_another_until_the_worker_is_told_to_end(place):
    for name in ("one", "two"):
        place.queue(name)
    place.work(once=False)
    assert [place.search(name).state for name in ("one", "two")] == ["finished", "finished"]


def test_a_text_that_cannot_be_read_is_said_when_it_is_queued(place):
    fields = {"name": "numbers", "data": {"train": "train.tsv"}, "pretraining": {"unlabelled": "none.txt"}}
    with pytest.raises(InputError, match=r"none\.txt"):
        submit(document_from_mapping({**fields, "budget": {"trials": 1}}, place.folder), Options(storage=place.url))


def test_data_that_are_not_there_fail_the_search_in_one_line_and_the_next_one_runs(place):
    place.queue("lost")
    path = objects.path(place.checkpoints, place.search("lost").options["data"]["train"][0])
    path.unlink()
    (place.folder / "train.tsv").write_text(WORDS + "x\tx\n")
    place.queue("sound")
    place.work(once=False)
    assert place.search("lost").state == "failed"
    assert f"search 'lost': its train data are not in {place.checkpoints}" in place.search("lost").message
    assert place.search("lost").message.endswith("let AUTOML_CHECKPOINTS name the folder that it was queued with")
    assert place.search("sound").state == "finished"


def test_a_worker_that_is_told_to_end_leaves_its_search_to_another_one(place):
    place.queue(trials=30)
    place.meanwhile = lambda job: job.trial == 3 and place.controller.interrupt()
    place.work(once=False)
    row = place.search()
    committed = {a.end_reason for a in place.read(list_attempts, row.id)}
    assert (row.state, row.held, committed) == ("queued", False, {"COMMITTED"})
    place.meanwhile = lambda job: None
    place.work()
    assert place.search().state == "finished"
    assert len(place.read(list_trials, row.id)) == 30


def test_a_machine_that_is_at_fault_leaves_the_search_to_another_one_and_waits(place):
    def full(job):
        raise TrialFailure(FailureReason.STORAGE, "no space left")

    place.queue()
    place.meanwhile = full
    place.work(once=False)
    assert (place.search().state, place.search().held) == ("queued", False)
    assert "the same command goes on once that is mended (goes on in 2 s)" in place.said[-1]
    place.meanwhile = lambda job: None
    place.work()
    assert place.search().state == "finished"


def test_a_database_that_is_away_is_waited_for(place, monkeypatch):
    away = [True]

    def flaky(*arguments):
        if away.pop():
            raise StorageError("the database does not answer")

    place.queue()
    monkeypatch.setattr("automl.worker.claim_next", flaky)
    waits: list[float] = []
    away.insert(0, False)
    place.work(wait=waits.append)
    assert waits == [2.0]
    assert place.said[0] == "the database does not answer (goes on in 2 s)"


def test_a_search_that_was_taken_over_is_left_alone(place):
    def take(job):
        if job.trial == 1:
            row = place.search()
            place.read(renew, Lease(row.id, row.epoch), -1.0)  # as if this worker had slept
            place.read(claim, "numbers", "another", 60.0)

    place.queue()
    place.meanwhile = take
    place.work()
    assert "search 'numbers' was taken over by another worker" in place.said
    assert (place.search().owner, place.search().epoch) == ("another", 2)


def test_an_error_of_ours_fails_the_search_and_quotes_nothing(place, monkeypatch):
    def broken(*arguments):
        raise ValueError("a line of the data")

    place.queue()
    monkeypatch.setattr("automl.worker.document_of", broken)
    monkeypatch.setenv("AUTOML_PROGRAM_KEY", str(place.folder / "programs.key"))
    secret_key(place.folder / "privacy", key_name(place.search()))  # as a private search has one
    place.work()
    assert place.search().state == "failed"
    assert list((place.folder / "privacy").iterdir()) == []
    assert re.fullmatch(r"unexpected ValueError at test_worker\.py:\d+", place.search().message)


def test_a_worker_is_listed_with_its_search_while_it_runs(place):
    seen = threading.Event()
    rows = []

    def look(job):
        while not any(row.search_id for row in rows):
            rows[:] = place.read(list_workers)
        seen.set()

    place.queue()
    place.meanwhile = look
    place.work()
    assert seen.is_set()
    assert [row.search_id for row in rows] == [place.search().id]


def test_a_folder_for_the_winner_is_written_by_the_worker(place):
    place.queue(out=place.folder / "winner")
    place.work()
    assert place.search().bundle == str(place.folder / "winner")
    assert (place.folder / "winner" / "MANIFEST.json").exists()


def test_a_search_whose_budget_is_spent_is_not_queued_again_and_one_with_a_larger_budget_is(place):
    place.queue()
    place.work()
    assert place.queue().state == "finished"
    assert place.queue(trials=5).state == "queued"
    place.work()
    assert len(place.read(list_trials, place.search().id)) == 5


def test_a_search_that_another_process_runs_cannot_be_queued(place):
    place.queue()
    place.read(claim, "numbers", "another", 60.0)
    with pytest.raises(StorageError, match="is being run by another"):
        place.queue()


def test_files_that_are_missing_are_named_before_anything_is_queued(place):
    (place.folder / "train.tsv").unlink()
    with pytest.raises(InputError, match=r"train\.tsv"):
        place.queue()
    assert place.search() is None


def test_a_worker_tells_the_trackers_that_its_environment_names(place, monkeypatch):
    pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
    monkeypatch.setenv("AUTOML_RUNS", str(place.folder / "runs"))
    place.queue()
    place.work()
    assert not (place.folder / "runs").exists()
    monkeypatch.setenv("AUTOML_TRACKERS", "tensorboard")
    place.queue("told")
    place.work()
    assert len(list((place.folder / "runs" / "told").glob("trial-*/events.*"))) == 2
    monkeypatch.setenv("AUTOML_TRACKERS", "comet")
    place.queue("other")
    place.work()
    assert place.search("other").state == "failed"
    assert "tracker 'comet' is not known" in place.search("other").message


@pytest.mark.parametrize(("account", "asked", "found"), [(None, 64, 64), (1, 64, 3), (1, 2, 2), (1, None, None)])
def test_a_search_of_an_account_has_no_more_trainers_than_are_usual_here(account, asked, found, monkeypatch):
    monkeypatch.setenv("AUTOML_WORKERS", "3")
    row = SimpleNamespace(account_id=account)
    assert _allowed(asked, row, Settings()) == found
