"""Pre-training in the service: on an uploaded text, from an uploaded bundle, or from an own finished search."""

import io
import zipfile

import pytest

from automl.bundle import write_bundle
from automl.client import Connection
from automl.server.models import Models
from storage.searches import list_searches
from tests.automl.bundles import LETTERS, Drawn
from tests.automl.server.service import WORDS

PAIRS = "".join(f"{a}{b}\t{b}{a}\n" for a in LETTERS for b in LETTERS)
TEXT = WORDS.replace("\t", " ")


@pytest.fixture
def model(tmp_path):
    write_bundle(Drawn().bundle(), tmp_path / "model")
    return tmp_path / "model"


def task(place, person, name="words", pairs=WORDS, **pretraining):
    data = {"train": place.upload(person, pairs)}
    return {"task": {"name": name, "data": data, "budget": {"trials": 1}, "pretraining": pretraining}}


def zipped(folder, inner="model/"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"{inner}{path.name}")
    return buffer.getvalue()


def test_an_uploaded_text_is_pretrained_on_in_its_owners_name_and_goes_with_its_search(place):
    ada = place.person()
    body = task(place, ada, unlabelled=place.upload(ada, TEXT, "text.txt"))
    answer = ada.post("/v1/searches", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["task"]["pretraining"]["unlabelled"].startswith("sha256:")
    place.work()
    found = {item["search"]: item for item in ada.get("/v1/searches").json()["items"]}
    assert {name: (item["state"], item["account"]) for name, item in found.items()} == {
        "words": ("finished", "ada"),
        "words.denoising": ("finished", "ada"),
    }
    assert place.person("bob").get("/v1/searches").json()["items"] == []
    assert ada.get("/v1/me").json()["used"]["compute_seconds"] == pytest.approx(found["words"]["seconds"], abs=0.1)
    assert str(place.folder) not in ada.get("/v1/searches/words.denoising").text
    assert ada.delete("/v1/searches/words", params={"purge": True}).status_code == 204
    assert list_searches(place.database) == []


def test_a_search_begins_from_an_uploaded_bundle_or_from_an_own_finished_one(place, model, monkeypatch):
    ada = place.person()
    upload = place.upload(ada, zipped(model), "model.zip")
    answer = ada.post("/v1/searches", json=task(place, ada, "tuned", PAIRS, **{"from": upload}))
    assert answer.status_code == 202, answer.text
    place.work()
    assert ada.get("/v1/searches/tuned").json()["state"] == "finished"
    monkeypatch.setattr(Models, "bundle", lambda *_: model)
    again = ada.post("/v1/searches", json=task(place, ada, "again", PAIRS, **{"from": "tuned"}))
    assert again.status_code == 202, again.text
    unfinished = ada.post("/v1/searches", json=task(place, ada, "third", PAIRS, **{"from": "again"}))
    assert (unfinished.status_code, "is queued" in unfinished.json()["detail"]) == (409, True)
    place.work()
    assert ada.get("/v1/searches/again").json()["state"] == "finished"
    bob = place.person("bob")
    theirs = bob.post("/v1/searches", json=task(place, bob, "theirs", PAIRS, **{"from": "tuned"}))
    assert theirs.status_code == 404


@pytest.mark.parametrize(
    ("pretraining", "status", "message"),
    [
        ({"unlabelled": "/etc/passwd"}, 422, "must be the id of an upload"),
        ({"unlabelled": "upload-99"}, 404, "there is no upload-99"),
        ({"from": "upload-1"}, 422, "words.tsv is no bundle"),
        ({"from": "../../etc"}, 404, "there is no search"),
        ({}, 422, "needs either"),
    ],
)
def test_what_cannot_be_begun_from_is_refused(place, pretraining, status, message):
    ada = place.person()
    answer = ada.post("/v1/searches", json=task(place, ada, **pretraining))
    assert (answer.status_code, message in answer.json()["detail"]) == (status, True), answer.text


def test_an_archive_that_is_no_bundle_is_refused(place, tmp_path):
    ada = place.person()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "config.json").write_text("{}")
    upload = place.upload(ada, zipped(tmp_path / "x"), "x.zip")
    answer = ada.post("/v1/searches", json=task(place, ada, **{"from": upload}))
    assert (answer.status_code, "MANIFEST.json is missing" in answer.json()["detail"]) == (422, True)


def test_a_name_that_the_pretraining_would_take_from_another_is_refused(place):
    bob, ada = place.person("bob"), place.person()
    place.submit(bob, "words.denoising")
    body = task(place, ada, unlabelled=place.upload(ada, TEXT, "text.txt"))
    answer = ada.post("/v1/searches", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (409, "the name 'words' is taken; choose another")


def test_the_client_sends_texts_and_bundles_and_names_searches(place, model, tmp_path, monkeypatch):
    (tmp_path / "pairs.tsv").write_text(PAIRS)
    (tmp_path / "text.txt").write_text(PAIRS.replace("\t", " "))
    monkeypatch.chdir(tmp_path)
    with Connection("", place.token(), place.client()) as connection:
        for name, pretraining in (
            ("first", {"from": "model"}),
            ("second", {"from": "first"}),
            ("third", {"unlabelled": "text.txt"}),
        ):
            document = {"name": name, "data": {"train": "pairs.tsv"}, "pretraining": pretraining}
            connection.search(document, {"trials": 1}, wait=False)
            place.work()
            monkeypatch.setattr(Models, "bundle", lambda *_: model)
            assert connection.open(name).state == "finished"


def test_the_page_of_a_new_search_offers_both(place):
    ada = place.person()
    place.submit(ada)
    place.work()
    browser = place.browser()
    form = {"csrf": place.form_token(browser)}
    page = browser.post("/new", data=form, files={"train": ("pairs.tsv", PAIRS)}).text
    assert "Begin with the winner of" in page
    assert "<option>words</option>" in page
    files = {"train": ("pairs.tsv", PAIRS), "unlabelled": ("text.txt", "abc def\n" * 20)}
    page = browser.post("/new", data=form, files=files).text
    assert 'name="unlabelled" value="upload-' in page
    assert "Begin with the winner of" not in page
