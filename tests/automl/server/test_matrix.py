"""Who may do what: every route against every kind of caller, as the router itself declares it.

A route without a rule, with a part of its path or a body that is not known here, and a new mount all fail.
"""

from itertools import chain, product
from typing import NamedTuple

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount

from automl.server.access import BRINGING, AdmittingRoute, Needs, read_search, run_search
from automl.server.app import create_app
from automl.server.dashboard import PREFIXES, SHOWN
from automl.server.pages.visitors import COOKIE, PageNeeds, changed_search, seen_search
from storage.accounts import disable_account
from storage.keys import SCOPES, find_key, revoke_key
from storage.searches import get_search
from tests.automl.server.service import WORDS
from tests.automl.server.test_images import png

OPEN = {"/healthz", "/readyz", "/openapi.json", "/login", "/login/provider", "/login/provider/back", "/assets/{file}"}
"""What anybody may see; a new route without a rule fails the test below."""
OF_A_SEARCH = (read_search, run_search, seen_search, changed_search)
ACTIONS = ("pause", "cancel", "resume", "extend", "delete", "purge")
OUTSIDERS = ("nobody", "a stranger", "expired", "revoked", "disabled")
MEMBERS = ("another who may read", "another who may run", "the owner, reading", "the owner", "an administrator")
TASK = {"task": {"name": "words", "data": {"train": "upload-1"}, "budget": {"trials": 4}}}
FORM = {"name": "words", "train": "upload-1", "time": "", "trials": "4"}
FILE = {"train": ("more.tsv", WORDS)}
BODIES = {
    "POST /v1/uploads": {"files": {"file": ("more.tsv", WORDS)}},
    "POST /v1/proposals": {"json": {"train": "upload-1"}},
    "POST /v1/tasks/validate": {"json": TASK},
    "POST /v1/searches": {"json": TASK},
    "PUT /v1/searches/{name}/budget": {"json": {"budget": {"trials": 5}}},
    "POST /v1/searches/{name}/predict": {"json": {"sources": ["ab"]}},
    "POST /v1/searches/{name}/predict/images": {"files": {"images": ("a.png", png(0))}},
    "POST /v1/searches/{name}/predict/stream": {"json": {"sources": ["ab"]}},
    "POST /v1/searches/{name}/attention": {"json": {"source": "ab"}},
    "POST /v1/keys": {"json": {"scope": "read"}},
    "POST /v1/accounts": {"json": {"name": "newcomer"}},
    "PUT /v1/accounts/{name}/quotas": {"json": {}},
    "POST /login": {"data": {"token": "x" * 43}},
    "POST /logout": {"data": {}},
    "POST /new": {"data": {}, "files": FILE},
    "POST /new/start": {"data": FORM},
    "POST /searches/{name}/{action}": {"data": {"time": "1h"}},
    "POST /searches/{name}/try": {"data": {"sources": "ab"}},
    "POST /searches/{name}/exports": {"data": {}},
}
"""What is sent, as it should be: where it names data, those of the owner."""
NAMING = {"POST /v1/proposals", "POST /v1/tasks/validate", "POST /v1/searches", "POST /new/start"}
"""Routes whose body names an upload."""
UPLOADS = {"GET /v1/uploads/{upload}", "DELETE /v1/uploads/{upload}", *NAMING}
"""Routes to what is its owner's alone: not even an administrator reads somebody's files."""
ENDING = ("/delete", "/purge", "/logout")


class Call(NamedTuple):
    """A request to a route; `label` is how the tables above name it."""

    label: str
    method: str
    path: str
    scope: str | None
    is_page: bool
    is_owned: bool

    @property
    def ends(self) -> bool:
        """Whether something is gone afterwards."""
        return self.method == "DELETE" or self.path.endswith(ENDING)


def entries(app):
    """All that the application serves, with whole paths: FastAPI keeps the routes of a router within it."""
    return chain.from_iterable(
        route.effective_route_contexts() if hasattr(route, "effective_route_contexts") else [route]
        for route in app.routes
    )


def is_route(entry):
    return isinstance(getattr(entry, "original_route", entry), APIRoute)


def routes(app):
    return [entry for entry in entries(app) if is_route(entry)]


def others(app):
    """What is no route, and so declares nothing."""
    return [entry for entry in entries(app) if not is_route(entry)]


def dependencies(dependant):
    yield dependant.call
    for inner in dependant.dependencies:
        yield from dependencies(inner)


def rules(route):
    return [call for call in dependencies(route.dependant) if isinstance(call, Needs)]


