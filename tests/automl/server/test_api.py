"""The way of a search over HTTP, from upload to prediction."""

import io
import json
import shutil
import zipfile

import pytest
from sqlalchemy import update

from automl.server.problems import plain
from storage import objects
from storage.checkpoints import referenced
from storage.leases import LeaseHeld
from storage.searches import SEARCHES, claim, get_search, release


def test_a_task_is_submitted_run_and_taken_home(place):
    ada = place.person()
    answer = place.submit(ada)
    assert answer.headers["Location"] == "/v1/searches/words"
    assert (answer.json()["state"], answer.json()["account"]) == ("queued", "ada")
    place.work()
    found = ada.get("/v1/searches/words").json()
    assert (found["state"], found["metric"], found["trials"]["failed"]) == ("finished", "sequence_error_rate", 1)
    assert str(place.folder) not in str(found)
    archive = zipfile.ZipFile(io.BytesIO(ada.get("/v1/searches/words/model").content))
    names = {name.partition("/")[2] for name in archive.namelist()}
    assert {"config.json", "model.safetensors", "MANIFEST.json", "README.md"} <= names
    answer = ada.post("/v1/searches/words/predict", json={"sources": ["ab", "c"]}).json()
    assert answer == {"trial": found["best"]["trial"], "outputs": ["AB", "C"]}
    lines = ada.post("/v1/searches/words/predict/stream", json={"sources": ["ab"] * 40}).text.splitlines()
    assert lines == ['{"output": "AB"}'] * 40
    lines = ada.post("/v1/searches/words/predict/stream", json={"sources": ["ab"] * 16 + ["long"]}).text.splitlines()
    assert lines == ['{"output": "AB"}'] * 16 + ['{"error": "a source has 9 tokens"}']


def test_a_proposal_says_what_automl_init_would(place):
    ada = place.person()
    upload = place.upload(ada)
    answer = ada.post("/v1/proposals", json={"train": upload}).json()
    assert answer["document"]["data"]["train"] == upload
    assert answer["profile"]["rows"] == {"train": 40}
    task = answer["document"] | {"budget": {"trials": 1}}
    checked = ada.post("/v1/tasks/validate", json={"task": task})
    assert checked.status_code == 200, checked.text
    assert checked.json()["document"]["data"]["train"] == upload


def test_whatever_is_wrong_with_a_task_is_one_line_without_a_path(place):
    ada = place.person()
    upload = place.upload(ada, "one column\n" * 9)
    for task, words in [
        (place.task("/etc/passwd"), "must be the id of an upload"),
        (place.task("upload-99"), "there is no upload-99"),
        ({**place.task(upload), "metric": {"name": "nonsense"}}, "nonsense"),
        ({"name": "words", "data": {"train": upload}}, "sets no limit"),
        (place.task(upload), "words.tsv"),
        ({**place.task(upload), "pretraining": {"from": "/etc"}}, "there is no search"),
        ({**place.task(upload), "kind": "image_classification"}, "words.tsv"),
        ({**place.task(upload), "bugdet": {}}, "task document: the key bugdet is not known; did you mean 'budget'?"),
        ({**place.task(upload), "budget": {"tiem": "1m"}}, "the key [budget] tiem is not known; did you mean 'time'?"),
        ({**place.task(upload), "budget": {"time": "soon"}}, "task document: [budget] time: "),
        ({"name": "words"}, "task document: data is missing; add it with at least train"),
    ]:
        answer = ada.post("/v1/searches", json={"task": task})
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.status_code in (404, 422)
        assert words in answer.json()["detail"]
        assert str(place.folder) not in answer.text
    assert ada.post("/v1/searches", json={}).json()["detail"] == "body.task: Field required"
    assert ada.post("/v1/uploads", files={"file": ("words.tsv", "")}).json()["detail"].startswith("the file is empty")


