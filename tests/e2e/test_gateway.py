"""Web addresses of real boxes: who gets in, what wakes them, what comes through and how."""

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from tests.e2e.conftest import Program

# Tells what it was sent, keeps streams open, and speaks enough of WebSocket to say it back.
SERVER = """
import base64, hashlib, http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_GET(self):
        if self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"data: first\\n\\n")
            self.rfile.read(1)
            return
        if self.headers.get("Upgrade") == "websocket":
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            self.send_header("Sec-WebSocket-Accept", accept)
            self.end_headers()
            while True:
                kind, size = self.rfile.read(2)
                mask = self.rfile.read(4)
                data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(size & 127)))
                self.wfile.write(bytes([kind, len(data)]) + data)
                if kind & 15 == 8:
                    self.close_connection = True
                    return
        self.answer(json.dumps({"path": self.path, "headers": dict(self.headers)}).encode())
    do_HEAD = do_GET
    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

Answer = tuple[int, dict[str, str], bytes]


def ask(
    program: Program, host: str, path: str = "/", method: str = "GET", body: bytes | None = None,
    **headers: str,
) -> Answer:  # fmt: skip
    """Send one request to a web address; header names have `_` for `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", program.web_port, timeout=60)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, {"Host": host, **fields})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
    finally:
        connection.close()


def until(program: Program, box: str, wanted: str) -> None:
    """Wait until a box has a status; pytest's own limit ends a wait in vain."""
    while program.json("info", box)["status"] != wanted:
        pass


def serve(program: Program, box: str, port: int) -> None:
    """Have a box answer on a port."""
    program.ok(
        "service", "create", box, f"on-{port}", "--cmd", "python3", "--arg=-c", f"--arg={SERVER}",
        f"--arg={port}", *(["--http-port", "8080"] if port == 8080 else []),
    )  # fmt: skip
    while program.json("service", "info", box, f"on-{port}")["state"]["status"] != "running":
        pass


@pytest.fixture(scope="module")
def web(program: Program) -> Iterator[str]:
    """The name of a public box that answers on port 8080, and is frozen soon."""
    program.ok("create", "web", "--warm-after", "1s", "--cold-after", "1h")
    serve(program, "web", 8080)
    program.ok("url", "web", "--public")
    yield "web"
    program.run("destroy", "web", "--yes", "--purge")


@pytest.fixture
def private(program: Program, web: str) -> Iterator[str]:
    """The same box, while it is private."""
    program.ok("url", web, "--private")
    yield web
    program.ok("url", web, "--public")


def test_a_request_reaches_the_box_with_what_it_needs_to_know(program: Program, web: str) -> None:
    status, _, body = ask(
        program, "web.localhost", "/a?b=c", Cookie="a=b", X_Forwarded_For="6.6.6.6"
    )
    told = json.loads(body)

    assert (status, told["path"]) == (200, "/a?b=c")
    assert told["headers"]["Host"] == "web.localhost"
    assert told["headers"]["X-Forwarded-For"] == "127.0.0.1"
    assert told["headers"]["X-Forwarded-Proto"] == "http"
    assert told["headers"]["Cookie"] == "a=b"
    assert program.json("url", web)["url"] == f"http://web.localhost:{program.web_port}"


def test_a_private_box_opens_by_token_only_and_never_sees_it(
    program: Program, private: str
) -> None:
    assert ask(program, "web.localhost")[0] == 401
    assert ask(program, "web.localhost", Authorization="Bearer skerry_x_y")[0] == 401
    status, _, body = ask(program, "web.localhost", Authorization=f"Bearer {program.token}")

    assert status == 200
    assert "Authorization" not in json.loads(body)["headers"]


def test_a_browser_logs_in_and_stays_logged_in(program: Program, private: str) -> None:
    host = f"web.localhost:{program.web_port}"
    status, headers, _ = ask(program, host, "/x", Accept="text/html")
    to_login = urlsplit(headers["location"])
    assert (status, to_login.netloc) == (303, f"login.localhost:{program.web_port}")
    target = f"{to_login.path}?{to_login.query}"
    status, _, page = ask(program, to_login.netloc, target, Accept="text/html")
    assert (status, b'type="password"' in page) == (200, True)
    form = f"name=web.localhost&to=/x&token={program.token}".encode()
    status, headers, _ = ask(
        program, to_login.netloc, to_login.path, "POST", form,
        Content_Type="application/x-www-form-urlencoded",
    )  # fmt: skip
    back = urlsplit(headers["location"])
    assert (status, back.netloc) == (303, f"web.localhost:{program.web_port}")
    status, headers, _ = ask(program, back.netloc, f"{back.path}?{back.query}")
    assert (status, headers["location"]) == (303, "/x")
    assert "HttpOnly" in headers["set-cookie"]

    cookie = headers["set-cookie"].partition(";")[0]
    status, _, body = ask(program, "web.localhost", Cookie=f"{cookie}; own=1")
    assert (status, json.loads(body)["headers"]["Cookie"]) == (200, "own=1")
    elsewhere = {"Cookie": cookie, "Origin": "http://evil.localhost"}
    assert ask(program, "web.localhost", "/", "POST", b"x", **elsewhere)[0] == 401


def test_a_share_link_opens_a_private_box_until_it_is_ended(program: Program, private: str) -> None:
    link = program.json("share", private, "--for", "1h")["url"]
    path = link.partition(f":{program.web_port}")[2]
    status, headers, _ = ask(program, "web.localhost", path)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"].partition(";")[0]
    assert ask(program, "web.localhost", Cookie=cookie)[0] == 200

    program.ok("share", private, "--end-all")
    assert ask(program, "web.localhost", Cookie=cookie)[0] == 401
    assert ask(program, "web.localhost", path)[0] == 401


def test_a_revoked_token_opens_nothing(program: Program, private: str) -> None:
    made = program.json("token", "create", "passing")
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert ask(program, "web.localhost", **bearer)[0] == 200
    program.ok("token", "revoke", made["id"])

    assert ask(program, "web.localhost", **bearer)[0] == 401


def test_other_ports_and_own_domains_lead_to_the_box(program: Program, web: str) -> None:
    serve(program, web, 3000)
    program.ok("url", web, "--add-domain", "shop.example.com")

    assert ask(program, "web--3000.localhost")[0] == 200
    assert ask(program, "Shop.Example.com:80")[0] == 200
    assert ask(program, "web--3001.localhost")[0] in (502, 503), "503 soon after a cold start"
    program.ok("url", web, "--remove-domain", "shop.example.com")
    assert ask(program, "shop.example.com")[0] == 404
    refused = program.run("url", web, "--add-domain", "other.localhost")
    assert b"those of boxes themselves" in refused.stderr


@pytest.mark.parametrize("asleep", ["warm", "cold"])
def test_a_request_wakes_a_box_and_keeps_its_body(program: Program, web: str, asleep: str) -> None:
    if asleep == "cold":
        program.ok("stop", web)
    until(program, web, asleep)
    body = os.urandom(3 << 20)

    assert ask(program, "web.localhost", "/", "POST", body)[::2] == (200, body)


def test_many_who_wait_for_a_box_are_all_let_through(program: Program, web: str) -> None:
    program.ok("stop", web)
    found: list[int] = []
    callers = [
        threading.Thread(target=lambda: found.append(ask(program, "web.localhost")[0]))
        for _ in range(40)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert found == [200] * 40


def test_what_needs_no_box_wakes_none(program: Program, web: str) -> None:
    program.ok("stop", web)
    preflight = {"Origin": "http://x", "Access_Control_Request_Method": "PUT"}

    assert ask(program, "web.localhost", User_Agent="kube-probe/1.30")[0] == 200
    assert ask(program, "web.localhost", "/", "OPTIONS", **preflight)[0] == 204
    assert ask(program, "web.localhost", "/.well-known/skerry/health")[0] == 200
    assert ask(program, "nobody.localhost")[0] == 404
    assert program.json("info", web)["status"] == "cold"


def test_a_websocket_comes_through_and_keeps_its_box_awake(program: Program, web: str) -> None:
    other = "drowsy-neighbour"
    address = f"ws://web.localhost:{program.web_port}/"
    with (
        socket.create_connection(("127.0.0.1", program.web_port)) as made,
        connect(address, sock=made, compression=None, ping_interval=None) as talk,
    ):
        talk.send("hello")
        assert talk.recv() == "hello"
        program.ok("create", other, "--warm-after", "1s")
        until(program, other, "warm")
        program.ok("destroy", other, "--yes", "--purge")

        assert "an HTTP request or WebSocket is open" in program.ok("why", web)
        talk.send("still there")
        assert talk.recv() == "still there"
    until(program, web, "warm")


def test_events_arrive_as_they_are_sent(program: Program, web: str) -> None:
    with socket.create_connection(("127.0.0.1", program.web_port), timeout=60) as made:
        made.sendall(b"GET /events HTTP/1.1\r\nHost: web.localhost\r\n\r\n")
        with made.makefile("rb") as answer:
            while answer.readline() != b"data: first\n":
                pass
            while "an HTTP request or WebSocket is open" not in program.ok("why", web):
                pass


def test_curl_gets_large_files_and_continues(program: Program, web: str, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(64 << 20))
    command = [
        "curl", "--silent", "--fail", "--resolve", f"web.localhost:{program.web_port}:127.0.0.1",
        "--header", "Expect: 100-continue", "--data-binary", f"@{large}",
        f"http://web.localhost:{program.web_port}/",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)

    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(large.read_bytes()).digest()


def test_a_box_that_is_destroyed_while_a_request_is_open_ends_it(program: Program) -> None:
    program.ok("create", "brief")
    program.ok("url", "brief", "--public")
    serve(program, "brief", 8080)
    with socket.create_connection(("127.0.0.1", program.web_port), timeout=60) as made:
        made.sendall(b"GET /events HTTP/1.1\r\nHost: brief.localhost\r\n\r\n")
        assert made.recv(1 << 16).startswith(b"HTTP/1.1 200")
        program.ok("destroy", "brief", "--yes", "--purge")
        piece = b"more"
        while piece and not piece.endswith(b"0\r\n\r\n"):
            piece = made.recv(1 << 16)

    assert ask(program, "brief.localhost")[0] == 404


def test_a_box_without_a_listener_is_told_apart_from_a_slow_one(program: Program, box: str) -> None:
    program.ok("url", box, "--public")
    status, _, body = ask(program, f"{box}.localhost")

    assert (status, json.loads(body)["error"]) == (502, "port_closed")


class Load:
    """Requests one after another on connections of their own, until told to stop."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.found: list[Any] = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self.stopped.is_set():
            try:
                self.found.append(ask(self.program, "web.localhost")[0])
            except (OSError, http.client.HTTPException) as error:
                self.found.append(error)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()

    def more(self, count: int) -> None:
        """Wait for as many more answers."""
        wanted = len(self.found) + count
        while len(self.found) < wanted:
            pass


def gateway_pid(program: Program) -> int:
    return int((program.data / "gateway" / "lock").read_text())


def test_the_gateway_killed_under_load_loses_what_was_under_way_alone(
    program: Program, web: str
) -> None:
    before = gateway_pid(program)
    with Load(program) as load:
        load.more(20)
        os.kill(before, signal.SIGKILL)
        load.more(50)

    failures = [each for each in load.found if each != 200]
    assert len(failures) <= 1, failures
    assert gateway_pid(program) != before


def test_traffic_goes_on_while_the_daemon_is_dead_and_the_gateway_stays(
    program: Program, web: str
) -> None:
    before = gateway_pid(program)
    with Load(program) as load:
        load.more(20)
        program.kill()
        load.more(50)
        program.start()
        load.more(20)

    assert set(load.found) == {200}
    assert gateway_pid(program) == before
    until(program, web, "warm")
    assert ask(program, "web.localhost")[0] == 200