def scope_of(route):
    return max((rule.scope for rule in rules(route)), key=SCOPES.index, default=None)


def calls(app, key=1):
    """A request to each route with each of its methods, those that end something last."""
    found = []
    declared = [(route, method) for route in routes(app) for method in sorted(route.methods)]
    for route, method in declared:
        label = f"{method} {route.path}"
        name = "carol" if route.path.startswith("/v1/accounts/") else "words"
        parts = {"name": name, "upload": "upload-1", "number": "0", "key": key, "file": "icon.svg"}
        is_page = any(isinstance(rule, PageNeeds) for rule in rules(route))
        is_owned = bool({*OF_A_SEARCH} & {*dependencies(route.dependant)}) or "{key}" in route.path
        for action in ACTIONS if "{action}" in route.path else ("",):
            path = route.path.format(**parts, action=action)
            found.append(Call(label, method, path, scope_of(route), is_page, is_owned or label in UPLOADS))
    return sorted(found, key=lambda call: (call.ends, call.path == "/logout", call.method != "GET"))


def wanted(call, who):
    """What a call comes to, as its route declares."""
    if call.scope is None:
        return "open"
    if who in OUTSIDERS:
        return "sent to sign in" if call.is_page else "not known"
    holds = {"an administrator": "admin", "the owner": "run", "another who may run": "run"}.get(who, "read")
    if SCOPES.index(call.scope) > SCOPES.index(holds):
        return "refused"
    is_anothers = call.label in UPLOADS if who == "an administrator" else who.startswith("another")
    return "not there" if call.is_owned and is_anothers else "done"


def became(call, answer):
    """What a call came to; of an open one only its own answers can be told from refusals."""
    if call.scope is None:
        return "open" if answer.status_code < 500 else answer.status_code
    if answer.headers.get("Location") == "/login" and "Set-Cookie" not in answer.headers:  # signing out sets one
        return "sent to sign in"
    named = {401: "not known", 403: "refused", 404: "not there"}
    return named.get(answer.status_code, "done" if answer.status_code < 500 else answer.status_code)


def token_of(place, who, *, session):
    """A key, or the session of a browser, of somebody."""
    match who:
        case "nobody" | "a stranger":
            return "x" * 43
        case "expired":
            return place.token("eve", "admin", days=-1, session=session)
        case "revoked":
            token = place.token("eve", "admin", session=session)
            revoke_key(place.database, find_key(place.database, token, session=session)[0].id)
            return token
        case "disabled":
            token = place.token("mallory", "admin", session=session)
            disable_account(place.database, "mallory")
            return token
        case "another who may read" | "another who may run":
            return place.token("bob", who.rpartition(" ")[2], session=session)
        case "the owner, reading" | "the owner":
            return place.token("ada", "read" if who == "the owner, reading" else "run", session=session)
        case "an administrator":
            return place.token("root", "admin", session=session)
    raise AssertionError(f"nobody is called {who}")


def caller(place, who, *, session):
    """Somebody with a key, or with a browser."""
    client = place.client()
    client.follow_redirects = False
    token = token_of(place, who, session=session)
    if session and who != "nobody":
        client.cookies[COOKIE] = token
    elif who != "nobody":
        client.headers["Authorization"] = f"Bearer {token}"
    return client


def send(place, client, call):
    body = dict(BODIES.get(call.label, {}))
    if call.is_page and call.method == "POST" and COOKIE in client.cookies:
        body["data"] = {**body["data"], "csrf": place.form_token(client)}
    query = "?trial=0&trial=2" if call.path.endswith("/compare") else ""
    with client.stream(call.method, call.path + query, **body) as answer:
        return answer


@pytest.mark.parametrize("who", [*OUTSIDERS, *MEMBERS])
def test_every_route_answers_every_caller_as_it_declares(request, who):
    changes = who in ("the owner", "an administrator")
    place = request.getfixturevalue("place" if changes else "searched")
    ada = place.person()
    if changes:
        place.submit(ada)
        place.work()
    place.share_samples()
    place.token("carol")
    key = ada.post("/v1/keys", json={"scope": "read"}).json()["id"]
    clients = {is_page: caller(place, who, session=is_page) for is_page in (False, True)}
    told, expected = {}, {}
    for call in calls(place.app, key):
        if call.ends and get_search(place.database, "words") is None:
            place.submit(ada)
        told[call.method, call.path] = became(call, send(place, clients[call.is_page], call))
        expected[call.method, call.path] = wanted(call, who)
    assert {call: answer for call, answer in told.items() if answer != expected[call]} == {}
    assert len(told) > 65


