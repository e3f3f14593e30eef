"""Further forms of a model: asked for, made beside requests, and taken home when they are there."""

import io
import shutil
import threading
import zipfile
from typing import get_args

import pytest

from automl.bundle import write_bundle
from automl.client import Connection
from automl.errors import InputError
from automl.export.forms import FORMS
from automl.server.api.models import Format

EXPORTS = "/v1/searches/words/exports"


@pytest.fixture
def maker(searched, monkeypatch):
    """Makes forms that are none; `go` lets it, `made` says of what, `wrong` why it does not."""

    class Maker:
        go, made, wrong = threading.Event(), [], None

        def __call__(self, bundle, folder, names, sample):
            self.made.append(names[0])
            assert self.go.wait(60)
            if self.wrong:
                raise InputError(self.wrong)
            write_bundle(bundle, folder)
            (folder / names[0]).mkdir()
            (folder / names[0] / "model.bin").write_bytes(b"weights")

    maker = Maker()
    monkeypatch.setattr("automl.server.models.export", maker)
    monkeypatch.setattr("automl.client.PAUSE_SECONDS", 0.01)
    shutil.rmtree(searched.options.cache / "served", ignore_errors=True)
    yield maker
    maker.go.set()


def state_at_last(person, address):
    """How far a form is when it is made no more."""
    while (said := person.get(address).json())["state"] == "making":
        pass
    return said


def test_every_form_can_be_asked_for():
    assert set(get_args(Format)) == set(FORMS)


def test_a_form_is_made_beside_requests_and_downloaded_when_it_is_there(searched, maker):
    ada = searched.person()
    model = {"url": "/v1/searches/words/model", "params": {"format": "onnx"}}
    assert ada.get(EXPORTS, params={"format": "onnx"}).json()["state"] == "absent"
    assert ada.get(**model).status_code == 409
    asked = ada.post(EXPORTS, params={"format": "onnx"})
    assert (asked.status_code, asked.json()["state"]) == (202, "making")
    assert ada.get(asked.headers["Location"]).json() == asked.json()
    assert ada.get(**model).status_code == 409
    maker.go.set()
    assert state_at_last(ada, asked.headers["Location"])["state"] == "ready"
    files = zipfile.ZipFile(io.BytesIO(ada.get(**model).content)).namelist()
    assert "words-0-onnx/onnx/model.bin" in files


def test_what_is_asked_for_twice_is_made_once(searched, maker):
    ada = searched.person()
    asked = [ada.post(EXPORTS, params={"format": form, "trial": 2}) for form in ("int8", "int8", "onnx")]
    assert [answer.json()["state"] for answer in asked] == ["making"] * 3
    maker.go.set()
    assert [state_at_last(ada, answer.headers["Location"])["trial"] for answer in asked] == [2, 2, 2]
    assert ada.post(EXPORTS, params={"format": "int8", "trial": 2}).json()["state"] == "ready"
    assert sorted(maker.made) == ["int8", "onnx"]


def test_a_form_that_could_not_be_made_says_why_and_can_be_tried_again(searched, maker):
    ada, maker.wrong = searched.person(), "onnx is not installed"
    maker.go.set()
    address = ada.post(EXPORTS, params={"format": "onnx"}).headers["Location"]
    said = state_at_last(ada, address)
    assert (said["state"], said["why"]) == ("failed", "onnx is not installed")
    maker.wrong = None
    ada.post(EXPORTS, params={"format": "onnx"})
    assert state_at_last(ada, address)["state"] == "ready"


def test_the_python_client_waits_for_forms(searched, maker, tmp_path):
    maker.go.set()
    search = Connection("http://testserver", searched.token(), searched.client()).open("words")
    folder = search.export(tmp_path / "model", formats=["onnx", "int8"])
    assert {path.parent.name for path in folder.rglob("model.bin")} == {"onnx", "int8"}
    shutil.rmtree(searched.options.cache / "served")
    maker.wrong = "onnx is not installed"
    with pytest.raises(InputError, match="onnx is not installed"):
        search.export(tmp_path / "other", formats=["onnx"])


def test_a_browser_without_scripts_lets_a_form_be_made_and_takes_it_home(searched, maker):
    ada, page = searched.browser(), "/searches/words/exports?format=stablehlo"
    there = ada.get("/searches/words/model?format=stablehlo")
    assert (there.status_code, there.headers["Location"]) == (303, page)
    assert "Make it" in ada.get(page).text
    made = ada.post(page, data={"csrf": searched.form_token(ada)})
    assert (made.status_code, made.headers["Location"]) == (303, page)
    waiting = ada.get(page)
    assert ("is being made" in waiting.text, waiting.headers["Refresh"]) == (True, "3")
    maker.go.set()
    while "Refresh" in (ready := ada.get(page)).headers:
        pass
    assert 'href="/searches/words/model?format=stablehlo"' in ready.text
    assert ada.get("/searches/words/model?format=stablehlo").headers["content-type"] == "application/zip"
