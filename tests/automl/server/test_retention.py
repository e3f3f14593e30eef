"""What is too old is purged where the service says so, and nothing else."""

import gc
import os
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from automl.cli import run
from automl.data.corpus import open_corpus
from automl.privacy import key_file, key_name, secret_key
from automl.server.retention import tidy
from automl.server.sweeping import sweep
from automl.settings import Settings
from storage import objects
from storage.checkpoints import referenced
from storage.queues import carry
from storage.schema import utc_now
from storage.searches import create_search, list_searches
from storage.uploads import UPLOADS


def uploads(person):
    return [each["id"] for each in person.get("/v1/uploads").json()["items"]]


def names(place):
    return [row.name for row in list_searches(place.database)]


def test_ended_searches_and_uploads_are_purged_after_so_many_days(place):
    ada = place.person()
    place.submit(ada, "old")
    place.work()
    place.submit(ada, "waiting")
    keys = {row.name: key_file(Settings().privacy_keys, key_name(row)) for row in list_searches(place.database)}
    for row in list_searches(place.database):  # as private searches have them
        secret_key(Settings().privacy_keys, key_name(row))
    service = place.app.state.service
    later = utc_now() + timedelta(days=8)
    tidy(service, later)
    assert names(place) == ["old", "waiting"]
    keeping = replace(service, options=replace(service.options, keep_days=7))
    tidy(keeping, utc_now() + timedelta(days=6))
    assert names(place) == ["old", "waiting"]
    tidy(keeping, later)
    assert names(place) == ["waiting"]
    assert {name: key.exists() for name, key in keys.items()} == {"old": False, "waiting": True}
    assert ada.get("/v1/uploads").json()["items"] == []
    place.work()  # what waits has kept its data
    assert ada.get("/v1/searches/waiting").json()["state"] == "finished"


def test_an_upload_stays_while_a_search_has_it_or_its_form_was_just_shown_and_goes_with_its_bytes_else(place):
    ada, browser, service = place.person(), place.browser(), place.app.state.service
    csrf = {"csrf": place.form_token(browser)}
    place.submit(ada, "ended")
    place.work()
    place.submit(ada, "waiting")
    for name in ("shown", "left"):
        text = "".join(f"{name}{number}\t{number}\n" for number in range(40))
        browser.post("/new", data=csrf, files={"train": (f"{name}.tsv", text), "unlabelled": (f"{name}.txt", text)})
    assert len(uploads(ada)) == 6
    with place.database.write() as transaction:
        transaction.connection.execute(update(UPLOADS).values(used=utc_now() - timedelta(days=31)))
    refused = csrf | {"name": "a b", "time": "soon", "train": "upload-3", "unlabelled": "upload-4"}
    assert browser.post("/new/start", data=refused).status_code == 422
    tidy(service, utc_now())
    assert uploads(ada) == ["upload-1", "upload-2", "upload-3", "upload-4"]
    tidy(replace(service, options=replace(service.options, unused_days=60)), utc_now() + timedelta(days=31))
    assert len(uploads(ada)) == 4
    tidy(service, utc_now() + timedelta(days=31))
    assert uploads(ada) == ["upload-1", "upload-2"]
    kept = [path.read_bytes() for path in place.options.checkpoints.rglob("*") if path.is_file()]
    assert not any(data.startswith((b"shown", b"left")) for data in kept)


def test_a_sweep_leaves_what_a_search_is_queued_with_meanwhile(place, monkeypatch):
    database, checkpoints = place.database, place.options.checkpoints
    digest = objects.write(checkpoints, b"pairs")
    create_search(database, "words", {}, "d" * 64)
    looks = []

    def and_then_one_is_queued(database):
        found = referenced(database)
        if not looks:
            carry(database, "words", {"data": {"train": [digest, ".tsv"]}})
            objects.write(checkpoints, b"pairs")
        looks.append(digest in found)
        return found

    monkeypatch.setattr("automl.server.sweeping.referenced", and_then_one_is_queued)
    sweep(place.options, database, {digest})
    assert (looks, objects.is_sound(checkpoints, digest)) == ([False, True], True)


def test_a_sweep_takes_what_was_written_a_moment_ago(place):
    digest = objects.write(place.options.checkpoints, b"pairs of nobody")
    sweep(place.options, place.database, {digest})
    assert not objects.exists(place.options.checkpoints, digest)


SECRET = "".join(f"secret {number}\tsecret {number}\n" for number in range(40))


def kept(place):
    """Folders in which something lies that says a text of the data."""
    files = [path for path in place.folder.rglob("*") if path.is_file() and b"secret 7" in path.read_bytes()]
    return sorted({"/".join(path.relative_to(place.folder).parts[:2]) for path in files})


def submitted(place, person, name="words"):
    upload = place.upload(person, SECRET)
    return upload, person.post("/v1/searches", json={"task": place.task(upload, name)}).status_code


def test_of_data_that_are_refused_nothing_stays_but_the_upload(place):
    ada = place.person()
    place.submit(ada)
    upload, status = submitted(place, ada)  # a search of that name has other data
    assert (status, "cache/corpora" in kept(place)) == (409, False)
    ada.delete(f"/v1/uploads/{upload}")
    assert kept(place) == []


def test_purge_takes_the_data_at_once_with_uploads_that_no_other_search_has(place):
    ada = place.person()
    submitted(place, ada, "one")
    submitted(place, ada, "two")
    place.work()
    place.work()
    ada.get("/v1/searches/one/model")
    assert ada.delete("/v1/searches/one?purge=true").status_code == 204
    assert len(uploads(ada)) == 2
    assert ada.delete("/v1/searches/two?purge=true").status_code == 204
    assert (uploads(ada), kept(place)) == ([], [])


@pytest.mark.parametrize("way", ["prune", "sweep"])
def test_what_a_deleted_search_has_left_goes_when_it_is_old_unless_it_is_in_use(place, monkeypatch, way):
    monkeypatch.setenv("AUTOML_STORAGE", place.url)
    ada, service = place.person(), place.app.state.service
    upload, _ = submitted(place, ada, "one")
    place.submit(ada, "two")
    ada.post("/v1/searches/one/cancel")
    ada.delete(f"/v1/uploads/{upload}")
    assert ada.delete("/v1/searches/one").status_code == 204

    def clear(days):
        for path in (place.folder / "cache").rglob("*"):
            os.utime(path, (0, (utc_now() - timedelta(days=days)).timestamp()))
        if way == "sweep":
            tidy(service, utc_now())
        else:
            run(["prune", "--age", "720h"])
        return "cache/corpora" in kept(place)

    assert clear(29)
    folders = [path for path in (place.folder / "cache" / "corpora").iterdir() if b"secret" in texts(path)]
    corpus = open_corpus(folders[0])
    assert clear(31)
    del corpus
    gc.collect()  # whoever has submitted it has opened it, too
    assert not clear(31)
    if way == "prune":
        run(["prune", "--age", "0.001s"])
    assert "cache/data" not in kept(place)
    assert len(list((place.folder / "cache" / "corpora").iterdir())) == 1  # that of the other search


def texts(folder):
    return b"".join(path.read_bytes() for path in folder.glob("*.jsonl"))
