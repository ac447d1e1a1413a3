"""What a box may ask through its own socket, that nothing else answers there, and for whom it does."""

import asyncio
import contextlib
import dataclasses
import os
import re
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from skerry import api, boxes
from skerry.api.edge import paths_of
from skerry.api.inside import CALLS
from skerry.boxes.upkeep import fill_ready
from tests.api.site import Answer, Site, parsed, tell

ROOT = Path(__file__).parents[2]
VALUES = {"service": "web", "checkpoint": "v1", "hold": "agent", "name": "dev"}


@dataclass
class Inside:
    """A site whose boxes have their sockets."""

    site: Site
    folder: Path

    async def call(
        self, method: str, path: str, body: bytes = b"", box: str = "dev", headers: str = ""
    ) -> Answer:
        """Make one call from inside a box."""
        head = f"{method} {path} HTTP/1.1\r\nHost: any\r\nConnection: close\r\n{headers}"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        return parsed(await self.raw(head.encode() + body, box))

    async def raw(self, data: bytes, box: str = "dev") -> bytes:
        """Send data from inside a box; return all that comes until the other side closes."""
        directory = os.open(self.directory(box), os.O_PATH)
        try:  # a socket's path may have 107 bytes
            path = f"/proc/self/fd/{directory}/api.sock"
            reader, writer = await asyncio.open_unix_connection(path)
        finally:
            os.close(directory)
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.close()

    def directory(self, box: str) -> Path:
        """Return what a box sees as /.skerry."""
        return self.folder / "inside" / self.site.context.find(box).box_id


