"""Tokens of the scope `own`: to them no box is there but those that they made themselves."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from skerry import client
from skerry.api.app import SOCKETS, operations
from skerry.api.edge import paths_of
from skerry.api.routing import Operation
from skerry.base import NotFound
from tests.api.site import Answer, Site, parsed, tell

FOREIGN = "dev"  # the administrator's
HEEDING = {
    "create_box", "list_boxes", "list_images", "list_trash", "undo_destroy", "purge_box",
}  # fmt: skip


def paths_to(path: str, box: str) -> list[str]:
    """Return where a path of the table is served, with something in every place."""
    parts = path.replace("{name}", box).split("/")
    return paths_of("/".join("x" if part.startswith("{") else part for part in parts))


async def new_token(site: Site, name: str, scope: str = "own") -> None:
    """Make a token, to be used as `scope=name`."""
    body = json.dumps({"name": name, "scopes": [scope]}).encode()
    answer = await site.call("POST", "/v1/tokens", body)
    assert answer.status == 201, answer.body
    site.tokens[name] = answer.json()["token"]


async def new_box(site: Site, name: str, scope: str) -> dict[str, Any]:
    """Make a box as somebody."""
    body = json.dumps({"name": name}).encode()
    answer = await site.call("POST", "/v1/boxes", body, scope=scope)
    assert answer.status == 201, answer.body
    return answer.json()


async def ask(site: Site, operation: Operation, box: str) -> list[Answer]:
    """Make a call as the agent, at every path that it has."""
    paths = paths_to(operation.path, box)
    return [await site.call(operation.method, path, b"", scope="agent") for path in paths]


async def knock(site: Site, path: str, scope: str) -> Answer:
    """Ask for a WebSocket; return what came instead of one."""
    key = base64.b64encode(b"0123456789abcdef").decode()
    lines = [
        f"GET {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {site.tokens[scope]}",
        "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]  # fmt: skip
    return parsed(await site.raw("\r\n".join([*lines, "", ""]).encode()))


def test_every_call_on_a_foreign_box_is_as_if_there_were_none(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")
        box_id = site.context.find(FOREIGN).box_id
        nothing = "x"
        for operation in (each for each in operations() if "{name}" in each.path):
            missing = await ask(site, operation, nothing)
            for which in (FOREIGN, box_id):
                for answer, none in zip(await ask(site, operation, which), missing, strict=True):
                    expected = 403 if operation.scope == "admin" else 404
                    assert answer.status == expected, operation.name
                    said = answer.body.replace(which.encode(), nothing.encode())
                    assert which == box_id or said == none.body, operation.name
        assert site.context.find(FOREIGN).box_id == box_id

    tell(tmp_path, story)


def test_every_call_on_an_own_box_is_let_through(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")
        for number, operation in enumerate(e for e in operations() if "{name}" in e.path):
            box = await new_box(site, f"own-{number}", "agent")
            for which in (box["id"], box["name"]):
                path = paths_to(operation.path, which)[0]
                answer = await site.call(operation.method, path, scope="agent")
                said: Any = answer.json() if b'"error"' in answer.body else {}
                if operation.name == "destroy_box":
                    assert answer.status == 204
                    break
                assert said.get("error") != "box_not_found", (operation.name, said)
                assert (answer.status == 403) == (operation.scope == "admin"), operation.name
                assert box["id"] not in said.get("message", ""), "an error says the name"
            await site.call("DELETE", f"/v1/boxes/own-{number}?purge=true", scope="agent")

    tell(tmp_path, story)


def test_calls_about_no_box_are_refused_unless_they_heed_the_account(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")
        table = [each for each in operations() if "{name}" not in each.path and each.scope]
        assert {each.name for each in table if each.heeds_account} == HEEDING
        for operation in table:
            assert not operation.local or operation.scope == "admin"
            if not operation.heeds_account and not operation.local:
                for answer in await ask(site, operation, ""):
                    assert (answer.status, answer.json()["error"]) == (403, "scope_missing")

    tell(tmp_path, story)


def test_a_name_in_a_path_is_always_that_of_a_box() -> None:
    for each in operations():
        assert "{name}" not in each.path or each.path.startswith("/boxes/{name}"), each.path


def test_websockets_of_a_foreign_box_are_not_there(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")
        for each in SOCKETS:
            assert each.path.startswith("/boxes/{name}")
            for which in (FOREIGN, site.context.find(FOREIGN).box_id):
                for path in paths_to(each.path, which):
                    answer = await knock(site, path, "agent")
                    assert (answer.status, answer.json()["error"]) == (404, "box_not_found")

    tell(tmp_path, story)


def test_the_administrators_socket_confines_a_token_as_well(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")
        async with client.connect(f"unix:{site.socket_path}", site.tokens["agent"]) as cloud:
            assert await cloud.boxes() == []
            with pytest.raises(NotFound):
                await cloud.box(FOREIGN).info()

    tell(tmp_path, story)


def test_an_image_does_not_tell_the_box_that_it_was_saved_from(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")
        await site.call("POST", f"/v1/boxes/{FOREIGN}/save", b'{"image": "kept"}')

        told = {}
        for scope in ("read", "agent"):
            images = (await site.call("GET", "/v1/images", scope=scope)).json()
            told[scope] = {image["name"]: image["source"] for image in images}

        assert told["read"] == {"base": "recipe base", "kept": f"box {FOREIGN}"}
        assert told["agent"] == {"base": "recipe", "kept": "box"}

    tell(tmp_path, story)


def test_who_is_found_by_id_is_told_by_name(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")
        box = await new_box(site, "own", "agent")

        answer = await site.call("POST", "/v1/boxes/own/restart", scope="agent")

        told = answer.json()
        assert (told["sprite_name"], told["machine_id"]) == ("own", box["id"])

    tell(tmp_path, story)


def test_listings_and_counts_are_of_own_boxes(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")
        await new_token(site, "other")
        for name, scope in (("a", "agent"), ("b", "other"), ("c", "agent")):
            await new_box(site, name, scope)

        listed = (await site.call("GET", "/v1/boxes?max_results=1", scope="agent")).json()
        rest = (await site.call("GET", "/v1/sprites?continuation_token=a", scope="agent")).json()

        names = [box["name"] for box in (*listed["boxes"], *rest["sprites"])]
        assert (names, listed["has_more"], rest["has_more"]) == (["a", "c"], True, False)
        assert (listed["running"], listed["org"]["running"]) == (2, 2)

    tell(tmp_path, story)


def test_the_trash_holds_own_boxes_alone(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")
        own = await new_box(site, "box", "agent")
        await site.call("DELETE", "/v1/boxes/box", scope="agent")
        foreign = await new_box(site, "box", "write")
        await site.call("DELETE", "/v1/boxes/box", scope="write")

        trash = (await site.call("GET", "/v1/trash", scope="agent")).json()
        for method, path in (("POST", "/undo"), ("DELETE", "")):
            answer = await site.call(method, f"/v1/trash/{foreign['id']}{path}", scope="agent")
            assert (answer.status, answer.json()["error"]) == (404, "not_in_trash")
        back = await site.call("POST", "/v1/trash/box/undo", scope="agent")

        assert [box["id"] for box in trash] == [own["id"]]
        assert back.json()["id"] == own["id"]  # although the other was destroyed later

    tell(tmp_path, story)


def test_a_taken_name_is_told_without_more(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")

        answer = await site.call("POST", "/v1/boxes", b'{"name": "dev"}', scope="agent")

        assert answer.status == 409
        assert set(answer.json()) == {"error", "message", "code"}

    tell(tmp_path, story)


def test_a_domain_of_a_foreign_box_is_taken_by_nobody_in_particular(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")
        await new_box(site, "own", "agent")
        body = b'{"domains": ["app.example.com"]}'
        assert (await site.call("PUT", "/v1/boxes/dev/url", body)).status == 200

        answer = await site.call("PUT", "/v1/boxes/own/url", body, scope="agent")

        assert (answer.status, answer.json()["error"]) == (409, "domain_taken")
        assert "dev" not in answer.json()["message"]

    tell(tmp_path, story)


def test_forks_are_own_boxes_and_tokens_of_one_name_share_them(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await new_token(site, "agent")
        await new_box(site, "one", "agent")
        await site.call("POST", "/v1/boxes/one/fork", b'{"name": "two"}', scope="agent")
        await new_token(site, "agent")  # as when a token is replaced by a new one

        answer = await site.call("GET", "/v1/boxes", scope="agent")

        assert [box["name"] for box in answer.json()["boxes"]] == ["one", "two"]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("name", "scopes", "error"),
    [
        ("agent", ["own", "read"], "bad_scope"),
        ("agent", ["admin", "own"], "bad_scope"),
        ("local", ["own"], "bad_name"),
    ],
)
def test_own_stands_alone(tmp_path: Path, name: str, scopes: list[str], error: str) -> None:
    async def story(site: Site) -> None:
        body = json.dumps({"name": name, "scopes": scopes}).encode()

        answer = await site.call("POST", "/v1/tokens", body)

        assert (answer.status, answer.json()["error"]) == (400, error)

    tell(tmp_path, story)
