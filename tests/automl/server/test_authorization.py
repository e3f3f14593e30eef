"""What accounts and keys allow beside the matrix of routes: lists, keys made by keys, names, quotas, the audit log."""

from datetime import datetime, timedelta

import pytest

from automl.server.audit import ENTRIES_AN_HOUR, HOUR, Strangers
from storage.audit import list_entries
from tests.automl.server.service import WORDS


def test_its_owner_and_an_administrator_see_a_search(searched):
    for client in (searched.person("ada", "read"), searched.person("root", "admin")):
        assert client.get("/v1/searches/words").json()["account"] == "ada"
        assert [item["search"] for item in client.get("/v1/searches").json()["items"]] == ["words"]


def test_a_key_makes_none_that_may_more_and_none_for_others(searched):
    bob = searched.person("bob", "run")
    assert bob.post("/v1/keys", json={"scope": "admin"}).status_code == 403
    assert bob.post("/v1/keys", json={"scope": "read", "account": "ada"}).status_code == 403
    made = bob.post("/v1/keys", json={"scope": "read", "label": "phone"}).json()
    phone = searched.client()
    phone.headers["Authorization"] = f"Bearer {made['token']}"
    assert phone.get("/v1/me").json()["key"]["label"] == "phone"
    assert made["token"] not in bob.get("/v1/keys").text
    assert bob.delete(f"/v1/keys/{made['id']}").status_code == 204
    assert phone.get("/v1/me").status_code == 401


def test_a_key_makes_none_that_outlives_it_unless_it_administers(place):
    clients = {}
    for name, scope in (("ada", "run"), ("root", "admin")):
        clients[name] = place.client()
        clients[name].headers["Authorization"] = f"Bearer {place.token(name, scope, days=1)}"
    ends = datetime.fromisoformat(clients["ada"].get("/v1/me").json()["key"]["expires"])
    for days in (None, 90):
        made = clients["ada"].post("/v1/keys", json={"scope": "run", "days": days}).json()
        assert abs(datetime.fromisoformat(made["expires"]) - ends) < timedelta(seconds=1)
    assert datetime.fromisoformat(clients["ada"].post("/v1/keys", json={"days": 0.1}).json()["expires"]) < ends
    assert clients["root"].post("/v1/keys", json={"account": "ada", "days": None}).json()["expires"] is None


def test_a_key_revokes_none_that_may_more(place):
    runs, administers = place.person("root", "run"), place.person("root", "admin")
    first, second = [client.get("/v1/me").json()["key"]["id"] for client in (runs, administers)]
    refused = runs.delete(f"/v1/keys/{second}")
    assert (refused.status_code, refused.json()["detail"]) == (403, "a key that may run revokes none that may admin")
    assert administers.delete(f"/v1/keys/{first}").status_code == 204
    assert (runs.get("/v1/me").status_code, administers.get("/v1/me").status_code) == (401, 200)


def test_a_name_that_is_taken_is_refused_in_the_same_words_whoever_has_it(searched):
    told = set()
    for person in (searched.person("bob"), searched.person("ada")):
        other = searched.upload(person, WORDS.replace("0", "1"))
        answer = person.post("/v1/searches", json={"task": searched.task(other)})
        told.add((answer.status_code, answer.json()["detail"]))
    assert told == {(409, "the name 'words' is taken; choose another")}


def test_a_proposal_has_a_name_that_no_other_account_has_and_says_so(searched):
    bob, ada = searched.person("bob"), searched.person("ada")
    proposed = bob.post("/v1/proposals", json={"train": searched.upload(bob)}).json()
    assert proposed["document"]["name"] == "words-2"
    assert proposed["warnings"][-1] == "the name 'words' is taken, so this is called 'words-2'"
    again = ada.post("/v1/proposals", json={"train": searched.upload(ada)}).json()
    assert (again["document"]["name"], [each for each in again["warnings"] if "is taken" in each]) == ("words", [])


@pytest.mark.parametrize("value", [False, "5"])
@pytest.mark.parametrize("name", ["searches", "storage_bytes", "compute_seconds"])
def test_what_is_no_number_in_json_is_none_of_a_quota(place, name, value):
    root = place.person("root", "admin")
    assert root.put("/v1/accounts/ada/quotas", json={name: value}).status_code == 422


def test_an_account_stays_within_its_quotas(place):
    root = place.person("root", "admin")
    ada = place.person()
    quotas = {"searches": 1, "storage_bytes": 700}
    assert root.put("/v1/accounts/ada/quotas", json=quotas).json()["quotas"] == quotas
    upload = place.upload(ada)
    assert ada.post("/v1/uploads", files={"file": ("b.tsv", "x" * 400)}).status_code == 403
    assert ada.post("/v1/searches", json={"task": place.task(upload)}).status_code == 202
    assert ada.post("/v1/searches", json={"task": place.task(upload, "more")}).status_code == 403
    assert ada.get("/v1/me").json()["used"]["searches"] == 1
    place.work()
    root.put("/v1/accounts/ada/quotas", json={"compute_seconds": 0})
    assert ada.post("/v1/searches", json={"task": place.task(upload, "more")}).status_code == 403


def test_the_audit_log_names_who_did_what_and_holds_no_body(place):
    place.submit(place.person())
    place.person("bob", "read").delete("/v1/searches/words")
    entries = place.person("root", "admin").get("/v1/audit").json()["items"]
    told = [(entry["account"], entry["action"], entry["status"]) for entry in entries]
    assert told[:3] == [
        ("bob", "delete_one_search", 403),
        ("ada", "submit_search", 202),
        ("ada", "upload_file", 201),
    ]
    assert "000" not in "".join(entry["subject"] for entry in entries)


def test_strangers_leave_so_many_entries_an_hour_and_accounts_all_of_theirs(place, monkeypatch):
    monkeypatch.setattr("automl.server.audit.ENTRIES_AN_HOUR", 3)
    stranger, bob, root = place.client(), place.person("bob", "read"), place.person("root", "admin")
    for _ in range(5):
        stranger.get("/v1/searches/" + "a" * 90, headers={"Authorization": "Bearer unknown"})
        stranger.get("/v1/uploads/" + "b" * 1_900)
        assert bob.get("/v1/accounts").status_code == 403
    entries = list_entries(place.database)
    assert [entry.account for entry in entries].count("bob") == 5
    strangers = [entry.subject for entry in entries if entry.account is None]
    assert (len(strangers), "last of this address" in strangers[0]) == (3, True)
    assert max(map(len, strangers)) < 300
    assert root.get("/v1/audit").status_code == 200


def test_an_address_has_its_entries_again_an_hour_later():
    strangers = Strangers()
    assert [strangers.left("one", 0.0) for _ in range(ENTRIES_AN_HOUR + 2)][-3:] == [0, -1, -2]
    assert strangers.left("another", 1.0) == strangers.left("one", HOUR) == ENTRIES_AN_HOUR - 1