@contextlib.asynccontextmanager
async def doors(site: Site) -> AsyncGenerator[None]:
    """Have the sockets in boxes served."""
    task = asyncio.create_task(api.InsideDoors(site.services).run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def inside(folder: Path, story: Callable[[Inside], Awaitable[None]]) -> None:
    """Run story in a served API whose box has its socket."""

    async def whole(site: Site) -> None:
        async with doors(site):
            await story(Inside(site, folder))

    tell(folder, whole)


def test_a_box_is_told_of_itself(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        await boxes.create(it.site.context, boxes.CreateSpec(name="second"))
        for name in ("dev", "second"):
            told = (await it.call("GET", "/info", box=name)).json()
            box = it.site.context.find(name)
            assert (told["name"], told["id"], told["sprite_id"]) == (name, box.box_id, box.box_id)

    inside(tmp_path, story)


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_of_the_table_is_there(tmp_path: Path, method: str, path: str) -> None:
    async def story(it: Inside) -> None:
        answer = await it.call(method, path.format_map(VALUES), b"{}")
        assert answer.status != 405
        assert answer.status != 404 or answer.json()["error"] != "no_such_call"

    inside(tmp_path, story)


def test_the_document_lists_the_calls_there_are() -> None:
    text = (ROOT / "images/inside/docs/api.md").read_text()
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")][1:]
    told: set[tuple[str, str]] = set()
    for cell in cells:
        methods: list[str] = []
        first = ""
        for word in re.findall(r"[^\s,]+", cell):
            if word.startswith((".../", "/")):
                first = first or word
                path = word if word.startswith("/") else first.rpartition("/")[0] + word[3:]
                told |= {(method, path) for method in methods}
            else:
                methods = [*methods, word] if not methods or methods[-1].isupper() else [word]

    assert told == set(CALLS)


def test_no_call_from_outside_answers_inside(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        for operation in api.operations():
            for path in paths_of(operation.path):
                there = re.sub(r"\{([a-z_]+)(:path)?\}", lambda m: VALUES.get(m[1], "x"), path)
                answer = await it.call(operation.method, there)
                assert (answer.status, answer.json()["error"]) == (404, "no_such_call"), path

    # A call a time, since a box that asks more at once than it may is kept waiting.
    inside(tmp_path, story)


TRICKS = [
    "//info", "/v1//info", "/info/", "/v1/info/", "/V1/INFO", "/", "*", "/v1/../v1/info", "/./info",
    "/v1/services/../boxes/dev", "/v1/services/%2e%2e/boxes", "/v1/services/..%2f..%2fboxes%2fdev",
    "/v1/boxes/dev/services", "/v1/sprites/dev/services", "/%76%31/boxes", "/info;x=1", "/info%00",
    "http://any/v1/boxes/dev", "/v1/tasks/a%2fb", "/v1/services/web/logs/x", "/v1/info%20",
]  # fmt: skip


@pytest.mark.parametrize("path", TRICKS)
def test_no_way_of_writing_leads_elsewhere(tmp_path: Path, path: str) -> None:
    async def story(it: Inside) -> None:
        answer = await it.call("GET", path)
        assert answer.status in (400, 404), answer.body

    inside(tmp_path, story)


def test_what_names_another_box_is_not_looked_at(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        await boxes.create(it.site.context, boxes.CreateSpec(name="second"))
        other = it.site.context.find("second").box_id
        headers = f"Authorization: Bearer {it.site.tokens['admin']}\r\nX-Skerry-Box: {other}\r\n"
        for path in ("http://second/info", f"/info?name=second&id={other}", f"/info#{other}"):
            told = await it.call("GET", path, headers=headers)
            assert told.json()["name"] == "dev"

    inside(tmp_path, story)


DURATIONS: list[tuple[Any, int]] = [
    ('"1h"', 201), ("3600", 201), ('"30s"', 201), ('"59m60s"', 201), ("3601", 400), ('"61m"', 400),
    ('"365d"', 400), ('"0"', 400), ("0", 400), ("-5", 400), ('"soon"', 400), ("1e9", 400),
    ("true", 400), ("null", 400), ("99999999999999999999", 400), ('""', 400),
]  # fmt: skip


@pytest.mark.parametrize(("expire", "status"), DURATIONS)
def test_a_box_holds_itself_for_an_hour_at_most(tmp_path: Path, expire: str, status: int) -> None:
    async def story(it: Inside) -> None:
        body = f'{{"name": "agent", "expire": {expire}}}'.encode()
        assert (await it.call("POST", "/v1/tasks", body)).status == status
        renewed = await it.call("PUT", "/v1/tasks/agent", f'{{"expire": {expire}}}'.encode())
        assert renewed.status == (200 if status == 201 else status)

    inside(tmp_path, story)


def test_a_hold_is_taken_told_renewed_and_ended(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        assert (await it.call("POST", "/v1/tasks", b'{"name": "a"}')).status == 201
        assert (await it.call("POST", "/v1/tasks", b'{"name": "a"}')).status == 409
        assert (await it.call("PUT", "/v1/tasks/b", b'{"expire": 60}')).status == 200
        names = [each["name"] for each in (await it.call("GET", "/v1/tasks")).json()]
        assert sorted(names) == ["a", "b"]
        assert "it is held by 'a'" in (await it.call("GET", "/v1/why")).json()["reasons"]
        assert (await it.call("DELETE", "/v1/tasks/a")).status == 204
        assert (await it.call("GET", "/v1/tasks/a")).status == 404

    inside(tmp_path, story)


def test_policy_and_checkpoints_are_shown_and_not_changed(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        for path in ("/policy/network", "/v1/policy/network", "/v1/checkpoints/v1", "/info"):
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                assert (await it.call(method, path, b"{}")).status == 405
        assert (await it.call("GET", "/policy/network")).json() == {"rules": []}

    inside(tmp_path, story)


def test_a_box_makes_a_checkpoint_and_goes_back_to_it(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        made = await it.call("POST", "/v1/checkpoint", b'{"comment": "x"}')
        assert (made.status, b'"complete"' in made.body) == (200, True)
        first = it.site.context.running[it.site.context.find("dev").box_id]
        raw = b"POST /v1/checkpoints/v1/restore HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        told = await it.raw(raw)
        assert told.startswith(b"HTTP/1.1 202 "), "and is cut with the box that asked"
        await boxes.settled(it.site.context, 10**10)
        assert it.site.context.running[it.site.context.find("dev").box_id] != first
        assert (await it.call("GET", "/info")).json()["name"] == "dev"
        assert (await it.call("POST", "/v1/checkpoints/v9/restore")).status == 404

    inside(tmp_path, story)


def test_the_socket_goes_with_its_box_and_comes_with_it(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        directory = it.directory("dev")
        await boxes.stop(it.site.context, "dev")
        with pytest.raises(ConnectionRefusedError):
            await it.call("GET", "/info")
        await boxes.start(it.site.context, "dev")
        assert (await it.call("GET", "/info")).status == 200
        assert directory == it.directory("dev")
        await boxes.destroy(it.site.context, "dev")

    inside(tmp_path, story)


def test_a_box_made_ready_ahead_of_time_has_its_socket_when_it_is_taken(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        context = it.site.context
        context.rules = dataclasses.replace(context.rules, ready_boxes=1)
        await fill_ready(context)
        ready = context.ready[0].box_id
        await boxes.create(context, boxes.CreateSpec(name="taken"))
        assert (await it.call("GET", "/info", box="taken")).json()["id"] == ready

    inside(tmp_path, story)


def test_another_daemon_answers_on_the_same_socket(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        it = Inside(site, tmp_path)
        for _ in range(2):
            async with doors(site):
                assert (await it.call("GET", "/info")).status == 200
            with pytest.raises(ConnectionRefusedError):
                await it.call("GET", "/info")

    tell(tmp_path, story)


def test_a_box_without_room_for_its_socket_gets_it_at_its_next_turn(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        directory = it.directory("dev")
        await boxes.stop(it.site.context, "dev")
        real, it.site.machine.listen_inside = it.site.machine.listen_inside, _full
        await boxes.start(it.site.context, "dev")
        it.site.machine.listen_inside = real
        await boxes.start(it.site.context, "dev")
        assert (await it.call("GET", "/info")).status == 200
        assert (directory / "api.sock").is_socket()

    inside(tmp_path, story)


def _full(box_id: str) -> socket.socket:
    raise OSError(28, "No space left on device")


def test_a_web_socket_is_a_request_as_others(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
        for path, status in (("/info", 200), ("/v1/boxes/dev/exec", 404)):
            answer = await it.call("GET", path, headers=upgrade.replace("Upg", "Connection: upgrade\r\nUpg", 1))  # fmt: skip
            assert answer.status == status

    inside(tmp_path, story)


def test_a_large_body_is_refused(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        body = b'{"name": "' + b"x" * 300_000 + b'"}'
        assert (await it.call("POST", "/v1/tasks", body)).status == 413

    inside(tmp_path, story)


def test_an_endless_body_is_not_heard_out(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        head = (
            b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello"
        )
        assert (await it.raw(head)).startswith(b"HTTP/1.1 404 ")

    inside(tmp_path, story)


def test_no_more_lines_of_a_log_are_told_than_a_box_may_ask_for(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        answer = await it.call("GET", "/v1/services/web/logs?lines=1001")
        assert (answer.status, "/.skerry/logs" in answer.json()["message"]) == (400, True)

    inside(tmp_path, story)


def test_a_box_with_many_connections_is_refused_more_and_others_are_not(tmp_path: Path) -> None:
    async def story(it: Inside) -> None:
        await boxes.create(it.site.context, boxes.CreateSpec(name="second"))
        async with asyncio.TaskGroup() as group:
            idle = [group.create_task(it.raw(b"GET /info HTTP/1.1\r\n")) for _ in range(16)]
            await asyncio.sleep(0.05)
            assert (await it.call("GET", "/info")).status == 503
            assert (await it.call("GET", "/info", box="second")).status == 200
            for task in idle:
                task.cancel()

    inside(tmp_path, story)
