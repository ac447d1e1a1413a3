"""The agents' door, by the official `mcp` client, over stdio and streamable HTTP."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.conftest import SKERRY, Program, free_port
from tests.process import running

BOTH = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])


class Agents:
    """The door on a port, and the boxes that agents made."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.url = f"http://127.0.0.1:{port}/mcp"

    def token(self, name: str, scope: str = "own") -> str:
        return self.program.ok("token", "create", name, "--scope", scope).split()[-1]

    @contextlib.asynccontextmanager
    async def http(self, token: str, mode: Any = "legacy") -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode) as agent,
        ):
            yield agent

    @contextlib.asynccontextmanager
    async def stdio(self, token: str, mode: Any = "legacy") -> AsyncIterator[Client]:
        environment = {**os.environ, "SKERRY_URL": self.program.url, "SKERRY_TOKEN": token}
        server = StdioServerParameters(command=SKERRY, args=["mcp"], env=environment)
        async with Client(server, mode=mode) as agent:
            yield agent


@pytest.fixture(scope="module")
def agents(program: Program) -> Iterator[Agents]:
    port = free_port()
    command = [SKERRY, "--url", program.url, "mcp", "--listen", f"127.0.0.1:{port}"]
    with running(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as door:
        assert door.stderr is not None
        assert "agents connect to" in door.stderr.readline()
        yield Agents(program, port)
        door.send_signal(signal.SIGTERM)
        said = door.communicate(timeout=30)[1]
        assert (door.returncode, said) == (128 + signal.SIGTERM, "")


async def ask(agent: Client, tool: str, **arguments: Any) -> Any:
    result = await agent.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def refused(agent: Client, tool: str, **arguments: Any) -> str:
    result = await agent.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    text: Any = result.content[0]
    return text.text


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await holds():
            pass


async def work(agent: Client, name: str) -> None:
    """What an agent does in a day."""
    box = await ask(agent, "create_box", name=name)
    here = {"box": name, "box_id": box["id"]}
    script = "import sys\nprint('hello', sys.argv[1])\nsys.exit(3)\n"
    await ask(agent, "file_write", **here, path="run.py", content=script)
    ran = await ask(agent, "exec", **here, command=["python3", "run.py", "you"])
    assert (ran["exit_code"], ran["stdout"]) == (3, "hello you\n")

    kept = await ask(agent, "checkpoint_create", **here, comment="it works")
    await ask(
        agent, "exec", **here, command=["sh", "-c", "rm run.py; sudo rm -rf /usr/lib/python3*"]
    )
    assert (await ask(agent, "exec", **here, command=["python3", "-c", "import json"]))["exit_code"]
    await ask(agent, "checkpoint_restore", **here, checkpoint=kept["id"])
    told = await ask(agent, "file_read", **here, path="run.py")
    assert told["content"] == script

    command = ["python3", "-u", "-m", "http.server", "8080"]
    await ask(agent, "service_create", **here, service="web", command=command, http_port=8080)
    fetch = [
        "curl",
        "-s",
        "--retry",
        "20",
        "--retry-connrefused",
        "--retry-delay",
        "1",
        "localhost:8080/run.py",
    ]
    assert (await ask(agent, "exec", **here, command=fetch))["stdout"] == script

    async def is_logged() -> bool:
        return "GET /run.py" in (await ask(agent, "service_logs", **here, service="web"))["log"]

    await until(is_logged)
    assert (await ask(agent, "service_stop", **here, service="web"))["state"]["status"] == "stopped"
    await ask(agent, "destroy_box", **here)


@BOTH
@pytest.mark.parametrize("way", ["stdio", "http"])
def test_an_agent_does_a_days_work(agents: Agents, way: str, mode: str) -> None:
    token = agents.token(f"day-{way}-{mode}")

    async def story() -> None:
        async with getattr(agents, way)(token, mode) as agent:
            await work(agent, f"mcp-{way}-{mode}")

    asyncio.run(story())


def test_a_new_box_of_an_old_name_is_not_touched(agents: Agents) -> None:
    token = agents.token("names")

    async def story() -> None:
        async with agents.http(token) as agent:
            old = await ask(agent, "create_box", name="mcp-names")
            await ask(agent, "destroy_box", box="mcp-names", box_id=old["id"])
            new = await ask(agent, "create_box", name="mcp-names")
            for tool, more in (
                ("exec", {"command": ["touch", "/tmp/x"]}), ("destroy_box", {}),
                ("file_write", {"path": "/tmp/x", "content": ""}),
            ):  # fmt: skip
                said = await refused(agent, tool, box="mcp-names", box_id=old["id"], **more)
                assert said.startswith("box_replaced: ")
            listed = await ask(agent, "file_list", box="mcp-names", box_id=new["id"], path="/tmp")
            assert "x" not in {entry["name"] for entry in listed["entries"]}

    asyncio.run(story())


def test_agents_see_only_boxes_of_their_own(agents: Agents, box: str) -> None:
    one, other = agents.token("one"), agents.token("other")

    async def story() -> None:
        async with agents.http(one) as a, agents.stdio(other) as b:
            ids = {
                name: (await ask(agent, "create_box", name=name))["id"]
                for agent, name in ((a, "mcp-one"), (b, "mcp-other"))
            }
            for agent, own, foreign in ((a, "mcp-one", "mcp-other"), (b, "mcp-other", "mcp-one")):
                listed = await ask(agent, "list_boxes")
                assert [each["name"] for each in listed["boxes"]] == [own]
                by_id = {"box": foreign, "box_id": ids[foreign], "command": ["true"]}
                assert (await refused(agent, "exec", **by_id)).startswith("box_replaced: ")
                for name in (foreign, box):
                    said = await refused(agent, "exec", box=name, command=["true"])
                    assert said.startswith("box_not_found: ")
                    assert (await refused(agent, "create_box", name=name)).startswith(
                        "name_taken: "
                    )

    asyncio.run(story())


@pytest.mark.parametrize("way", ["stdio", "http"])
def test_a_cancelled_call_ends_all_that_it_started(agents: Agents, box: str, way: str) -> None:
    command = ["sh", "-c", "sleep 4321 & (setsid sleep 4322 &) ; sleep 4323"]

    async def story() -> None:
        async with getattr(agents, way)(agents.program.token) as agent:
            calling = asyncio.create_task(ask(agent, "exec", box=box, command=command))

            async def sleeping() -> int:
                told = await ask(agent, "exec", box=box, command=["pgrep", "-c", "-x", "sleep"])
                return int(told["stdout"])

            async def all_run() -> bool:
                return await sleeping() == 3

            async def none_run() -> bool:
                return await sleeping() == 0

            await until(all_run)
            calling.cancel()
            await asyncio.wait([calling])
            await until(none_run)

    asyncio.run(story())


def test_a_command_does_not_outlive_a_server_that_is_killed(agents: Agents, box: str) -> None:
    environment = {
        **os.environ,
        "SKERRY_URL": agents.program.url,
        "SKERRY_TOKEN": agents.program.token,
    }
    start = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    }
    arguments = {"box": box, "command": ["sleep", "4324"]}
    messages = (
        {"id": 1, "method": "initialize", "params": start},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "exec", "arguments": arguments}},
    )

    async def runs() -> bool:
        sessions = agents.program.json("sessions", box)
        return any(each["command"] == "sleep 4324" and each["is_active"] for each in sessions)

    async def has_ended() -> bool:
        return not await runs()

    command = [SKERRY, "mcp"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with running(subprocess.Popen(command, env=environment, **pipes)) as server:
        assert server.stdin is not None
        for message in messages:
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        server.stdin.flush()
        asyncio.run(until(runs))
        server.kill()
        asyncio.run(until(has_ended))


def test_a_flood_of_output_is_bounded_and_its_end_is_told(agents: Agents, box: str) -> None:
    flood = "seq 1 3000000; echo the end >&2"

    async def story() -> None:
        heard: list[float] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            assert (total, message is None) == (None, False)
            heard.append(progress)

        async with agents.http(agents.program.token) as agent:
            result = await agent.call_tool(
                "exec", {"box": box, "command": ["sh", "-c", flood]}, progress_callback=on_progress
            )
            told: Any = result.structured_content
            assert len(told["stdout"]) < 33 << 10
            assert told["stdout"].startswith("1\n2\n")
            assert told["stdout"].endswith("\n3000000\n")
            assert (told["stderr"], told["exit_code"]) == ("the end\n", 0)
            assert told["left_out_bytes"] > 20 << 20
        assert heard == sorted(heard)

    asyncio.run(story())


def test_what_is_written_to_stdin_that_is_no_message_ends_nothing(
    agents: Agents, tmp_path: Path
) -> None:
    lines = [
        b"", b"{", b"\xff\xff", b"[]", b'{"jsonrpc": "2.0", "id": 1, "method": "nothing"}', b"x" * 100_000,
        b'{"jsonrpc": "2.0", "id": 9, "method": "ping"}',
    ]  # fmt: skip

    command = [SKERRY, "--data", str(agents.program.data), "mcp"]
    answers: list[Any] = []
    with running(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(b"\n".join(lines) + b"\n")
        agent.stdin.flush()
        for line in agent.stdout:
            answers.append(json.loads(line))  # nothing else is printed
            if answers[-1].get("id") == 9:
                agent.stdin.close()

    assert agent.returncode == 0
    assert "result" in next(each for each in answers if each.get("id") == 9)
