"""Signing in by a provider of identities, against one of this machine that plays by the rules, or does not."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from automl.errors import InputError
from automl.server.app import create_app
from automl.server.identity import IdentitySettings
from automl.server.options import ServerOptions
from storage.accounts import add_account, disable_account

jwt = pytest.importorskip("joserfc.jwt", reason="the extra `oidc` is not installed")
jwk = pytest.importorskip("joserfc.jwk")
CLIENT = "automl"


class FakeProvider:
    """Signs in whoever comes, as `claims` says; `lies` replace what an ID token claims."""

    def __init__(self):
        self.key = jwk.RSAKey.generate_key(2048, {"kid": "one"})
        self.signing = self.key
        self.claims = {"sub": "1", "email": "ada@lab.example", "email_verified": True}
        self.lies = {}
        self.visits = {}
        self.checks = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider.get(self)

            def do_POST(self):
                provider.post(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def get(self, handler):
        parts = urlsplit(handler.path)
        if parts.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            code = f"code-{len(self.visits)}"
            self.visits[code] = asked
            handler.send_response(302)
            handler.send_header(
                "Location", f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
            )
            handler.end_headers()
        elif parts.path == "/keys":
            self.answer(handler, {"keys": [self.key.as_dict(private=False)]})
        else:
            self.answer(
                handler,
                {
                    "issuer": self.lies.get("issuer", self.issuer),
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/keys",
                    "id_token_signing_alg_values_supported": ["RS256", "none", "HS256"],
                },
            )

    def post(self, handler):
        body = parse_qs(handler.rfile.read(int(handler.headers["Content-Length"])).decode())
        asked = self.visits.pop(body["code"][0])
        self.checks.append((asked["code_challenge_method"], body["code_verifier"][0], asked["code_challenge"]))
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        token = jwt.encode({"alg": "RS256", "kid": "one"}, {**claims, **self.claims, **self.lies}, self.signing)
        self.answer(handler, {"access_token": "x", "token_type": "Bearer", "id_token": token})

    def answer(self, handler, document):
        text = json.dumps(document).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)


@pytest.fixture
def provider():
    fake = FakeProvider()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


@pytest.fixture
def knowing(place, provider):
    """A service that believes the provider."""

    def know(**settings):
        identity = IdentitySettings(issuer=provider.issuer, client=CLIENT, secret="s", **settings)
        options = ServerOptions(**{**vars(place.options), "identity": identity})
        options.check()
        place.app = create_app(options, place.database, place.predictors)
        return place

    return know


def come_back(place, browser=None):
    """Sign in as a browser does; returns the answer of the service to who comes back."""
    browser = browser or place.client()
    browser.follow_redirects = False
    there = browser.get("/login/provider")
    assert there.status_code == 302, there.text
    back = urlsplit(httpx.get(there.headers["Location"]).headers["Location"])
    return browser, browser.get(f"{back.path}?{back.query}")


def test_who_has_an_account_comes_in_and_may_run(knowing, provider):
    place = knowing()
    add_account(place.database, "ada@lab.example")
    browser, answer = come_back(place)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    page = browser.get("/")
    assert ("Sign out ada@lab.example" in page.text, "/new" in page.text) == (True, True)
    assert provider.checks[0][0] == "S256"
    [entry] = place.person("root", "admin").get("/v1/audit").json()["items"]
    assert (entry["account"], entry["action"]) == ("ada@lab.example", "come_back")
    assert "Sign in with your organisation" in browser.get("/login").text


def test_whose_domain_is_welcome_gets_an_account_and_others_get_none(knowing, provider):
    place = knowing(domains="lab.example", admins="root@lab.example")
    assert come_back(place)[1].status_code == 303
    provider.claims["email"] = "eve@evil.example"
    assert come_back(place)[1].status_code == 403
    provider.claims["email"] = "eve@evil.lab.example"
    assert come_back(place)[1].status_code == 403
    provider.claims["email"] = "root@lab.example"
    assert "root@lab.example" in come_back(place)[0].get("/").text
    disable_account(place.database, "ada@lab.example")
    provider.claims["email"] = "ada@lab.example"
    assert come_back(place)[1].status_code == 403


def test_an_address_that_is_not_verified_and_the_administrators_name_are_refused(knowing, provider):
    place = knowing(domains="lab.example")
    provider.claims["email_verified"] = False
    assert come_back(place)[1].status_code == 403
    place = knowing(claim="preferred_username")
    place.token("admin", "admin")
    provider.claims["preferred_username"] = "admin"
    assert come_back(place)[1].status_code == 403


@pytest.mark.parametrize(
    "lies",
    [{"iss": "https://evil.example"}, {"aud": "another"}, {"nonce": "guessed"}, {"exp": 1000}, {"iat": 10**11}],
    ids=lambda lies: next(iter(lies)),
)
def test_a_token_that_is_not_for_us_opens_nothing(knowing, provider, lies):
    place = knowing(domains="lab.example")
    provider.lies = lies
    browser, answer = come_back(place)
    assert (answer.status_code, browser.get("/").status_code) == (401, 303)


def test_a_token_signed_by_another_key_opens_nothing(knowing, provider):
    place = knowing(domains="lab.example")
    provider.signing = jwk.RSAKey.generate_key(2048, {"kid": "one"})
    assert come_back(place)[1].status_code == 401


def test_a_provider_that_calls_itself_otherwise_or_does_not_answer_is_not_asked(knowing, provider):
    place = knowing()
    provider.lies = {"issuer": "https://evil.example"}
    assert place.client().get("/login/provider").status_code == 502
    place = knowing()
    provider.server.shutdown()
    provider.server.server_close()
    assert place.client().get("/login/provider").status_code == 502


def test_another_browser_cannot_end_what_one_has_begun(knowing, provider):
    place = knowing(domains="lab.example")
    browser = place.client()
    browser.follow_redirects = False
    there = browser.get("/login/provider")
    back = urlsplit(httpx.get(there.headers["Location"]).headers["Location"])
    stranger = place.client()
    assert stranger.get(f"{back.path}?{back.query}").status_code == 403
    assert browser.get(f"{back.path}?code=x&state=guessed").status_code == 403
    assert browser.get(f"{back.path}?{back.query}").status_code == 403  # the visit is spent


def test_without_a_provider_there_is_no_such_way(place):
    client = place.client()
    assert [client.get(path).status_code for path in ("/login/provider", "/login/provider/back")] == [404, 404]
    assert "organisation" not in client.get("/login").text


def test_settings_that_cannot_work_are_refused():
    for settings, words in [
        ({"issuer": "http://login.example", "client": "a", "secret": "b"}, "must begin with https"),
        ({"issuer": "https://login.example"}, "AUTOML_OIDC_CLIENT"),
    ]:
        with pytest.raises(InputError, match=words):
            IdentitySettings(**settings).check()
