"""What an account may use, also while its searches run, and after they were deleted."""

from sqlalchemy import event

from automl.worker import overspent
from storage.accounts import find_account
from storage.checkpoints import sizes


def allow(place, **quotas):
    assert place.person("root", "admin").put("/v1/accounts/ada/quotas", json=quotas).status_code == 200


def used(person, name):
    return person.get("/v1/me").json()["used"][name]


def test_a_search_is_paused_with_a_reason_when_its_account_has_computed_enough(place, monkeypatch):
    monkeypatch.setattr("automl.worker.WISH_SECONDS", 0.01)
    ada = place.person()
    place.submit(ada, trials=100_000)
    allow(place, compute_seconds=0.05)
    place.work()
    found = ada.get("/v1/searches/words").json()
    assert (found["state"], found["why"].partition(" of ")[0]) == ("paused", "account 'ada' has spent its 0 s")
    assert ada.get("/v1/searches/words/decisions?limit=1000").json()[-1]["message"] == found["why"]
    assert ada.post("/v1/searches/words/resume").status_code == 403
    allow(place, compute_seconds=1e6)
    assert ada.post("/v1/searches/words/resume").json()["state"] == "queued"


def test_whether_an_account_is_spent_is_asked_in_one_statement(place):
    place.submit(place.person())
    place.work()
    allow(place, compute_seconds=0)
    account, asked = find_account(place.database, "ada"), []
    event.listen(place.database.reading, "before_cursor_execute", lambda *call: asked.append(call[2]))
    assert overspent(place.database, account.id).startswith("account 'ada' has spent its 0 s")
    assert [statement.split()[0] for statement in asked] == ["BEGIN", "SELECT"]


def test_what_deleted_searches_have_computed_is_spent(place):
    ada = place.person()
    place.submit(ada)
    place.work()
    before = used(ada, "compute_seconds")
    assert ada.delete("/v1/searches/words?purge=true").status_code == 204
    assert used(ada, "compute_seconds") == before > 0
    allow(place, compute_seconds=before / 2)
    answer = ada.post("/v1/searches", json={"task": place.task(place.upload(place.person()), "more")})
    assert (answer.status_code, "of computing are spent" in answer.json()["detail"]) == (403, True)


def test_storage_is_what_uploads_and_searches_keep_each_counted_once(place):
    ada = place.person()
    place.submit(ada)
    [upload] = ada.get("/v1/uploads").json()["items"]
    assert used(ada, "storage_bytes") == upload["bytes"]
    place.work()
    checkpoints = sum(sizes(place.database).values())
    assert used(ada, "storage_bytes") == upload["bytes"] + checkpoints > upload["bytes"]
    ada.delete(f"/v1/uploads/{upload['id']}")  # the search keeps its data
    assert used(ada, "storage_bytes") == upload["bytes"] + checkpoints
    ada.get("/v1/searches/words/model")
    assert used(ada, "storage_bytes") > upload["bytes"] + checkpoints
    allow(place, storage_bytes=checkpoints)
    assert ada.post("/v1/uploads", files={"file": ("b.tsv", "x")}).status_code == 403
    assert ada.put("/v1/searches/words/budget", json={"budget": {"trials": 9}}).status_code == 403
    ada.delete("/v1/searches/words?purge=true")
    assert used(ada, "storage_bytes") == 0


def test_an_upload_that_comes_second_keeps_no_bytes(place, monkeypatch):
    ada = place.person()
    allow(place, storage_bytes=10)
    monkeypatch.setattr("automl.server.service.uploaded_bytes", lambda *_: 0)  # as before the first has come
    statuses = [
        ada.post("/v1/uploads", files={"file": ("a.tsv", text)}).status_code for text in ("a\tfirst", "b\tsecond")
    ]
    assert statuses == [201, 403]
    assert [path.read_text() for path in place.options.checkpoints.rglob("*") if path.is_file()] == ["a\tfirst"]


def test_a_search_that_comes_second_is_refused_and_nothing_of_it_stays(place, monkeypatch):
    ada = place.person()
    allow(place, searches=1)
    monkeypatch.setattr("automl.server.quotas.Quotas.check_search", lambda *_, **__: None)  # as before the first came
    place.submit(ada)
    more = {"task": place.task(place.upload(ada), "more")}
    refused = ada.post("/v1/searches", json=more)
    assert (refused.status_code, refused.json()["detail"].partition(" ")[0]) == (403, "1")
    assert [each["search"] for each in ada.get("/v1/searches").json()["items"]] == ["words"]
    assert ada.post("/v1/searches/words/pause").json()["state"] == "paused"
    assert ada.post("/v1/searches", json=more).status_code == 202
    before = ada.get("/v1/searches/words").json()
    assert ada.post("/v1/searches/words/resume").status_code == 403
    assert ada.put("/v1/searches/words/budget", json={"budget": {"trials": 9}}).status_code == 403
    assert ada.get("/v1/searches/words").json() == before


def test_what_an_administrator_lets_go_on_counts_for_its_owner(place):
    ada, root = place.person(), place.person("root", "admin")
    place.submit(ada)
    ada.post("/v1/searches/words/pause")
    allow(place, searches=0)
    assert root.post("/v1/searches/words/resume").status_code == 403
    assert root.put("/v1/searches/words/budget", json={"budget": {"trials": 9}}).status_code == 403
    allow(place, searches=1)
    allow_root = root.put("/v1/accounts/root/quotas", json={"searches": 0})
    assert allow_root.status_code == 200
    assert root.post("/v1/searches/words/resume").status_code == 202
