"""Requests that mean harm, or that a careless program sends: each gets its status, and the server
goes on.
"""

import contextlib
import io
import json
import resource
import socket
import struct
import time
import zlib

import pytest

pytest.importorskip("uvicorn", reason="the server needs the extra serve")
pytest.importorskip("httpx", reason="httpx asks the server")

from mnistcore.serve import connections, reading_api, requests

PNG = {"content-type": "image/png"}
JSON = {"content-type": "application/json"}
IMAGE = [0] * 784


def pixels(value):
    return json.dumps({"pixels": value}).encode()


def bomb(width, height):
    """A PNG file of a few kilobytes whose header promises many pixels."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = chunk(b"IDAT", zlib.compress(bytes(10_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + content + chunk(b"IEND", b"")


BODIES = {
    "bad JSON": (JSON, b'{"pixels": [0, 1', 400, "not JSON"),
    "no text": (JSON, b"\xff\xfe\xfa" * 5, 400, "not JSON"),
    "NaN": (JSON, pixels([float("nan")] * 784), 400, "NaN is not a number in JSON"),
    "infinity": (JSON, pixels([float("inf")] * 784), 400, "Infinity is not a number"),
    "beyond floats": (JSON, b'{"pixels": [' + b"1e999," * 783 + b"0]}", 400, "from 0 to 255"),
    "an endless integer": (JSON, b'{"pixels": [' + b"9" * 5000 + b"]}", 400, "not JSON"),
    "a long integer": (JSON, b'{"pixels": [' + b"9" * 400 + b",0" * 783 + b"]}", 400, "0 to 255"),
    "below zero": (JSON, pixels([-1] * 784), 400, "from 0 to 255"),
    "too bright": (JSON, pixels([256] * 784), 400, "from 0 to 255"),
    "wrong length": (JSON, pixels([0] * 783), 400, "784 numbers, row by row; got a list of 783"),
    "ragged": (JSON, pixels([IMAGE, [0] * 3]), 400, "got a list of 3"),
    "no images": (JSON, pixels([]), 400, "got a list of 0"),
    "texts": (JSON, pixels(["0"] * 784), 400, "from 0 to 255"),
    "truths": (JSON, pixels([True] * 784), 400, "from 0 to 255"),
    "an object as pixels": (JSON, pixels({"length": 784}), 400, "got dict"),
    "a list": (JSON, b"[1, 2]", 400, "must be an object"),
    "another key": (JSON, b'{"image": []}', 400, 'must be {"pixels"'),
    "deep": (JSON, b'{"pixels": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "deep"),
    "too many": (JSON, b'{"pixels": [' + b"[]," * 1000 + b"[]]}", 400, "1,001 images are too many"),
    "empty": (JSON, b"", 400, "not JSON"),
    "a form": ({"content-type": "application/x-www-form-urlencoded"}, b"a=b", 415, "image/png"),
    "a text as a form of browsers": ({"content-type": "text/plain"}, b"{}", 415, "image/png"),
    "no kind": ({}, b"{}", 415, "image/png"),
    "no picture": (PNG, b"<svg/>" * 20, 400, "the picture is not a picture"),
    "empty picture": (PNG, b"", 400, "the picture is empty"),
    "a picture cut short": (PNG, bomb(100, 100), 400, "is a damaged picture"),
    "a picture bomb": (PNG, bomb(60_000, 60_000), 400, "pixels"),
    "a wide picture": (PNG, bomb(2**31 - 1, 1), 400, "pixels"),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/api/predict", "/api/explain"])
def test_a_body_that_cannot_be_read_gets_one_sentence(client, path, name):
    headers, body, status, words = BODIES[name]
    answer = client.post(path, content=body, headers=headers)
    assert answer.status_code == status
    assert words in refusal(answer)
    assert_alive(client)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "words"),
    [
        ("GET", "/page/..%2f..%2fcommand.py", {}, 404, "nothing at this address"),
        ("GET", "/page/%2e%2e/command.py", {}, 404, "nothing at this address"),
        ("GET", "/page/....//etc/passwd", {}, 404, "nothing"),
        ("GET", "/page/%2e%2e", {}, 404, "no file of this name"),
        ("GET", "/page/%00", {}, 404, "no file of this name"),
        ("GET", "/page//etc/passwd", {}, 404, "nothing"),
        ("GET", "/nowhere", {}, 404, "nothing at this address"),
        ("POST", "/api/predict?model=../../../etc/passwd", JSON, 404, "/api/models lists them"),
        ("GET", "/api/jobs/..%2f..%2fjob-1/events", {}, 404, "nothing"),
        ("GET", "/api/jobs/job-99/events", {}, 404, "/api/jobs lists them"),
        ("GET", "/api/predict", {}, 405, "GET is not possible here"),
        ("DELETE", "/api/models", {}, 405, "DELETE is not possible here"),
        ("PUT", "/", {}, 405, "PUT is not possible here"),
        ("GET", "/healthz", {"host": "evil.example"}, 421, "another host"),
        ("GET", "/healthz", {"host": "evil.example:80"}, 421, "another host"),
        ("GET", "/healthz", {"host": "127.0.0.1.evil.example"}, 421, "another host"),
        ("GET", "/healthz", {"host": "localhost.evil.example:7840"}, 421, "another host"),
        ("GET", "/healthz", {"host": "evil@localhost"}, 421, "another host"),
        ("GET", "/healthz", {"host": ""}, 421, "another host"),
        ("GET", "/healthz", {"host": "[::1"}, 421, "another host"),
        ("POST", "/api/jobs", {"origin": "http://evil.example", **JSON}, 403, "another site"),
        ("POST", "/api/jobs", {"origin": "null", **JSON}, 403, "another site"),
        ("POST", "/api/jobs", {"origin": "http://localhost:1", **JSON}, 403, "another site"),
        ("GET", "/api/models", {"sec-fetch-site": "cross-site"}, 403, "another site"),
        ("GET", "/page/index.html", {"sec-fetch-site": "same-site"}, 403, "another site"),
    ],
)
def test_a_request_that_must_not_get_through(client, method, path, headers, status, words):
    body = pixels(IMAGE) if method == "POST" else b""
    answer = client.request(method, path, headers=headers, content=body)
    assert answer.status_code == status
    assert words in refusal(answer)
    assert "access-control-allow-origin" not in answer.headers
    assert_alive(client)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:7840", "10.1.2.3:1"]
)
def test_a_host_that_no_other_site_can_have(client, host):
    assert client.get("/healthz", headers={"host": host}).status_code == 200


def test_the_page_and_links_to_it_are_welcome(client):
    own = {"origin": str(client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    assert client.post("/api/predict", json={"pixels": IMAGE}, headers=own).status_code == 200
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200


@pytest.mark.parametrize("announced", [True, False])
def test_a_huge_body_is_refused_and_not_kept(client, monkeypatch, announced):
    monkeypatch.setattr(reading_api, "MOST_PICTURE", 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def parts():
        for _ in range(50):
            yield bytes(2**20)

    content = bytes(50 * 2**20) if announced else parts()
    peak = before + len(content) // 1024 if announced else before
    answer = client.post("/api/predict", content=content, headers=PNG)
    assert answer.status_code == 413
    assert "larger than 1,024 KiB" in refusal(answer)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < peak + 30_000
    assert_alive(client)


def test_few_large_bodies_are_held_at_once(client, monkeypatch):
    monkeypatch.setattr(reading_api, "MOST_LARGE", 2)
    large = head(client, "POST /api/predict", "content-type: image/png", length=2**21)
    with connected(client) as one, connected(client) as another, connected(client) as third:
        for sock in (one, another):
            sock.sendall(large)
        time.sleep(0.3)
        third.sendall(large)
        status, body = answer_of(third)
        assert status == 503
        assert body["error"] == "the server is busy with large bodies; try again in a moment"
        answer = client.post("/api/predict", json={"pixels": IMAGE})
        assert answer.status_code == 200
    time.sleep(0.3)
    with connected(client) as sock:  # the others have ended
        sock.sendall(large)
        sock.sendall(bytes(2**21))
        assert answer_of(sock)[0] == 400
    assert_alive(client)


def test_a_slow_body_is_given_up(client, monkeypatch):
    monkeypatch.setattr(requests, "BODY_SECONDS", 0.3)
    with connected(client) as sock:
        sock.sendall(head(client, "POST /api/predict", "content-type: image/png", length=1000))
        sock.sendall(b"a few bytes")
        status, body = answer_of(sock)
        assert status == 408
        assert "more than 0 seconds" in body["error"]
        assert sock.recv(1) == b""  # closed
    assert_alive(client)


def test_a_body_without_end_is_cut_off(client, monkeypatch):
    """Also after the answer, which comes at once if the body says that it is too long."""
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.5)
    with connected(client) as sock:
        sock.sendall(head(client, "POST /api/predict", "content-type: image/png", length=2**40))
        assert answer_of(sock)[0] == 413
        assert_cut_off(sock, bytes(1000), pause=0.05)
    assert_alive(client)


def test_a_connection_that_ends_within_its_body(client, caplog):
    with connected(client) as sock:
        sock.sendall(head(client, "POST /api/predict", "content-type: image/png", length=1000))
    time.sleep(0.2)
    assert_alive(client)
    assert not caplog.records


@pytest.mark.parametrize("start", [b"", b"GET / HT"])
def test_a_slow_head_is_given_up(client, monkeypatch, start):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with connected(client) as sock:
        sock.sendall(start)
        status, body = answer_of(sock)
        assert status == 408
        assert body == {"error": "the request took too long"}
    assert_alive(client)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # without a host
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST /api/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 1_000_000,
        b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["TLS", "SSH", "no host", "two hosts", "length below 0", "two lengths", "long header",
         "long address", "bad chunk"],
)  # fmt: skip
def test_what_is_not_http(client, sent):
    with connected(client) as sock:
        sock.sendall(sent)
        status, body = answer_of(sock)
        assert status in (400, 405)
        assert body["error"]
    assert_alive(client)


def test_a_thousand_idle_connections(client):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2500:
        if hard != resource.RLIM_INFINITY and hard < 2500:
            pytest.skip("this process may not open 2,500 files, for both ends of the connections")
        resource.setrlimit(resource.RLIMIT_NOFILE, (2500, hard))
    idle = []
    try:
        for _ in range(1000):
            idle.append(connected(client))
        assert_alive(client)
        with connected(client) as sock:  # also for who comes anew
            sock.sendall(head(client, "GET /healthz"))
            assert answer_of(sock) == (200, {"status": "ok"})
        assert len(client.server.server_state.connections) <= connections.MOST
    finally:
        for sock in idle:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_does_not_read_is_disconnected(client, monkeypatch):
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.5)
    request = head(client, "GET /openapi.json")
    with connected(client) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # Hundreds of answers fill the buffers. The server, a thread of this process, waits for
        # each turn of the interpreter while kernels compile on another.
        sock.settimeout(90)
        assert_cut_off(sock, request, seconds=90)
    assert_alive(client)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"layers": [128, 0]}, "hidden must be in [1, 1000000]"),
        ({"layers": [5000]}, "units may be at most 2,048"),
        ({"layers": [8] * 5}, "layers may be at most 4"),
        ({"layers": "128"}, "hidden must be"),
        ({"epochs": 10**5}, "epochs may be at most 1,000"),
        ({"batch_size": 10**6}, "batch_size may be at most 10,000"),
        ({"threads": 4000}, "threads may be at most"),
        ({"learning_rate": -1}, "learning_rate must be above 0"),
        ({"learning_rate": 1e999}, "Infinity"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of"),
        ({"backend": "../../evil"}, "backend must be one of"),
        ({"output": "/tmp/evil"}, "unknown option 'output'"),
        ({"data": "/etc"}, "unknown option 'data'"),
        ({"teacher": ["/etc/passwd"]}, "unknown option 'teacher'"),
        ([1], "must be an object"),
    ],
)
def test_a_training_that_may_not_be(client, body, words):
    content = json.dumps(body).encode()
    answer = client.post("/api/jobs", content=content, headers=JSON)
    assert answer.status_code == 400
    assert words in refusal(answer)
    assert client.get("/api/jobs").json() == {"jobs": []}


@pytest.mark.parametrize("path", ["/api/jobs", "/api/race", "/api/predict"])
def test_a_media_type_in_capitals_is_the_same(client, path):
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post(path, content=b"[]", headers=headers).status_code == 400


@pytest.mark.parametrize("rungs", ["all", [], ["Fortran"], [["NumPy"]], 3, [None]])
def test_a_race_that_may_not_be(client, rungs):
    answer = client.post("/api/race", json={"rungs": rungs})
    assert answer.status_code == 400
    assert refusal(answer).startswith("rungs are some of: pure Python; ")


def test_not_too_many_wait_for_a_thread(client, drawing, monkeypatch):
    monkeypatch.setattr(requests, "MOST_WAITING", 0)
    answer = client.post("/api/predict", content=drawing, headers=PNG)
    assert answer.status_code == 503
    assert refusal(answer) == "the server is busy; try again in a moment"
    assert_alive(client)


def test_a_failure_of_ours_is_told_without_its_details(client, monkeypatch, caplog):
    def fail(model, kernels, image):
        raise RuntimeError("secret")

    monkeypatch.setattr(reading_api, "explain", fail)
    answer = client.post("/api/explain", json={"pixels": IMAGE})
    assert answer.status_code == 500
    assert refusal(answer) == "the server failed; its terminal says more"
    assert_alive(client)
    assert "RuntimeError: secret" in caplog.text


def refusal(answer):
    """The one sentence of an error; nothing else is in the answer."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    told = answer.json()
    assert list(told) == ["error"]
    assert "\n" not in told["error"]
    return told["error"]


def assert_alive(client):
    answer = client.post("/api/predict", json={"pixels": IMAGE})
    assert answer.status_code == 200
    assert sum(answer.json()["probabilities"]) == pytest.approx(1, abs=1e-5)


def assert_cut_off(sock, content, pause=0.0, seconds=20):
    """The server ends a connection on which one goes on sending."""
    ends = time.monotonic() + seconds
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < ends:
            sock.sendall(content)
            time.sleep(pause)
        pytest.fail("the connection lasts")


def connected(client):
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=20)


def head(client, line, *headers, length=None):
    lines = [f"{line} HTTP/1.1", "host: localhost", *headers]
    if length is not None:
        lines.append(f"content-length: {length}")
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def answer_of(sock):
    """The status and the JSON of an answer."""
    file = io.BufferedReader(socket.SocketIO(sock, "r"))
    status = int(file.readline().split()[1])
    headers = dict(
        line.decode().lower().strip().split(": ", 1) for line in iter(file.readline, b"\r\n")
    )
    return status, json.loads(file.read(int(headers["content-length"])))
