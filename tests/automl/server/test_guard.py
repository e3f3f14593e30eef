"""What is too large, too deep, too much, too slow or meant for another host."""

import asyncio
import contextlib
import json
import logging
import socket
from dataclasses import replace

import pytest

from automl.errors import InputError
from automl.server.app import guarded
from automl.server.guard import Depth, Formatter
from automl.server.options import Limits
from automl.server.pages.visitors import COOKIE
from storage.database import Database


def test_another_host_is_not_served(place):
    client = place.client()
    for host in ("evil.example", "testserver.evil.example", "", "127.0.0.1.evil.example:80"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 421
    assert client.get("/healthz", headers={"Host": "127.0.0.1:8470"}).status_code == 200


def test_a_body_that_is_too_large_is_refused_whatever_it_says_of_its_length(place):
    ada = place.limited(upload_bytes=1000, body_bytes=1000).person()
    assert ada.post("/v1/uploads", files={"file": ("a.tsv", b"x" * 70_000)}).status_code == 413
    assert ada.post("/v1/proposals", content=b" " * 1001).status_code == 413
    pieces = (b"x" * 500 for _ in range(3))
    assert ada.post("/v1/proposals", content=pieces, headers={"Content-Type": "text/plain"}).status_code == 413


@pytest.mark.parametrize(
    ("text", "deep"),
    [("[" * 40, True), ('["' + "[" * 40 + '"]', False), ('["\\"' + "[" * 40, False), ("[]" * 40, False)],
)
def test_depth_is_counted_outside_of_texts(text, deep):
    whole, pieces = Depth(32), Depth(32)
    assert whole.allows(text.encode()) is not deep
    assert all(pieces.allows(piece.encode()) for piece in text) is not deep


@pytest.mark.parametrize("kind", ["application/json", "application/JSON", "Application/Json; charset=utf-8", None])
def test_json_that_is_too_deep_is_refused(place, kind):
    ada = place.person()
    body = b'{"train": ' + b"[" * 50_000
    answer = ada.post("/v1/proposals", content=body, headers={} if kind is None else {"Content-Type": kind})
    assert (answer.status_code, answer.json()["detail"]) == (400, "JSON may be 32 levels deep")


def test_who_asks_too_often_waits(place):
    client = place.limited(rate=0.001, burst=3).client()
    answers = [client.get("/healthz") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["Retry-After"] == "1"
    other = place.person()
    other.app = client.app
    assert other.get("/v1/me").status_code == 200


def test_who_claims_another_key_each_time_waits_too(place):
    client = place.limited(rate=0.001, burst=3).client()
    statuses = [client.get("/healthz", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(40)]
    assert statuses == [200] * 30 + [429] * 10


def test_who_looks_at_a_page_is_refused_by_a_page_and_no_database_is_asked(place, monkeypatch):
    client = place.limited(body_bytes=1000, rate=0.001, burst=3).client()
    client.headers["Accept"] = "text/html,application/xhtml+xml"
    for work in ("read", "write"):
        monkeypatch.setattr(Database, work, lambda _: pytest.fail("the database is asked"))
    answers = [
        client.get("/searches/words/trials/0", headers={"Host": "[evil.example"}),
        client.get("/" + 2001 * "x"),
        client.post("/login", content=1001 * b"x"),
        client.post("/v1/proposals", content=1001 * b"x"),
        client.get("/login"),
        client.get("/v1/me"),
    ]
    assert [answer.status_code for answer in answers] == [421, 414, 413, 413, 429, 429]
    kinds = [answer.headers["content-type"].partition(";")[0] for answer in answers]
    page, plain = "text/html", "application/problem+json"
    assert kinds == [page, page, page, plain, page, plain]
    assert [answer.headers.get("Retry-After") for answer in answers] == [None] * 4 + ["1"] * 2
    for answer in answers:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Connection"] == "close"
    assert '<p role="alert" class="wrong">a body may have 1,000 bytes</p>' in answers[2].text
    assert answers[3].json()["detail"] == "a body may have 1,000 bytes"


def test_a_body_that_turns_out_too_large_is_refused_by_a_page_where_a_browser_sent_it(place):
    client = place.limited(body_bytes=1000).client()
    pieces = (b"token=" + 500 * b"x" for _ in range(3))
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    answer = client.post("/login", content=pieces, headers=headers)
    assert (answer.status_code, "a body may have 1,000 bytes</p>" in answer.text) == (413, True)


def test_every_answer_tells_browsers_to_be_careful(place):
    client = place.client()
    for path in ("/healthz", "/v1/searches", "/nothing"):
        headers = client.get(path, headers={"Origin": "https://evil.example"}).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_an_error_of_ours_says_nothing_and_is_logged_where(place, monkeypatch, caplog):
    def broken(*_):
        raise ValueError("a line of the data")

    monkeypatch.setattr("automl.server.api.searches.list_searches", broken)
    with caplog.at_level(logging.INFO, "automl.server"):
        answer = place.person().get("/v1/searches")
    assert (answer.status_code, answer.json()["detail"]) == (500, "an error of ours; the log says where")
    lines = [Formatter().format(record) for record in caplog.records if record.name == "automl.server"]
    assert "a line of the data" not in "".join(lines)
    assert json.loads(lines[0])["kind"] == "ValueError"
    assert json.loads(lines[-1])["account"] == "ada"


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_said(place):
    from automl.server.app import guarded

    place.limited(body_seconds=0.05)
    headers = {"host": "testserver", "content-length": "10", "content-type": "application/json"}
    headers["authorization"] = f"Bearer {place.token()}"
    sent = []

    async def call():
        async def receive():
            await asyncio.sleep(60)

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/proposals",
            "raw_path": b"/v1/proposals",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
        }
        await guarded(place.app)(scope, receive, send)

    asyncio.run(call())
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_this_machine_needs_no_certificate(place, host):
    replace(place.options, host=host).check()


def test_outside_of_this_machine_there_is_no_clear_text(place, tmp_path):
    with pytest.raises(InputError, match="clear text"):
        replace(place.options, host="0.0.0.0").check()
    replace(place.options, host="0.0.0.0", proxies=1).check()
    with pytest.raises(InputError, match="no such file"):
        replace(place.options, certificate=tmp_path / "c.pem", private_key=tmp_path / "k.pem").check()
    with pytest.raises(InputError, match="both"):
        replace(place.options, certificate=tmp_path / "c.pem").check()
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text("no certificate")
    with pytest.raises(InputError, match=r"c\.pem: is no certificate in PEM of the key .*k\.pem"):
        replace(place.options, certificate=tmp_path / "c.pem", private_key=tmp_path / "k.pem").check()


def test_a_connection_that_asks_for_nothing_is_closed_and_others_are_served(running):
    place, port = running(Limits(rate=1e6, burst=10**6, header_seconds=0.2, body_seconds=0.2))
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for number, connection in enumerate(idle):
        connection.settimeout(20)
        connection.sendall(
            [b"", b"GET /healthz HTTP/1.1\r\nHost: ", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nG"][number % 3]
        )
    for connection in idle:
        while connection.recv(4096):
            pass
        connection.close()
    assert place.client().get("/healthz").status_code == 200


def asked(port, *pieces, wait=3.0):
    """Send pieces over a connection; return all that comes back until it is closed, or for a while."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        found = b""
        with contextlib.suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
            while more := connection.recv(65_536):
                found += more
    return found


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize("size", [40_000, 400_000])
def test_a_head_that_is_too_long_is_refused_and_the_connection_closed(running, size):
    port = running()[1]
    assert asked(port, HEALTH + b"X: " + b"x" * size + b"\r\n\r\n")[:12] in (b"HTTP/1.1 400", b"")
    assert asked(port, HEALTH + b"X: " + b"x" * 400_000)[:12] in (b"HTTP/1.1 400", b"")


def test_trailers_are_no_headers_and_end_somewhere(running):
    chunked = b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    answer = asked(running()[1], chunked, b"Y: " + b"y" * 400_000, wait=1.0)
    assert answer.count(b"HTTP/1.1") <= 1


def test_a_body_that_nobody_reads_gets_one_answer(running):
    body = b"x" * 100_000
    request = b"POST /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"
    answer = asked(running()[1], request + body, wait=1.0)
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith(b"HTTP/1.1 40")


def test_a_request_names_one_host(running):
    port = running()[1]
    answer = asked(port, HEALTH + b"Host: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert asked(port, HEALTH + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/v1/uploads", "/v1/searches/words/predict/images", "/new", "/searches/words/try"])
@pytest.mark.parametrize("who", ["nobody", "a stranger", "a reader"])
def test_a_body_is_read_only_of_whom_the_head_lets_in(searched, path, who):
    is_page, read, told = not path.startswith("/v1/"), [], []
    token = searched.token("bob", "read", session=is_page) if who == "a reader" else "x" * 43
    named = f"{COOKIE}={token}" if is_page else f"Bearer {token}"
    headers = [] if who == "nobody" else [(b"cookie" if is_page else b"authorization", named.encode())]

    async def receive():
        read.append(1)
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": len(read) < 5}

    async def send(message):
        told.append(message.get("status"))

    form = (b"content-type", b"multipart/form-data; boundary=b")
    called = {"type": "http", "method": "POST", "path": path, "query_string": b"", "root_path": "", "scheme": "http"}
    scope = {**called, "client": ("1.2.3.4", 1), "headers": [(b"host", b"testserver"), form, *headers]}
    asyncio.run(guarded(searched.app)(scope, receive, send))
    lets_readers = path.endswith(("/images", "/try"))
    if who == "a reader" and lets_readers:
        assert read
    else:
        assert (told[0], read) == (403 if who == "a reader" else 303 if is_page else 401, [])


def test_there_is_room_for_so_many_connections(running):
    port = running(Limits(rate=1e6, burst=10**6, connections=1))[1]
    whole = HEALTH + b"Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as first:
        first.sendall(HEALTH + b"\r\n")
        assert first.recv(4096).startswith(b"HTTP/1.1 200")
        assert asked(port, whole).startswith(b"HTTP/1.1 503")
    while not (answer := asked(port, whole)).startswith(b"HTTP/1.1 200"):  # until the first is known to be gone
        assert answer.startswith(b"HTTP/1.1 503")
