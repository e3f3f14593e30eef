"""What of rows and of single outputs is shown: attention to who asks with a source, samples where the task shares them."""

import json
import re
from html import unescape

import pytest

from automl.errors import InputError
from automl.server.models import Models
from tests.automl.server.test_pages import hidden


@pytest.fixture
def shared(place):
    """A finished search of ada's whose task shares samples."""
    place.submit(place.person())
    place.work()
    place.share_samples()
    return place


def test_attention_is_a_row_for_each_token_that_is_said(searched):
    ada = searched.person()
    answer = ada.post("/v1/searches/words/attention", json={"source": "ab"}).json()
    assert (answer["source"], answer["target"]) == (["a", "b"], ["A", "B", "<eos>"])
    assert [len(row) for row in answer["weights"]] == [2, 2, 2]
    assert ada.post("/v1/searches/words/attention", json={"source": "x" * 10_001}).status_code == 422


def test_attention_is_drawn_beside_what_was_predicted(searched):
    ada = searched.browser()
    fields = hidden(ada.get("/searches/words/try").text) | {"sources": "ab", "looks": "true"}
    page = ada.post("/searches/words/try", data=fields).text
    figure = json.loads(unescape(re.search(r'data-figure="([^"]*)"', page)[1]))
    assert (figure["data"][0]["type"], figure["layout"]["yaxis"]["ticktext"]) == ("heatmap", ["A", "B", "<eos>"])


def test_samples_are_not_shown_unless_the_task_shares_them(searched):
    assert searched.person().get("/v1/searches/words/trials/0/samples").status_code == 403
    assert searched.browser().get("/searches/words/trials/0/samples").status_code == 403
    assert "/samples" not in searched.browser().get("/searches/words/trials/0").text


def test_samples_that_are_shared_are_shown_to_who_sees_the_search(shared):
    samples = shared.person().get("/v1/searches/words/trials/0/samples").json()
    assert len(samples) == 4  # a tenth of 40 rows is valid
    assert {sample["output"] for sample in samples} == {sample["targets"][0] for sample in samples}
    ada = shared.browser()
    assert "/searches/words/trials/0/samples" in ada.get("/searches/words/trials/0").text
    assert samples[0]["source"] in ada.get("/searches/words/trials/0/samples").text
    assert shared.person("bob").get("/v1/searches/words/trials/0/samples").status_code == 404


def test_where_a_model_cannot_look_is_said(searched, monkeypatch):
    def refuse(*_):
        raise InputError("this model reads no source")

    monkeypatch.setattr(Models, "look", refuse)
    ada = searched.browser()
    fields = hidden(ada.get("/searches/words/try").text) | {"sources": "ab", "looks": "true"}
    page = ada.post("/searches/words/try", data=fields).text
    assert ("<output>AB</output>" in page, "not shown: this model reads no source." in page) == (True, True)
