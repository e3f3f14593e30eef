"""Clients that are slow to send, to read, or to begin: over sockets, they are let go, and others are served."""

import shutil
import socket
import ssl
import subprocess
import time

import httpx
import pytest
from starlette.responses import Response

from automl.server.guard import PIECE, pieces
from automl.server.options import Limits

LARGE = 2**25
"""Bytes of an answer of which the system keeps a part alone."""


def quick(**limits):
    return Limits(rate=1e6, burst=10**6, **limits)


def with_large(place):
    place.app.add_api_route("/large", lambda: Response(b"x" * LARGE))


def counted(place, route, seconds=20.0):
    """Whether a request to a route ends soon."""
    until = time.monotonic() + seconds
    while f'route="{route}"' not in place.app.state.gauges.text({}):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def read(connection):
    found = b""
    while more := connection.recv(2**20):
        found += more
    return found


def test_a_body_that_drips_is_not_waited_for(running):
    place, port = running(quick(body_seconds=0.3))
    head = b"POST /v1/proposals HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
    key = place.person().headers["Authorization"].encode()
    head += b"Content-Type: application/json\r\nAuthorization: " + key + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head)
        connection.settimeout(0.05)  # well within the time between two pieces
        for _ in range(400):
            connection.sendall(b" ")
            try:
                answer = connection.recv(4096)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_body_that_keeps_coming_has_its_time(running):
    place, port = running(quick(body_seconds=0.3, body_rate=1000))
    headers = {"Content-Type": "application/json", "Authorization": place.person().headers["Authorization"]}
    slow = (time.sleep(0.05) or b" " * 200 for _ in range(10))
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/proposals", content=slow, headers=headers)
    assert answer.status_code == 422


def test_who_does_not_read_an_answer_is_let_go(running):
    place, port = running(quick(answer_seconds=0.2))
    with_large(place)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert counted(place, "/large")
        connection.settimeout(20)
        assert len(read(connection)) < LARGE


def test_who_reads_slowly_gets_all(running):
    place, port = running(quick(answer_seconds=5.0))
    with_large(place)
    with httpx.stream("GET", f"http://127.0.0.1:{port}/large") as answer:
        assert sum(len(piece) for piece in answer.iter_bytes(2**22) if time.sleep(0.02) is None) == LARGE


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
@pytest.mark.parametrize("more", [False, True])
def test_an_answer_is_sent_in_pieces_that_are_all_of_it(size, more):
    body = bytes(range(256)) * (size // 256 + 1)
    sent = list(pieces({"type": "http.response.body", "body": body[:size], "more_body": more}))
    assert b"".join(piece["body"] for piece in sent) == body[:size]
    assert max(len(piece["body"]) for piece in sent) <= PIECE
    assert [piece["more_body"] for piece in sent] == [True] * (len(sent) - 1) + [more]


@pytest.fixture
def tls(tmp_path):
    """The options of a server with a certificate of its own making."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes a certificate, is not installed")
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=127.0.0.1 -days 2"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return {"ssl_certfile": certificate, "ssl_keyfile": key}


def test_a_handshake_that_does_not_come_is_not_waited_for(running, tls):
    _, port = running(quick(header_seconds=0.3), **tls)
    for sent in (b"", b"\x16\x03\x01\x02\x00"):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(sent)
            assert read(connection) == b""
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=False) as client:
        assert client.get("/healthz").status_code == 200


def test_who_does_not_read_an_answer_over_tls_is_let_go(running, tls):
    place, port = running(quick(answer_seconds=0.5, header_seconds=0.5), **tls)
    with_large(place)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", port))
        with context.wrap_socket(plain) as connection:
            connection.sendall(b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert counted(place, "/large")
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=False) as client:
        assert len(client.get("/large").content) == LARGE
