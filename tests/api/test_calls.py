"""Calls of the API, over real sockets."""

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.api.conftest import Served


def call(
    served: Served, method: str, path: str, body: Any = None, *, scope: str | None = "admin"
) -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=20)
    headers = {"Authorization": f"Bearer {served.tokens[scope]}"} if scope else {}
    text = body if isinstance(body, bytes) or body is None else json.dumps(body)
    try:
        connection.request(method, path, text, headers)
        response = connection.getresponse()
        data = response.read()
    finally:
        connection.close()
    kind = response.headers.get("content-type", "")
    decoded: Any = data
    if kind == "application/json":
        decoded = json.loads(data)
    if kind == "application/x-ndjson":
        decoded = [json.loads(line) for line in data.splitlines()]
    return response.status, decoded, {k.lower(): v for k, v in response.headers.items()}


def test_a_box_from_create_to_purge(served: Served) -> None:
    status, made, headers = call(served, "POST", "/v1/boxes", {"name": "dev", "labels": ["x"]})
    assert (status, made["name"], made["status"]) == (201, "dev", "running")
    assert headers["sprite-version"] == "0.0.1-rc46"

    status, listed, _ = call(served, "GET", "/v1/sprites?prefix=d&max_results=100")
    assert [b["name"] for b in listed["sprites"]] == ["dev"]
    assert (listed["running"], listed["org"]["running"], listed["has_more"]) == (1, 1, False)

    status, done, _ = call(served, "POST", "/v1/boxes/dev/run", {"cmd": ["echo", "hi"]})
    assert (status, done["stdout"], done["exit_code"]) == (200, "hi\n", 0)

    status, lines, _ = call(served, "POST", "/v1/boxes/dev/checkpoint", {"comment": "c"})
    assert (status, lines[-1]["type"], lines[-1]["result"]) == (200, "complete", {"id": "v1"})
    status, lines, _ = call(served, "POST", "/v1/boxes/dev/checkpoints/v1/restore")
    assert lines[-1]["type"] == "complete"
    status, kept, _ = call(served, "GET", "/v1/boxes/dev/checkpoints?includeAuto=true")
    assert [c["id"] for c in kept] == ["v1", "auto-2"]

    status, forks, _ = call(served, "POST", "/v1/boxes/dev/fork", {"name": "f", "count": 2})
    assert [f["name"] for f in forks] == ["f-0", "f-1"]

    assert call(served, "DELETE", "/v1/boxes/dev")[0] == 204
    assert call(served, "GET", "/v1/boxes/dev")[0] == 404
    assert call(served, "POST", "/v1/trash/dev/undo")[1]["name"] == "dev"
    assert call(served, "DELETE", "/v1/boxes/dev?purge=true")[0] == 204
    assert call(served, "GET", "/v1/trash")[1] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nothing", None, 404, "no_such_call"),
        ("PATCH", "/v1/boxes", None, 405, "bad_method"),
        ("POST", "/v1/boxes", b"{", 400, "bad_body"),
        ("POST", "/v1/boxes", b"[" * 50_000, 400, "bad_body"),
        ("POST", "/v1/boxes", b" " * 70_000, 413, "body_too_large"),
        ("POST", "/v1/boxes", {"name": "A"}, 400, "bad_name"),
        ("POST", "/v1/boxes", {"name": "a" * 64}, 400, "bad_name"),
        ("POST", "/v1/boxes", {"image": "none"}, 404, "image_not_found"),
        ("POST", "/v1/boxes", {"limits": {"cpus": -1}}, 400, "bad_body"),
        ("GET", "/v1/boxes/none", None, 404, "box_not_found"),
        ("GET", "/v1/boxes/none%2F..", None, 404, "no_such_call"),
        ("GET", "/v1/boxes?max_results=x", None, 400, "bad_query"),
        ("POST", "/v1/boxes/none/run", {"cmd": []}, 400, "bad_body"),
        ("POST", "/v1/boxes/none/run", {"cmd": ["a\0b"]}, 400, "bad_command"),
        ("POST", "/v1/boxes/none/checkpoints/../restore", None, 400, "bad_name"),
        ("GET", "/v1/sprites/none/control", None, 404, "no_such_call"),
        ("GET", "/v1/sprites/none/policy/privileges", None, 501, "not_built"),
        ("GET", "/v1/sprites/none/services", None, 404, "box_not_found"),
    ],
)
def test_what_is_wrong_is_told_in_one_shape(
    served: Served, method: str, path: str, body: Any, status: int, code: str
) -> None:
    answered, error, _ = call(served, method, path, body)

    assert (answered, error["error"]) == (status, code)
    assert error["message"].endswith(".")


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        (None, "GET", "/v1/boxes", 401),
        ("read", "GET", "/v1/boxes", 200),
        ("read", "POST", "/v1/boxes", 403),
        ("write", "GET", "/v1/tokens", 403),
        ("admin", "GET", "/v1/tokens", 200),
        (None, "GET", "/healthz", 200),
        (None, "GET", "/openapi.json", 200),
    ],
)
def test_a_token_may_do_what_its_scope_says(
    served: Served, scope: str | None, method: str, path: str, status: int
) -> None:
    assert call(served, method, path, scope=scope)[0] == status