def test_the_same_idempotency_key_is_the_same_search(place):
    ada = place.person()
    upload = place.upload(ada)
    key = {"Idempotency-Key": "k1"}
    first = ada.post("/v1/searches", json={"task": place.task(upload)}, headers=key)
    again = ada.post("/v1/searches", json={"task": place.task(upload)}, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.headers["Location"] == again.headers["Location"]
    other = ada.post("/v1/searches", json={"task": place.task(upload, "other")}, headers=key)
    assert other.status_code == 409
    twice = [ada.post("/v1/uploads", files={"file": ("a.tsv", "a\tb")}, headers={"Idempotency-Key": "u"}) for _ in "12"]
    assert len({answer.json()["id"] for answer in twice}) == 1


def test_a_search_is_paused_resumed_extended_and_cancelled(place):
    ada = place.person()
    place.submit(ada)
    assert ada.post("/v1/searches/words/pause").json()["state"] == "paused"
    place.work()
    assert ada.get("/v1/searches/words").json()["state"] == "paused"
    assert ada.post("/v1/searches/words/resume").json()["state"] == "queued"
    place.work()
    answer = ada.put("/v1/searches/words/budget", json={"budget": {"trials": 6}})
    assert (answer.json()["state"], answer.json()["budget"]) == ("queued", {"trials": 6})
    place.work()
    found = ada.get("/v1/searches/words").json()
    assert (found["state"], sum(found["trials"].values())) == ("finished", 6)
    assert ada.post("/v1/searches/words/pause").status_code == 409
    ada.put("/v1/searches/words/budget", json={"budget": {"trials": 8}})
    assert ada.post("/v1/searches/words/cancel").json()["state"] == "cancelled"
    assert ada.post("/v1/searches/words/resume").status_code == 409
    assert ada.put("/v1/searches/words/budget", json={"budget": {"trials": 9}}).status_code == 409


def test_a_budget_that_is_changed_keeps_how_the_search_finishes_and_sets_a_limit(place):
    ada = place.person()
    task = place.task(place.upload(ada)) | {"budget": {"trials": 2, "finish": "ensemble"}}
    ada.post("/v1/searches", json={"task": task})
    for budget, kept in (({"time": "1h"}, "ensemble"), ({"trials": 3, "finish": "single"}, "single")):
        answer = ada.put("/v1/searches/words/budget", json={"budget": budget})
        assert (answer.status_code, answer.json()["budget"]) == (202, budget | {"finish": kept})
    for budget in ({}, {"finish": "ensemble"}):
        answer = ada.put("/v1/searches/words/budget", json={"budget": budget})
        assert (answer.status_code, answer.json()["detail"]) == (422, "[budget] sets no limit; give time or trials")


def test_a_search_that_is_deleted_while_it_is_paused_is_not_found(place, monkeypatch):
    ada = place.person()
    place.submit(ada)
    service = place.app.state.service
    monkeypatch.setattr(type(service), "stop", lambda self, row, _: self.delete(row, purge=False))
    answer = ada.post("/v1/searches/words/pause")
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no search 'words'")


def test_lists_come_in_pages(place):
    ada = place.person()
    for name in ("a", "b", "c"):
        place.submit(ada, name)
    page = ada.get("/v1/searches", params={"limit": 2}).json()
    assert [item["search"] for item in page["items"]] == ["c", "b"]
    page = ada.get("/v1/searches", params={"limit": 2, "before": page["next"]}).json()
    assert ([item["search"] for item in page["items"]], page["next"]) == (["a"], None)
    uploads = ada.get("/v1/uploads", params={"limit": 2}).json()
    rest = ada.get("/v1/uploads", params={"after": uploads["next"]}).json()
    assert (len(uploads["items"]), len(rest["items"]), rest["next"]) == (2, 1, None)


def test_keys_and_accounts_come_in_pages(place):
    root = place.person("root", "admin")
    for name in ("ada", "bob"):
        root.post("/v1/accounts", json={"name": name})
        root.post("/v1/keys", json={"label": name})
    for path, field in (("/v1/accounts", "name"), ("/v1/keys", "label")):
        first = root.get(path, params={"limit": 2}).json()
        rest = root.get(path, params={"limit": 2, "after": first["next"]}).json()
        assert len(first["items"]) == 2
        assert ([item[field] for item in rest["items"]], rest["next"]) == (["bob"], None)


def test_results_are_ranked_and_told(searched):
    ada = searched.person()
    board = ada.get("/v1/searches/words/trials", params={"limit": 3}).json()
    rest = ada.get("/v1/searches/words/trials", params={"after": board["next"]}).json()
    assert (len(board["items"]), len(rest["items"])) == (3, 1)
    assert board["items"][0]["winner"]
    trial = ada.get(f"/v1/searches/words/trials/{board['items'][0]['trial']}").json()
    assert (trial["winner"], trial["segments"][0]["from_step"]) == (True, 0)
    failed = ada.get("/v1/searches/words/trials/1").json()
    assert (failed["reason"], failed["message"]) == ("NAN_LOSS", "the loss is not finite")
    assert ada.get("/v1/searches/words/trials/99").status_code == 404
    report = ada.get("/v1/searches/words/report").json()
    assert report["failures"][0]["trial"] == 1
    page = ada.get("/v1/searches/words/report.html")
    assert "sandbox" in page.headers["Content-Security-Policy"]
    assert ada.get("/v1/searches/words/decisions").json()[0]["kind"] == "start"


def test_a_model_that_fails_says_so_and_the_next_request_gets_another(searched):
    ada = searched.person()
    assert ada.post("/v1/searches/words/predict", json={"sources": ["long"]}).status_code == 422
    assert ada.post("/v1/searches/words/predict", json={"sources": ["die"]}).status_code == 503
    assert ada.post("/v1/searches/words/predict", json={"sources": ["a"]}).json()["outputs"] == ["A"]
    assert ada.post("/v1/searches/words/predict", json={"sources": []}).json()["outputs"] == []
    assert ada.post("/v1/searches/words/predict", json={"sources": ["a"], "trial": 1}).status_code == 409
    assert ada.post("/v1/searches/words/predict", json={"sources": ["a"] * 1001}).status_code == 422


def test_the_winner_is_what_the_search_left_as_such_and_a_trial_that_is_named_is_alone(place):
    ada = place.person()
    place.submit(ada)
    place.work()
    row = get_search(place.database, "words")
    service = place.app.state.service
    before = service.models.bundle(row, None)
    trials = [trial for trial in service.library.record(row).trials.values() if trial.segments]
    others = [
        {"trial": t.row.number, "configuration": t.row.configuration, "checkpoint": t.segments[-1].checkpoint}
        for t in trials[1:]
    ]
    best = row.summary["best"] | {"members": others, "single": {"scores": {}, "test_scores": {}, "parameters": 1}}
    with place.database.write() as transaction:
        transaction.connection.execute(update(SEARCHES).values(summary=row.summary | {"best": best}))
    row, found = get_search(place.database, "words"), {}
    for trial in (None, best["trial"]):
        asked = {} if trial is None else {"trial": trial}
        archive = zipfile.ZipFile(io.BytesIO(ada.get("/v1/searches/words/model", params=asked).content))
        found[trial] = json.loads(archive.read(next(name for name in archive.namelist() if "config.json" in name)))
    assert len(found[None]["members"]) == len(others) > 0
    assert "members" not in found[best["trial"]]
    assert service.models.bundle(row, best["trial"]) != service.models.bundle(row, None) != before
    assert ada.post("/v1/searches/words/predict", json={"sources": ["a"]}).json()["outputs"] == ["A"]


def test_what_is_purged_is_gone_and_what_another_search_needs_is_not(place):
    ada = place.person()
    place.submit(ada, "one")
    place.submit(ada, "two")
    place.work()
    place.work()
    ada.get("/v1/searches/one/model")
    assert ada.delete("/v1/searches/one", params={"purge": True}).status_code == 204
    assert ada.get("/v1/searches/one").status_code == 404
    kept = referenced(place.database)
    assert all(objects.is_sound(place.options.checkpoints, digest) for digest in kept)
    assert ada.get("/v1/searches/two/model").status_code == 200
    ada.delete("/v1/searches/two", params={"purge": True})
    for upload in ada.get("/v1/uploads").json()["items"]:
        assert ada.delete(f"/v1/uploads/{upload['id']}").status_code == 204
    left = [path for folder in ("automl.checkpoints", "cache") for path in (place.folder / folder).rglob("*")]
    said = (b"001\t001", b'"source": "001"')  # as an upload has it, and as a corpus does
    assert [path for path in left if path.is_file() and any(text in path.read_bytes() for text in said)] == []


def test_the_service_says_how_it_is(place):
    client = place.client()
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").status_code == 503
    place.options.checkpoints.mkdir()
    assert client.get("/readyz").json() == {"status": "ok"}
    assert client.get("/metrics").status_code == 401
    place.submit(place.person())
    assert place.person("bob", "run").get("/metrics").status_code == 403
    text = place.person("root", "admin").get("/metrics").text
    assert 'automl_searches{of="queued"} 1' in text
    assert 'automl_requests_total{method="GET",route="/healthz",status="200"} 1' in text
    assert 'automl_request_seconds_bucket{le="+Inf"}' in text


def test_a_search_that_somebody_holds_meanwhile_is_not_deleted_and_keeps_its_key(place, monkeypatch):
    place.submit(place.person())
    row, dropped = get_search(place.database, "words"), []
    monkeypatch.setattr("automl.server.service.drop_key", lambda _, row: dropped.append(row.name))
    lease = claim(place.database, "words", "a worker", 60)
    with pytest.raises(LeaseHeld):
        place.app.state.service.delete(row, purge=True)
    assert (get_search(place.database, "words").id, dropped) == (row.id, [])
    release(place.database, lease)
    place.app.state.service.delete(row, purge=True)
    assert (get_search(place.database, "words"), dropped) == (None, ["words"])


def test_why_a_search_has_failed_is_said_without_places_of_this_machine(place):
    ada = place.person()
    place.submit(ada)
    for path in [*place.options.checkpoints.rglob("*"), *(place.options.cache / "uploads").rglob("*")]:
        if path.is_file():
            path.unlink()
    place.work()
    told = [ada.get(f"/v1/searches{part}").text for part in ("/words", "", "/words/report", "/words/report.html")]
    assert "its train data are not in automl.checkpoints" in told[0]
    assert [text for text in told if str(place.folder) in text or "AUTOML_CHECKPOINTS" in text] == []


def forget_cache(place):
    for name in ("corpora", "data", "served", "uploads"):
        shutil.rmtree(place.options.cache / name, ignore_errors=True)


def told_of_models(place, person, upload):
    """What is said to whoever wants a model, or something made of an upload, now."""
    browser = place.browser()
    form = {"csrf": place.form_token(browser), "sources": "a"}
    asked = [
        person.get("/v1/searches/words/model"),
        person.post("/v1/searches/words/predict", json={"sources": ["a"]}),
        browser.post("/searches/words/try", data=form),
        person.post("/v1/proposals", json={"train": upload}),
    ]
    address = person.post("/v1/searches/words/exports").headers["Location"]
    while (made := person.get(address).json())["state"] == "making":
        pass
    assert made["state"] == "failed"
    assert [text for text in (made["why"], *(each.text for each in asked)) if str(place.folder) in text] == []
    return [each.status_code for each in asked]


def test_what_is_damaged_is_said_so_without_places_of_this_machine(place):
    ada = place.person()
    place.submit(ada)
    place.work()
    upload = place.upload(ada)
    for path in place.options.checkpoints.rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    forget_cache(place)
    assert told_of_models(place, ada, upload) == [422, 422, 422, 409]
    again = place.upload(ada)
    assert ada.post("/v1/proposals", json={"train": again}).status_code == 200


def test_while_what_is_kept_is_out_of_reach_clients_are_told_to_come_again(place):
    ada = place.person()
    place.submit(ada)
    place.work()
    upload = place.upload(ada)
    place.options.checkpoints.rename(place.folder / "elsewhere")
    forget_cache(place)
    assert told_of_models(place, ada, upload) == [503] * 4


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("[Errno 2] no such file: '/srv/a b/c'; try again", "[Errno 2] no such file: 'a b/c'; try again"),
        ("s3://bucket/runs/x.tsv: is gone (/var/lib/x.tsv)", "x.tsv: is gone (x.tsv)"),
        ("2 and/or 3 rows a second, 50/50; 1/2", "2 and/or 3 rows a second, 50/50; 1/2"),
    ],
)
def test_paths_are_said_by_their_names(said, shown):
    assert plain(said) == shown
