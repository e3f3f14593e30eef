"""Signing in with a key: by our own form alone, and written down with who did it."""

import pytest

from automl.server.pages.visitors import COOKIE

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
