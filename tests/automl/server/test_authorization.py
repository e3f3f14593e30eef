"""Who may do what: every route against every kind of caller, as the router itself declares it."""

from itertools import chain

import pytest
from fastapi.routing import APIRoute

from automl.server.access import Needs
from automl.server.app import create_app
from automl.server.dashboard import PREFIXES, SHOWN
from automl.server.pages.visitors import COOKIE, PageNeeds
from storage.keys import SCOPES

OPEN = {"/healthz", "/readyz", "/openapi.json", "/login", "/login/provider", "/login/provider/back", "/assets/{file}"}
"""What anybody may see; a new route without a rule fails the test below."""
OWNED = "{name}"
EXAMPLES = {"{name}": "words", "{action}": "pause", "{upload}": "upload-1", "{number}": "0", "{key}": "1"}
UNKNOWN = {"{upload}": "upload-999", "{key}": "999"}


def routes(app):
    """All routes with their whole paths: FastAPI keeps those of a router within it."""
    included = [route.effective_route_contexts() for route in app.routes if hasattr(route, "effective_route_contexts")]
    return [*chain(*included), *(route for route in app.routes if isinstance(route, APIRoute))]


def rules(dependant):
    own = [dependant.call] if isinstance(dependant.call, Needs) else []
    return own + [rule for inner in dependant.dependencies for rule in rules(inner)]


def scope_of(route):
    scopes = [rule.scope for rule in rules(route.dependant)]
    return max(scopes, key=SCOPES.index) if scopes else None


def is_page(route):
    return any(isinstance(rule, PageNeeds) for rule in rules(route.dependant))


def cases(app):
    """What bearers of keys may call."""
    return [(method, r) for r in routes(app) for method in sorted(r.methods - {"HEAD"}) if not is_page(r)]


def pages(app):
    """What browsers may load and send."""
    return [(method, r) for r in routes(app) for method in sorted(r.methods - {"HEAD"}) if is_page(r)]


def address(route, examples):
    path = route.path
    for part, example in examples.items():
        path = path.replace(part, example)
    return path


def status(client, method, route, examples=EXAMPLES):
    with client.stream(method, address(route, examples)) as response:
        return response.status_code


def test_every_route_has_a_rule(searched):
    assert {route.path for route in routes(searched.app) if scope_of(route) is None} == OPEN
    assert (len(cases(searched.app)) > 30, len(pages(searched.app)) > 15) == (True, True)


def test_a_route_without_a_rule_would_be_seen(searched):
    app = create_app(searched.options, searched.database)
    app.add_api_route("/v1/secrets", lambda: "all")
    assert "/v1/secrets" in {route.path for route in routes(app) if scope_of(route) is None}


@pytest.mark.parametrize("who", ["nobody", "a stranger", "expired", "revoked", "disabled"])
def test_whoever_has_no_key_that_opens_gets_401_everywhere(searched, who):
    client = searched.client()
    tokens = {
        "a stranger": lambda: "x" * 43,
        "expired": lambda: searched.token("eve", "admin", days=-1),
        "revoked": lambda: revoked(searched),
        "disabled": lambda: disabled(searched),
    }
    if who != "nobody":
        client.headers["Authorization"] = f"Bearer {tokens[who]()}"
    for method, route in cases(searched.app):
        if scope_of(route) is not None:
            assert status(client, method, route) == 401, (method, route.path)


def revoked(place):
    token = place.token("eve", "admin")
    admin = place.person("root", "admin")
    admin.headers["Authorization"] = f"Bearer {token}"
    own = admin.get("/v1/me").json()["key"]["id"]
    assert admin.delete(f"/v1/keys/{own}").status_code == 204
    return token


def disabled(place):
    token = place.token("mallory", "admin")
    assert place.person("root", "admin").delete("/v1/accounts/mallory").status_code == 204
    return token


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_is_refused_exactly_where_its_scope_does_not_reach(searched, scope):
    client = searched.person(f"somebody who may {scope}".replace(" ", "-"), scope)
    for method, route in cases(searched.app):
        needed = scope_of(route)
        if needed is not None:
            refused = SCOPES.index(needed) > SCOPES.index(scope)
            assert (status(client, method, route, EXAMPLES | UNKNOWN | {"{name}": "nothing"}) == 403) == refused


