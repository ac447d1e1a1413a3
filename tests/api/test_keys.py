"""Calls about keys, and who may make them on which socket."""

import http.client
import json
import socket
from typing import Any

import pytest

from tests.accounts.test_public_key import line
from tests.api.conftest import Served
from tests.api.test_calls import call

KEY = line("ssh-ed25519", bytes(32), comment="laptop")


class _Local(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("skerry", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def local(
    served: Served, method: str, path: str, body: Any = None, *, authorization: str | None = None
) -> tuple[int, Any]:
    """Call on the machine's own socket."""
    connection = _Local(str(served.socket_path))
    headers = {} if authorization is None else {"Authorization": authorization}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        data = response.read()
    finally:
        connection.close()
    return response.status, json.loads(data) if data else None


def test_a_key_from_adding_to_deleting(served: Served) -> None:
    status, made, _ = call(served, "POST", "/v1/keys", {"public_key": KEY}, scope="write")
    assert (status, made["name"], made["account"], made["type"]) == (
        201, "laptop", "write", "ssh-ed25519",
    )  # fmt: skip

    assert call(served, "GET", "/v1/keys", scope="write")[1] == [made]
    assert call(served, "GET", "/v1/keys", scope="admin")[1] == []
    assert local(served, "GET", "/v1/keys")[1] == [made]
    query = "?fingerprint=" + made["fingerprint"].replace("+", "%2B")
    assert local(served, "GET", f"/v1/keys{query}")[1] == [made]
    assert local(served, "GET", "/v1/keys?fingerprint=SHA256:none")[1] == []
    assert call(served, "DELETE", "/v1/keys?key=laptop", scope="admin")[0] == 404
    assert call(served, "DELETE", "/v1/keys?key=laptop", scope="write")[0] == 204


@pytest.mark.parametrize(
    ("method", "path", "body", "scope", "status", "code"),
    [
        ("POST", "/v1/keys", {"public_key": KEY}, "read", 403, "scope_missing"),
        ("POST", "/v1/keys", {"public_key": KEY}, None, 401, "no_token"),
        ("POST", "/v1/keys", {"public_key": "ssh-rsa AAAA"}, "write", 400, "bad_key"),
        ("POST", "/v1/keys", {"public_key": "x" * 20_000}, "write", 400, "bad_body"),
        ("POST", "/v1/keys", {}, "write", 400, "bad_body"),
        ("DELETE", "/v1/keys?key=none", None, "write", 404, "key_not_found"),
        ("DELETE", "/v1/keys", None, "write", 400, "bad_query"),
        ("POST", "/v1/keys/pass", {"public_key": KEY}, "admin", 404, "no_such_call"),
    ],
)
def test_what_is_refused(
    served: Served, method: str, path: str, body: Any, scope: str | None, status: int, code: str
) -> None:
    got, told, _ = call(served, method, path, body, scope=scope)

    assert (got, told["error"]) == (status, code)


def test_a_pass_is_given_on_the_machines_own_socket_and_good_on_both(served: Served) -> None:
    call(served, "POST", "/v1/keys", {"public_key": KEY}, scope="write")

    status, given = local(served, "POST", "/v1/keys/pass", {"public_key": KEY})

    assert (status, given["account"]) == (201, "write")
    served.tokens["pass"] = given["pass"]
    made = call(served, "POST", "/v1/boxes", {"name": "dev"}, scope="pass")
    assert made[0] == 201
    assert call(served, "GET", "/v1/tokens", scope="pass")[0] == 403
    bearer = f"Bearer {given['pass']}"
    assert local(served, "GET", "/v1/boxes/dev", authorization=bearer)[0] == 200
    assert local(served, "GET", "/v1/tokens", authorization=bearer)[0] == 403
    assert local(served, "POST", "/v1/keys/pass", {"public_key": KEY})[1]["pass"] != given["pass"]


def test_who_sends_something_wrong_on_the_machines_own_socket_is_not_the_administrator(
    served: Served,
) -> None:
    for wrong in ("", "Bearer", "Bearer wrong", "Basic YTpi"):
        assert local(served, "GET", "/v1/tokens", authorization=wrong)[0] == 401
    assert local(served, "GET", "/v1/tokens")[0] == 200


def test_a_pass_for_a_key_of_nobody_is_not_given(served: Served) -> None:
    status, told = local(served, "POST", "/v1/keys/pass", {"public_key": KEY})

    assert (status, told["error"]) == (404, "key_not_found")
