"""The newcomer's path by forms alone, as a browser without scripts goes it."""

import json
import re
from html import unescape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from automl.server.pages.creation import document_of
from automl.server.pages.rendering import duration
from storage.searches import SEARCHES, get_search
from tests.automl.server.service import WORDS


def hidden(text: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))


def test_from_a_file_to_a_prediction(place):
    ada = place.browser()
    assert "There is none yet" in ada.get("/").text
    fields = hidden(ada.get("/new").text)
    answer = ada.post("/new", data=fields, files={"train": ("words.tsv", WORDS)})
    assert (answer.status_code, "It looks like" in answer.text) == (200, True)
    fields = hidden(answer.text) | {"name": "words", "time": "", "trials": "4", "preset": "small"}
    answer = ada.post("/new/start", data=fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/searches/words")
    assert "queued" in ada.get("/searches/words").text
    place.work()
    page = ada.get("/searches/words").text
    assert re.findall('class="state [a-z]*"', page) == ['class="state finished"']
    assert ("finished" in page, "NAN_LOSS" in page, 'class="architecture"' in page) == (True, True, True)
    figure = json.loads(unescape(re.search(r'data-figure="([^"]*)"', page)[1]))
    assert figure["data"][1]["name"] == "the best so far"
    assert ada.get("/searches/words/live").text in page or "<html" not in ada.get("/searches/words/live").text
    assert "Trial 0" in ada.get("/searches/words/trials/0").text
    assert "Dials" in ada.get("/searches/words/compare?trial=0&trial=2").text
    assert ada.get("/searches/words/compare?trial=0", headers={"Accept": "text/html"}).status_code == 422
    answer = ada.post("/searches/words/try", data=hidden(ada.get("/searches/words/try").text) | {"sources": "ab\ncd"})
    assert ("<output>AB</output>" in answer.text, "<output>CD</output>" in answer.text) == (True, True)
    assert ada.get("/searches/words/model").headers["content-type"] == "application/zip"
    assert "POST /v1/searches" in ada.get("/reference").text
    csrf = {"csrf": place.form_token(ada)}
    assert ada.post("/searches/words/extend", data=csrf | {"time": "1h"}).status_code == 303
    assert ada.post("/searches/words/cancel", data=csrf).status_code == 303
    assert ada.post("/searches/words/purge", data=csrf).headers["Location"] == "/"
    assert "There is none yet" in ada.get("/").text


def test_what_is_wrong_is_said_on_the_page(place):
    ada = place.browser()
    csrf = {"csrf": place.form_token(ada)}
    answer = ada.post("/new", data=csrf, files={"train": ("one.tsv", "a\nb\n")})
    assert (answer.status_code, 'role="alert"' in answer.text) == (422, True)
    answer = ada.post("/new/start", data=csrf | {"name": "a b", "train": "upload-1", "time": "soon"})
    assert (answer.status_code, 'role="alert"' in answer.text) == (422, True)
    assert "[budget] time: " in answer.text
    page = ada.get("/searches/nothing", headers={"Accept": "text/html"})
    assert (page.status_code, "there is no search" in page.text) == (404, True)
    assert ada.post("/login", data={"token": "wrong"}).status_code == 401


def test_names_of_others_are_written_as_text(place):
    ada = place.browser()
    csrf = {"csrf": place.form_token(ada)}
    answer = ada.post("/new", data=csrf, files={"train": ("<script>x.tsv", "<b>\t<i>\n" * 2 + WORDS)})
    assert ("<script>x" in answer.text, "<b>\t" in answer.text) == (False, False)


def test_a_form_becomes_a_task_document():
    fields = {"name": "a", "train": "upload-1", "source": "0", "target": "word", "time": "5m", "trials": "3"}
    assert document_of(fields | {"metric": "bleu", "preset": "tiny", "kind": "translation"}) == {
        "name": "a",
        "kind": "translation",
        "data": {"train": "upload-1", "source": 0, "target": "word"},
        "budget": {"time": "5m", "trials": 3},
        "metric": {"name": "bleu"},
        "space": {"preset": "tiny"},
    }
    assert [duration(s) for s in (None, 5, 65, 3700)] == ["no limit", "5 s", "1 min 5 s", "1 h 1 min"]


def test_scripts_and_styles_come_from_here(place):
    client = place.client()
    for name in ("htmx.min.js", "plotly.min.js", "automl.css", "automl.js", "icon.svg", "htmx.LICENSE"):
        assert client.get(f"/assets/{name}").status_code == 200
    assert client.get("/assets/..%2fapp.py").status_code == 404


def test_what_is_to_be_known_before_a_winner_is_relied_on_is_said(place):
    place.submit(place.person())
    place.work()
    row = get_search(place.database, "words")
    said = {"warning": "two trials are <as good>", "refused": 3}
    with place.database.write() as transaction:
        transaction.connection.execute(update(SEARCHES).values(summary=row.summary | said))
    told = place.person().get("/v1/searches/words").json()
    assert {name: told[name] for name in said} == said
    assert "Take care: two trials are &lt;as good&gt;" in place.browser().get("/searches/words").text


def test_a_form_with_a_mistake_keeps_what_was_typed_and_seen(place):
    ada = place.browser()
    csrf = {"csrf": place.form_token(ada)}
    ada.post("/new", data=csrf, files={"train": ("words.tsv", WORDS)})
    typed = {"name": "a b", "train": "upload-1", "time": "soon", "trials": "many", "metric": "ter", "preset": "tiny"}
    answer = ada.post("/new/start", data=csrf | typed)
    assert answer.status_code == 422
    for said in ("[budget] time: ", "[budget] trials: "):
        assert said in answer.text, said
    for value in ('value="a b"', 'value="soon"', 'value="many"', "selected>ter", "selected>tiny", "<details open>"):
        assert value in answer.text, value
    assert "rows of train" in answer.text
    answer = ada.post("/new/start", data=csrf | typed | {"train": "upload-9", "name": "a", "time": "1m", "trials": "1"})
    assert (answer.status_code, "there is no upload-9" in answer.text) == (404, True)


LONG = "9" * 5_000


@pytest.mark.parametrize(
    ("field", "said"),
    [
        *(("source", "²"), ("source", "[" * 50_000), ("target", LONG), ("source", f"[{LONG}]"), ("target", "[]")),
        *(("trials", LONG), ("trials", "²"), ("trials", "٣"), ("weight", LONG), ("weight", "٣")),
        *(("time", f"{LONG}h"), ("time", "²h"), ("name", LONG), ("train", f"upload-{LONG}"), ("train", "upload-²")),
    ],
)
def test_a_field_that_no_number_or_list_can_be_read_of_is_refused_in_one_line(place, field, said):
    ada = place.browser()
    upload = place.upload(place.person())
    fields = {"csrf": place.form_token(ada), "name": "w", "train": upload, "trials": "4"}
    answer = ada.post("/new/start", data=fields | {field: said})
    assert (400 <= answer.status_code < 500, 'role="alert"' in answer.text) == (True, True), answer.status_code


ODD = st.one_of(
    st.text(max_size=20), st.text('[]{}",0²٣-e.hms ', max_size=20), st.sampled_from(["9" * 5_000, "[" * 9_999])
)
FIELDS = ("name", "kind", "train", "valid", "source", "target", "weight", "source_tokens", "time", "trials", "metric")


@pytest.fixture(scope="module")
def browsing(searched):
    browser = searched.browser()
    browser.headers["Accept"] = "text/html"
    return browser, {"csrf": searched.form_token(browser)}, searched.upload(searched.person())


@given(typed=st.dictionaries(st.sampled_from((*FIELDS, "preset", "unlabelled", "from")), ODD, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_typed_into_the_form_of_a_new_search_is_no_error_of_ours(browsing, typed):
    browser, csrf, upload = browsing
    fields = {"name": "words", "train": upload, "time": "", "kind": "sequence_to_sequence"}
    assert browser.post("/new/start", data=csrf | fields | typed).status_code < 500


@given(name=st.sampled_from(["extend", "try"]), said=ODD, trial=ODD)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_typed_into_the_forms_of_a_search_is_no_error_of_ours(browsing, name, said, trial):
    browser, csrf, _ = browsing
    fields = {"time": said, "sources": said, "trial": trial}
    assert browser.post(f"/searches/words/{name}", data=csrf | fields).status_code < 500