def test_a_token_is_told_once_and_revoked(served: Served) -> None:
    _, made, _ = call(served, "POST", "/v1/tokens", {"name": "ci", "scopes": ["read"]})
    served.tokens["new"] = made["token"]
    assert call(served, "GET", "/v1/boxes", scope="new")[0] == 200
    _, listed, _ = call(served, "GET", "/v1/tokens")
    assert made["token"] not in json.dumps(listed)

    assert call(served, "DELETE", f"/v1/tokens/{made['id']}")[0] == 204

    assert call(served, "GET", "/v1/boxes", scope="new")[0] == 401


def test_the_unix_socket_is_the_administrators(served: Served) -> None:
    assert served.socket_path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(served.socket_path))
        client.sendall(b"GET /v1/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(65536):
            answer += data

    assert answer.startswith(b"HTTP/1.1 200")


def raw(served: Served, data: bytes, *, half_close: bool = False) -> bytes:
    host, _, port = urlsplit(served.url).netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(data)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return answer


def test_headers_that_do_not_come_are_not_waited_for(served: Served) -> None:
    assert raw(served, b"GET /v1/boxes HTTP/1.1\r\nHost: x\r\n").startswith(b"HTTP/1.1 408")


def test_headers_without_end_are_refused(served: Served) -> None:
    data = b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * served.limits.header_bytes_max

    assert raw(served, data).startswith(b"HTTP/1.1 431")


def test_what_is_no_http_is_refused(served: Served) -> None:
    assert raw(served, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_files_are_written_and_read_in_parts(served: Served) -> None:
    call(served, "POST", "/v1/boxes", {"name": "dev"})
    status, whole, _ = call(served, "GET", "/v1/boxes/dev/fs/read?path=/etc/base&asRoot=true")

    assert (status, whole) == (200, b"built\n")


def test_the_document_describes_every_call(served: Served) -> None:
    _, document, _ = call(served, "GET", "/openapi.json")

    names = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert document["openapi"] == "3.1.0"
    assert len(names) == len(set(names)) > 40


def test_what_is_not_understood_destroys_nothing(served: Served) -> None:
    call(served, "POST", "/v1/boxes", {"name": "dev"})
    assert call(served, "DELETE", "/v1/boxes/dev?purge=maybe")[0] == 400
    assert call(served, "GET", "/v1/boxes/dev")[0] == 200


def test_a_newer_sprites_client_may_say_more_than_is_known(served: Served) -> None:
    body = {"name": "dev", "hue": "blue"}
    assert call(served, "POST", "/v1/boxes", body)[0] == 400
    assert call(served, "POST", "/v1/sprites", body)[0] == 201


@pytest.mark.parametrize("prefix", ["%ff", "%f0%9f%92%a9", "%00"])
def test_no_box_has_a_name_that_is_no_name(served: Served, prefix: str) -> None:
    status, page, _ = call(served, "GET", f"/v1/boxes?prefix={prefix}")
    assert (status, page["boxes"]) == (200, [])


def test_a_variable_with_an_equals_sign_in_its_name_is_refused(served: Served) -> None:
    call(served, "POST", "/v1/boxes", {"name": "dev"})
    body = {"cmd": ["true"], "env": {"A=B": "c"}}
    status, told, _ = call(served, "POST", "/v1/boxes/dev/run", body)
    assert (status, told["error"]) == (400, "bad_environment")
