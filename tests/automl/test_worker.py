"""Queued searches and the workers that run them, on SQLite, with a trainer that only pretends."""

import json
import re
import shutil
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from automl.bundle import write_bundle
from automl.errors import FailureReason, InputError, TrialFailure
from automl.executors import EXECUTORS, InlineExecutor
from automl.metrics import METRICS
from automl.privacy import key_name, secret_key
from automl.searches import Options, run_search
from automl.segments import Evaluation, EvaluationResult, Job, SegmentResult
from automl.settings import Settings
from automl.submissions import submit
from automl.tasks.document import document_from_mapping, with_budget
from automl.tasks.draft import document_for
from automl.worker import Wishes, WorkerOptions, _allowed, work
from storage import objects
from storage.attempts import list_attempts
from storage.checkpoints import referenced
from storage.database import StorageError, open_database
from storage.leases import Lease
from storage.queues import queue_search
from storage.searches import claim, get_search, renew
from storage.segments import list_segments
from storage.trials import list_trials
from storage.wishes import ask, forget_wish, wish_of
from storage.workers import list_workers
from tests.automl.bundles import LETTERS, Drawn

WORDS = "".join(f"{number:03d}\t{number:03d}\n" for number in range(40))


class PretendedTrainer:
    """Takes ten steps a segment, at once, after whatever the test does first."""

    def __init__(self, place: "Place") -> None:
        self.place = place

    def run(self, job, report, stop):
        self.place.jobs.append(job)
        if isinstance(job, Evaluation):
            return EvaluationResult(job.trial, dict.fromkeys(METRICS, 0.5), rows=4)
        self.place.meanwhile(job)
        step, tokens = job.from_step + 10, job.to_tokens or 500
        digest = objects.write(
            self.place.checkpoints, save({"average/w": np.full(2, 100 * job.trial + step, np.float32)})
        )
        scores = {"loss": 1 / step, "token_accuracy": 0.5} | dict.fromkeys(METRICS, 1 / step)
        seconds = dict.fromkeys(("training", "compiling", "evaluating", "writing"), 0.01)
        return SegmentResult(job.trial, job.from_step, step, tokens, scores, digest, 2, seconds)


class Place:
    """A database and its checkpoints, with one search to queue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'automl.db'}"
        self.checkpoints = folder / "automl.checkpoints"
        self.said: list[str] = []
        self.jobs: list[Job] = []
        self.controller = None
        self.meanwhile = lambda job: None
        (folder / "train.tsv").write_text(WORDS)

    def document(self, name="numbers", trials=2):
        fields = {"name": name, "data": {"train": "train.tsv"}, "budget": {"trials": trials}}
        return document_from_mapping(fields, self.folder)

    def queue(self, name="numbers", trials=2, **options):
        return submit(self.document(name, trials), Options(storage=self.url, **options))

    def work(self, **options):
        defaults = {"executor": "inline", "once": True, "say": self.said.append, "watch": self.watch}
        work(WorkerOptions(storage=self.url, **{"wait": self.waited, **defaults, **options}))

    def watch(self, controller):
        self.controller = controller or self.controller

    def waited(self, seconds):
        raise KeyboardInterrupt

    def search(self, name="numbers"):
        with closing(open_database(self.url)) as database:
            return get_search(database, name)

    def read(self, query, *arguments):
        with closing(open_database(self.url)) as database:
            return query(database, *arguments)


@pytest.fixture
def place(tmp_path, monkeypatch):
    place = Place(tmp_path)
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AUTOML_CHECKPOINTS", raising=False)
    trainer = PretendedTrainer(place)
    monkeypatch.setitem(EXECUTORS, "inline", lambda *_: InlineExecutor(lambda: trainer))
    return place


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


def test_a_worker_runs_what_is_queued_and_ends(place):
    place.queue()
    place.work()
    row = place.search()
    assert (row.state, row.held, row.bundle) == ("finished", False, None)
    assert len(place.read(list_trials, row.id)) == 2
    assert place.said[-1].startswith("search 'numbers' is finished: ")
    assert place.read(list_workers) == []


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


def elsewhere(place, monkeypatch):
    """Let workers have nothing but the database and the checkpoints."""
    monkeypatch.setenv("AUTOML_CACHE", str(place.folder / "elsewhere"))
    monkeypatch.setenv("AUTOML_CHECKPOINTS", str(place.checkpoints))
    monkeypatch.chdir("/")


def test_a_text_to_pretrain_on_goes_to_a_worker_elsewhere_and_is_had_again(place, monkeypatch):
    (place.folder / "text.txt").write_text(WORDS.replace("\t", " "))
    fields = {"name": "numbers", "data": {"train": "train.tsv"}, "pretraining": {"unlabelled": "text.txt"}}
    for trials in (2, 3):
        document = document_from_mapping({**fields, "budget": {"trials": trials}}, place.folder)
        submit(document, Options(storage=place.url, checkpoints=place.checkpoints))
    (place.folder / "text.txt").unlink()
    elsewhere(place, monkeypatch)
    place.work()
    assert place.search().state == "finished", place.said
    assert place.search("numbers.denoising").state == "finished"
    assert len(place.read(list_trials, place.search().id)) == 3


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


def test_a_bundle_to_begin_from_goes_to_a_worker_elsewhere(place, monkeypatch):
    write_bundle(Drawn().bundle(), place.folder / "model.v2")
    (place.folder / "train.tsv").write_text("".join(f"{a}{b}\t{b}{a}\n" for a in LETTERS for b in LETTERS))
    fields = {"name": "numbers", "data": {"train": "train.tsv"}, "pretraining": {"from": "model.v2"}}
    submit(document_from_mapping({**fields, "budget": {"trials": 1}}, place.folder), Options(storage=place.url))
    shutil.rmtree(place.folder / "model.v2")
    elsewhere(place, monkeypatch)
    place.work()
    assert place.search().state == "finished", place.said


def test_a_file_as_cocos_goes_with_images_that_lie_beside_its_folder_to_a_worker_elsewhere(place, monkeypatch):
    folder, count = place.folder / "pets", 20
    images = [{"id": index, "file_name": f"{index}.png"} for index in range(count)]
    boxes = [{"id": index, "image_id": index, "category_id": 1, "bbox": [0, 0, 4, 4]} for index in range(count)]
    for name in ("train2017", "annotations"):
        (folder / name).mkdir(parents=True)
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / "train2017" / f"{index}.png")
    categories = [{"id": 1, "name": "cat"}]
    text = json.dumps({"images": images, "annotations": boxes, "categories": categories})
    (folder / "annotations" / "instances_train2017.json").write_text(text)
    document, _ = document_for(folder)
    assert document.kind == "object_detection"
    submit(with_budget(document, {"trials": 1}), Options(storage=place.url))
    shutil.rmtree(folder)
    elsewhere(place, monkeypatch)
    place.work()
    assert place.search("pets").state == "finished", place.said


def test_a_text_that_cannot_be_read_is_said_when_it_is_queued(place):
    fields = {"name": "numbers", "data": {"train": "train.tsv"}, "pretraining": {"unlabelled": "none.txt"}}
    with pytest.raises(InputError, match=r"none\.txt"):
        submit(document_from_mapping({**fields, "budget": {"trials": 1}}, place.folder), Options(storage=place.url))


def test_a_worker_elsewhere_needs_neither_the_files_nor_the_cache(place, monkeypatch):
    place.queue()
    (place.folder / "train.tsv").unlink()
    monkeypatch.setenv("AUTOML_CACHE", str(place.folder / "elsewhere"))
    monkeypatch.chdir("/")
    place.work()
    assert place.search().state == "finished"


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
