"""Whose address is believed where proxies stand between."""

import asyncio

import pytest

from automl.server.proxies import Forwarded, forwarded_for


@pytest.mark.parametrize(
    ("values", "proxies", "address"),
    [
        (["203.0.113.7"], 1, "203.0.113.7"),
        (["1.1.1.1, 203.0.113.7"], 1, "203.0.113.7"),  # the first was sent by who asks
        (["1.1.1.1", "203.0.113.7"], 1, "203.0.113.7"),
        (["1.1.1.1, 203.0.113.7, 10.0.0.1"], 2, "203.0.113.7"),
        (["203.0.113.7"], 2, "203.0.113.7"),
        (["203.0.113.7:4711"], 1, "203.0.113.7"),
        (["[2001:db8::7]:4711"], 1, "2001:db8::7"),
        (["2001:db8::7"], 1, "2001:db8::7"),
        (["1.1.1.1, unknown"], 1, None),
        (["203.0.113.7,"], 1, None),
        ([], 1, None),
    ],
)
def test_the_address_that_the_outermost_trusted_proxy_saw_is_taken(values, proxies, address):
    assert forwarded_for(values, proxies) == address


@pytest.mark.parametrize(
    ("headers", "client", "scheme"),
    [
        ({"X-Forwarded-For": "1.1.1.1, 203.0.113.7", "X-Forwarded-Proto": "https"}, "203.0.113.7", "https"),
        ({"X-Forwarded-Proto": "gopher"}, "127.0.0.1", "http"),
    ],
)
def test_a_request_has_what_its_proxy_says(headers, client, scheme):
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope)

    given = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "headers": given, "client": ("127.0.0.1", 1), "scheme": "http"}
    asyncio.run(Forwarded(app, 1)(scope, None, None))
    assert (seen["client"][0], seen["scheme"]) == (client, scheme)