@pytest.mark.parametrize("scope", ["read", "run"])
def test_what_is_anothers_is_not_there(searched, scope):
    client = searched.person("bob", scope)
    for method, route in cases(searched.app):
        mine = "/searches/{name}" in route.path or "{upload}" in route.path
        if mine and SCOPES.index(scope_of(route)) <= SCOPES.index(scope):
            answer = status(client, method, route)
            # a body that is missing is said before anything is looked up
            assert answer == 404 or (answer == 422 and route.body_field is not None), (method, route.path)
    assert client.get("/v1/searches").json()["items"] == []
    assert client.get("/v1/uploads").json()["items"] == []


@pytest.mark.parametrize("who", ["nobody", "a bearer", "a stranger", "signed out"])
def test_whoever_is_not_signed_in_is_sent_to_where_one_signs_in(searched, who):
    client = searched.person("root", "admin") if who == "a bearer" else searched.client()
    client.follow_redirects = False
    if who == "a stranger":
        client.cookies[COOKIE] = searched.token("root", "admin")  # a key is no session
    if who == "signed out":
        client = searched.browser("root", "admin")
        old = client.cookies[COOKIE]
        assert client.post("/logout", data={"csrf": searched.form_token(client)}).status_code == 303
        client.cookies[COOKIE] = old
    for method, route in pages(searched.app):
        assert status(client, method, route) == 303, (method, route.path)


def test_a_form_of_another_site_changes_nothing(searched):
    client = searched.browser("ada", "run")
    for method, route in pages(searched.app):
        if method == "POST":
            assert client.post(address(route, EXAMPLES), data={"csrf": "guessed"}).status_code == 403
    assert client.get("/searches/words").status_code == 200


@pytest.mark.parametrize("scope", ["read", "run"])
def test_pages_show_nothing_of_others_and_change_nothing_without_the_scope(searched, scope):
    client = searched.browser("bob", scope)
    for method, route in pages(searched.app):
        data = {"csrf": searched.form_token(client)} if method == "POST" else None
        if route.path == "/logout" or (data is not None and route.path == "/new"):
            continue
        answer = client.request(method, address(route, EXAMPLES), data=data)
        if SCOPES.index(scope_of(route)) > SCOPES.index(scope):
            assert answer.status_code == 403, route.path
        elif "{name}" in route.path:
            assert answer.status_code in (404, 422), route.path
        assert ">words<" not in answer.text, route.path


def test_the_dashboard_is_read_by_administrators_alone(searched):
    pytest.importorskip("optuna_dashboard", reason="the extra `dashboard` is not installed")
    admin, other = searched.browser("root", "admin"), searched.browser("ada", "run")
    for prefix in PREFIXES:
        path = {
            "/dashboard": "/dashboard/",
            "/api": "/api/studies",
            "/static": "/static/bundle.js",
            "/csv": "/csv/1",
        }.get(prefix, prefix)
        assert searched.client().get(path, follow_redirects=False).status_code == 303
        assert other.get(path).status_code == 403
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert admin.request(method, path).status_code == 404
    assert ('href="/dashboard"' in admin.get("/").text, 'href="/dashboard"' in other.get("/").text) == (True, False)
    assert [study["study_name"] for study in admin.get("/api/studies").json()["study_summaries"]] == ["words"]
    assert not SHOWN.fullmatch("/api/studies/1/artifacts")
    assert admin.get("/api/studies/../../v1/me").status_code in (401, 404)


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


def test_a_name_that_another_has_is_refused(searched):
    bob = searched.person("bob")
    answer = bob.post("/v1/searches", json={"task": searched.task(searched.upload(bob))})
    assert (answer.status_code, "is taken" in answer.json()["detail"]) == (409, True)


@pytest.mark.parametrize("value", [False, "5"])
@pytest.mark.parametrize("name", ["searches", "storage_bytes", "compute_seconds"])
def test_what_is_no_number_in_json_is_none_of_a_quota(place, name, value):
    root = place.person("root", "admin")
    assert root.put("/v1/accounts/ada/quotas", json={name: value}).status_code == 422


def test_an_account_stays_within_its_quotas(place):
    root = place.person("root", "admin")
    ada = place.person()
    quotas = {"searches": 1, "storage_bytes": 400}
    assert root.put("/v1/accounts/ada/quotas", json=quotas).json()["quotas"] == quotas
    upload = place.upload(ada)
    assert ada.post("/v1/uploads", files={"file": ("b.tsv", "x" * 200)}).status_code == 403
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
