"""Signing in with a key: by our own form alone, and written down with who did it."""

import pytest

from automl.server.pages.visitors import COOKIE
from storage.keys import find_key

HERE, ELSEWHERE = "http://testserver", "https://evil.example"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": HERE}, 303),
        ({"Origin": HERE}, 303),
        ({}, 303),
        ({"Sec-Fetch-Site": "cross-site", "Origin": ELSEWHERE}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": HERE}, 403),
        ({"Origin": ELSEWHERE}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_no_other_site_signs_a_browser_in(searched, headers, status):
    client = searched.client()
    client.follow_redirects = False
    answer = client.post("/login", data={"token": searched.token()}, headers=headers)
    assert (answer.status_code, COOKIE in client.cookies) == (status, status == 303)


def test_a_browser_says_where_our_form_is_from(searched):
    assert searched.client().get("/login").headers["Referrer-Policy"] == "same-origin"


def test_the_audit_log_names_who_signs_in(place):
    place.browser("ada")
    place.client().post("/login", data={"token": "wrong"})
    entries = place.person("root", "admin").get("/v1/audit").json()["items"]
    assert [(entry["account"], entry["action"], entry["status"]) for entry in entries] == [
        (None, "sign_in", 401),
        ("ada", "sign_in", 303),
    ]


def signed_in(place, token):
    browser = place.client()
    browser.follow_redirects = False
    assert browser.post("/login", data={"token": token}).status_code == 303
    return browser


def test_a_session_ends_with_the_key_that_began_it(place):
    ada, token = place.person(), place.token()
    browser, other = signed_in(place, token), place.browser()
    key, _ = find_key(place.database, token)
    assert browser.get("/").status_code == 200
    assert ada.delete(f"/v1/keys/{key.id}").status_code == 204
    assert (browser.get("/").headers.get("Location"), other.get("/").status_code) == ("/login", 200)


def test_a_session_is_listed_where_that_is_wanted_and_revoked_by_itself(place):
    ada, token = place.person(), place.token()
    browser = signed_in(place, token)
    listed = ada.get("/v1/keys?sessions=true").json()["items"]
    assert [key["session"] for key in listed] == [False, False, True]
    assert [key["id"] for key in ada.get("/v1/keys").json()["items"]] == [key["id"] for key in listed[:2]]
    assert ada.delete(f"/v1/keys/{listed[2]['id']}").status_code == 204
    assert browser.get("/").headers["Location"] == "/login"
    assert find_key(place.database, token) is not None