def test_every_route_has_a_rule_and_every_body_an_example(searched):
    assert {route.path for route in routes(searched.app) if scope_of(route) is None} == OPEN
    ruled = [getattr(route, "original_route", route) for route in routes(searched.app) if scope_of(route) is not None]
    assert {
        route.path for route in ruled if {*BRINGING} & route.methods and not isinstance(route, AdmittingRoute)
    } == set()
    bodies = {call.label for call in calls(searched.app) if call.label.startswith(("POST", "PUT", "PATCH"))}
    bodiless = {f"POST /v1/searches/{{name}}/{action}" for action in ("pause", "cancel", "resume", "exports")}
    assert bodies == set(BODIES) | bodiless


def test_whatever_names_a_search_in_its_path_asks_whose_it_is(searched):
    named = [route for route in routes(searched.app) if "/searches/{name}" in route.path]
    assert [route.path for route in named if not {*OF_A_SEARCH} & {*dependencies(route.dependant)}] == []


def test_nothing_is_mounted_but_the_dashboard(searched):
    mounted = [(type(entry), entry.path) for entry in others(searched.app)]
    assert mounted == [(Mount, prefix) for prefix in PREFIXES if searched.app.state.shows_dashboard]


def test_what_is_new_would_be_seen(searched):
    app = create_app(searched.options, searched.database)
    app.add_api_route("/v1/secrets", lambda: "all")
    assert "/v1/secrets" in {route.path for route in routes(app) if scope_of(route) is None}
    app.mount("/files", create_app(searched.options, searched.database))
    assert "/files" in {entry.path for entry in others(app)}
    app.add_api_route("/v1/files/{path}", lambda path: path)
    with pytest.raises(KeyError, match="path"):
        calls(app)


@pytest.mark.parametrize("who", [*OUTSIDERS, *MEMBERS])
def test_the_dashboard_is_read_by_administrators_alone(searched, who):
    pytest.importorskip("optuna_dashboard", reason="the extra `dashboard` is not installed")
    client = caller(searched, who, session=True)
    shown = dict(zip(PREFIXES, ("/dashboard/", "/static/bundle.js", "/api/studies", "/csv/1"), strict=True))
    reading = 200 if who == "an administrator" else 403 if who in MEMBERS else 303
    for path in shown.values():
        assert client.get(path).status_code == reading, path
    for method, path in product(("POST", "PUT", "DELETE", "PATCH"), shown.values()):
        assert client.request(method, path).status_code == 404, (method, path)


def test_the_dashboard_shows_studies_and_leads_nowhere_else(searched):
    pytest.importorskip("optuna_dashboard", reason="the extra `dashboard` is not installed")
    admin, other = searched.browser("root", "admin"), searched.browser("ada", "run")
    assert ('href="/dashboard"' in admin.get("/").text, 'href="/dashboard"' in other.get("/").text) == (True, False)
    assert [study["study_name"] for study in admin.get("/api/studies").json()["study_summaries"]] == ["words"]
    assert not SHOWN.fullmatch("/api/studies/1/artifacts")
    assert admin.get("/api/studies/../../v1/me").status_code in (401, 404)


def test_a_form_of_another_site_changes_nothing(searched):
    client = searched.browser("ada", "run")
    for call in calls(searched.app):
        if call.is_page and call.method == "POST":
            assert client.post(call.path, data={"csrf": "guessed"}).status_code == 403, call.path
    assert client.get("/searches/words").status_code == 200


def test_a_key_opens_no_page_and_a_session_no_api(searched):
    bearer, browser = searched.person("root", "admin"), searched.browser("root", "admin")
    bearer.follow_redirects = False
    for call in calls(searched.app):
        if call.scope is not None:
            turned = became(call, send(searched, bearer if call.is_page else browser, call))
            assert turned == ("sent to sign in" if call.is_page else "not known"), call.path


@pytest.mark.parametrize("scope", ["read", "run"])
def test_lists_and_pages_show_nothing_of_others(searched, scope):
    client, pages = searched.person("boris", scope), searched.browser("boris", scope)
    assert client.get("/v1/searches").json()["items"] == []
    assert client.get("/v1/uploads").json()["items"] == []
    for call in calls(searched.app):
        if call.is_page and call.method == "GET":
            assert ">words<" not in pages.get(call.path, headers={"Accept": "text/html"}).text, call.path
