"""What an account may use, also while its searches run, and after they were deleted."""

from sqlalchemy import event

from automl.worker import overspent
from storage.accounts import find_account
from storage.checkpoints import sizes
from tests.automl.server.test_images import zipped


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


def copied(place):
    """Bytes of copies that lie in the cache, and of what was unpacked there."""
    files = [path for name in ("uploads", "data") for path in (place.options.cache / name).rglob("*")]
    return sum(path.stat().st_size for path in files if path.is_file() and "checked" not in path.name)


def test_storage_is_what_uploads_and_searches_keep_each_counted_once(place):
    ada = place.person()
    place.submit(ada)
    [upload] = ada.get("/v1/uploads").json()["items"]
    assert used(ada, "storage_bytes") == upload["bytes"] + copied(place)
    place.work()
    checkpoints = sum(sizes(place.database).values())
    assert used(ada, "storage_bytes") == upload["bytes"] + checkpoints + copied(place) > upload["bytes"]
    ada.delete(f"/v1/uploads/{upload['id']}")  # the search keeps its data
    before = upload["bytes"] + checkpoints + copied(place)
    assert used(ada, "storage_bytes") == before
    ada.get("/v1/searches/words/model")
    assert used(ada, "storage_bytes") > before
    allow(place, storage_bytes=checkpoints)
    assert ada.post("/v1/uploads", files={"file": ("b.tsv", "x")}).status_code == 403
    assert ada.put("/v1/searches/words/budget", json={"budget": {"trials": 9}}).status_code == 403
    ada.delete("/v1/searches/words?purge=true")
    assert (used(ada, "storage_bytes"), copied(place)) == (0, 0)


def test_what_is_unpacked_of_an_archive_is_there_once_counted_and_gone_with_the_last_upload_of_it(place):
    ada, data = place.person(), zipped({"train.tsv": b"abc\tabc\n" * 40, "notes.md": bytes(100_000)})
    uploads = [place.upload(ada, data, f"{name}.zip") for name in "abc"]
    for upload in uploads:
        assert ada.post("/v1/proposals", json={"train": upload}).status_code == 200
    assert 100_000 < copied(place) < 110_000
    assert used(ada, "storage_bytes") == 3 * len(data) + copied(place)
    for upload in uploads[:2]:
        ada.delete(f"/v1/uploads/{upload}")
    assert used(ada, "storage_bytes") == len(data) + copied(place)
    assert [path.name for path in (place.options.cache / "uploads").rglob("*.zip")] == ["c.zip"]
    ada.delete(f"/v1/uploads/{uploads[2]}")
    assert (used(ada, "storage_bytes"), copied(place)) == (0, 0)


def test_nothing_is_unpacked_that_the_quota_has_no_room_for(place):
    ada, data = place.person(), zipped({"train.tsv": b"abc\tabc\n" * 40, "notes.md": bytes(100_000)})
    upload = place.upload(ada, data, "a.zip")
    allow(place, storage_bytes=50_000)
    answer = ada.post("/v1/proposals", json={"train": upload})
    assert (answer.status_code, "may keep 50,000 bytes in all" in answer.json()["detail"]) == (403, True)
    assert copied(place) <= len(data)


def test_beyond_the_quota_no_model_is_made_but_the_winner_of_a_search_that_has_ended(place):
    ada, reader = place.person(), place.person("ada", "read")
    place.submit(ada)
    place.work()
    assert reader.get("/v1/searches/words/model?trial=2").status_code == 200
    allow(place, storage_bytes=1)
    refused = [reader.get("/v1/searches/words/model?trial=3"), reader.post("/v1/searches/words/exports?format=onnx")]
    for answer in refused:
        assert (answer.status_code, "may keep 1 bytes in all" in answer.json()["detail"]) == (403, True)
    for path in ("model", "model?trial=2"):
        assert reader.get(f"/v1/searches/words/{path}").status_code == 200


def test_an_account_has_so_many_uploads_keys_and_sessions_and_no_more(place):
    place.limited(uploads=2, keys=3, sessions=2)
    ada = place.person()
    statuses = [ada.post("/v1/uploads", files={"file": ("a.tsv", text)}).status_code for text in "abc"]
    assert statuses == [201, 201, 409]
    made = [ada.post("/v1/keys", json={"scope": "read"}) for _ in "abc"]
    assert [answer.status_code for answer in made] == [201, 201, 409]
    assert made[2].json()["detail"] == "account 'ada' has 3 keys; revoke one first"
    ada.delete(f"/v1/keys/{made[0].json()['id']}")
    assert ada.post("/v1/keys", json={"scope": "read"}).status_code == 201
    browsers = [place.browser() for _ in "ab"]
    third = place.client()
    token = {"token": ada.headers["Authorization"].split()[1]}
    assert third.post("/login", data=token).status_code == 429
    browsers[0].post("/logout", data={"csrf": place.form_token(browsers[0])})
    third.follow_redirects = False
    assert third.post("/login", data=token).status_code == 303


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
