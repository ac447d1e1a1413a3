"""The tools, by an agent over HTTP, on a simulated machine."""

import asyncio
import dataclasses
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import Client, MCPError

from skerry import boxes
from skerry.host.seam import Exit, Output
from skerry.mcp import commands, server
from skerry.mcp.advice import ADVICE
from skerry.mcp.server import TOOLS
from tests.api.site import ScriptedLink
from tests.mcp.door import HANDSHAKE, MODERN, Door, tell

BOTH = pytest.mark.parametrize("mode", [HANDSHAKE, MODERN])


async def ask(agent: Client, tool: str, **arguments: Any) -> Any:
    """Call a tool, which must succeed; return what it answers."""
    result = await agent.call_tool(tool, arguments)
    assert not result.is_error, result.content
    text: Any = result.content[0]
    assert json.loads(text.text) == result.structured_content
    return result.structured_content


async def refused(agent: Client, tool: str, **arguments: Any) -> str:
    """Call a tool, which must fail; return what it says."""
    result = await agent.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    text: Any = result.content[0]
    return text.text


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; the test's own limit ends what never does."""
    while not holds():
        await asyncio.sleep(0)


async def prints(link: ScriptedLink) -> AsyncIterator[Output | Exit]:
    """Print what was said on stdin, and fail."""
    await link.stdin_ended.wait()
    yield Output("stdout", link.stdin.upper())
    yield Output("stderr", b"oh\n")
    yield Exit(3)


async def floods(_link: ScriptedLink) -> AsyncIterator[Output | Exit]:
    """Print more than anybody reads."""
    yield Output("stdout", b"begin\n")
    for _ in range(100):
        yield Output("stdout", b"x" * 10_000)
    yield Output("stdout", b"\nend\n")
    yield Exit(0)


@BOTH
def test_an_agent_makes_a_box_and_looks_at_it(tmp_path: Path, mode: str) -> None:
    async def story(door: Door) -> None:
        async with door.agent(mode=mode) as agent:
            made = await ask(agent, "create_box", name="web", labels=["x"])
            found = await ask(agent, "get_box", box="web", box_id=made["id"])
            listed = await ask(agent, "list_boxes", label="x")

            assert (found["id"], found["status"]) == (made["id"], "running")
            assert [box["name"] for box in listed["boxes"]] == ["web"]

    tell(tmp_path, story)


@BOTH
def test_a_command_tells_exit_code_and_both_outputs(tmp_path: Path, mode: str) -> None:
    async def story(door: Door) -> None:
        door.site.machine.script = prints
        async with door.agent(mode=mode) as agent:
            told = await ask(
                agent,
                "exec",
                box="dev",
                command=["cat", "a b"],
                stdin="he",
                env={"A": "1"},
                dir="/tmp",
            )

        spec = door.site.machine.specs[-1]
        assert (told["exit_code"], told["stdout"], told["stderr"]) == (
            3,
            "HE",
            "oh\n",
        )
        assert (spec.argv, spec.directory) == ([b"cat", b"a b"], b"/tmp")
        assert spec.env[b"A"] == b"1"

    tell(tmp_path, story)


def test_of_a_flood_beginning_and_end_are_told(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        door.site.machine.script = floods
        async with door.agent() as agent:
            told = await ask(agent, "exec", box="dev", command=["x"], output_bytes_max=1000)

        assert told["stdout"].startswith("begin\n")
        assert told["stdout"].endswith("\nend\n")
        assert "bytes are left out here" in told["stdout"]
        assert told["left_out_bytes"] == 1_000_011 - 1000

    tell(tmp_path, story)


@BOTH
def test_who_asks_for_progress_hears_how_far_it_is(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_TELL_EVERY_S", 0)

    async def story(door: Door) -> None:
        heard: list[tuple[float, str | None]] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            assert total is None
            heard.append((progress, message))

        door.site.machine.script = prints
        arguments = {"box": "dev", "command": ["x"], "stdin": "one\ntwo\n"}
        async with door.agent(mode=mode) as agent:
            await agent.call_tool("exec", arguments, progress_callback=hear)
            await until(lambda: len(heard) == 2)

        assert heard == [(8.0, "TWO"), (11.0, "oh")]

    tell(tmp_path, story)


def test_a_command_that_runs_too_long_is_ended_and_told(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.agent() as agent:
            told = await ask(agent, "exec", box="dev", command=["x"], timeout_seconds=0.05)

        assert (told["exit_code"], told["timed_out"]) == (None, True)
        assert door.site.machine.ended

    tell(tmp_path, story)


def test_no_call_is_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = dataclasses.replace(TOOLS["exec"], seconds_max=0.05)
    monkeypatch.setitem(TOOLS, "exec", hasty)

    async def story(door: Door) -> None:
        async with door.agent() as agent:
            said = await refused(agent, "exec", box="dev", command=["x"])

        assert said.startswith("call_timed_out: exec took longer than 0.05 s")
        assert len(door.site.machine.ended) == len(door.site.machine.links)

    tell(tmp_path, story)


@BOTH
def test_a_cancelled_call_ends_its_command(tmp_path: Path, mode: str) -> None:
    async def story(door: Door) -> None:
        async with door.agent(mode=mode) as agent:
            calling = asyncio.create_task(ask(agent, "exec", box="dev", command=["x"]))
            await until(lambda: bool(door.site.machine.links))

            calling.cancel()
            await asyncio.wait([calling])
            await until(lambda: bool(door.site.machine.ended))

            assert door.site.machine.ended[0].startswith(door.site.last.state.session_id)
            assert (await ask(agent, "list_boxes"))["boxes"]

    tell(tmp_path, story)


def test_an_agent_that_leaves_ends_what_it_runs(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.agent() as agent:
            calling = asyncio.create_task(ask(agent, "exec", box="dev", command=["x"]))
            await until(lambda: bool(door.site.machine.links))
        await asyncio.wait([calling])
        calling.exception()

        await until(lambda: bool(door.site.machine.ended))

    tell(tmp_path, story)


def test_files_are_written_and_read_in_parts(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.agent() as agent:
            path = "/tmp/é/file"
            await ask(agent, "file_write", box="dev", path=path, content="aé€b", mode="0600")
            first = await ask(agent, "file_read", box="dev", path=path, bytes_max=2)
            rest = await ask(
                agent, "file_read", box="dev", path=path, offset_bytes=first["next_offset_bytes"]
            )
            listed = await ask(agent, "file_list", box="dev", path="/tmp/é")
            await ask(agent, "file_delete", box="dev", path="/tmp", recursive=True)
            gone = await refused(agent, "file_read", box="dev", path=path)

        assert first["content"] + rest["content"] == "aé€b"
        assert (first["content"], rest["next_offset_bytes"]) == ("a", None)
        assert [(e["name"], e["size"], e["mode"]) for e in listed["entries"]] == [
            ("file", 7, "0600")
        ]
        assert gone.startswith("no_such_path: ")

    tell(tmp_path, story)


def test_bytes_that_are_no_text_are_base64_both_ways(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.agent() as agent:
            await ask(agent, "file_write", box="dev", path="/x", content="//79", encoding="base64")
            told = await ask(agent, "file_read", box="dev", path="/x")
            bad = await refused(
                agent, "file_write", box="dev", path="/x", content="%", encoding="base64"
            )

        assert (told["content"], told["encoding"]) == ("//79", "base64")
        assert bad.startswith("bad_content: ")

    tell(tmp_path, story)


def test_checkpoints_forks_and_the_way_back(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.agent() as agent:
            made = await ask(agent, "checkpoint_create", box="dev", comment="good")
            restored = await ask(agent, "checkpoint_restore", box="dev", checkpoint=made["id"])
            listed = await ask(agent, "checkpoint_list", box="dev", automatic=True)
            fork = await ask(agent, "fork_box", box="dev", name="copy", checkpoint="v1")
            await ask(agent, "destroy_box", box="copy", box_id=fork["id"])
            back = await ask(agent, "undo_destroy", box="copy", new_name="again")

        assert {each["id"] for each in listed["checkpoints"]} == {made["id"], restored["kept"]}
        assert (back["id"], back["name"], back["forked_from"]) == (fork["id"], "again", "dev@v1")

    tell(tmp_path, story)


def test_a_policy_is_replaced_and_a_hold_taken(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        rules = [{"domain": "example.com", "action": "allow"}]
        async with door.agent() as agent:
            told = await ask(agent, "policy_network_update", box="dev", rules=rules)
            await ask(agent, "hold", box="dev", seconds=60)
            why = await ask(agent, "why", box="dev")
            bad = await refused(agent, "policy_network_update", box="dev", rules=[{"domain": "-"}])

        assert told["rules"] == rules
        assert any("agent" in reason for reason in why["reasons"])
        assert bad.startswith("bad_policy: ")

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "tool", sorted(name for name in TOOLS if "box_id" in TOOLS[name].arguments.__struct_fields__)
)
def test_no_tool_touches_another_box_of_the_same_name(tmp_path: Path, tool: str) -> None:
    more: dict[str, Any] = {
        "command": ["true"], "path": "/x", "content": "", "checkpoint": "v1", "service": "web",
        "rules": [], "seconds": 1, "session_id": "ses_0123456789abcdef",
    }  # fmt: skip

    async def story(door: Door) -> None:
        async with door.agent() as agent:
            old = await ask(agent, "create_box", name="web")
            await ask(agent, "destroy_box", box="web", box_id=old["id"])
            new = await ask(agent, "create_box", name="web")
            needed = {
                name: more[name] for name in TOOLS[tool].arguments.__struct_fields__ if name in more
            }

            gone = await refused(agent, tool, box="web", box_id=old["id"], **needed)
            other = await refused(agent, tool, box="dev", box_id=new["id"], **needed)

        assert (gone[:14], other[:14]) == ("box_replaced: ", "box_replaced: ")
        assert door.site.context.find("web").box_id == new["id"]
        assert not door.site.machine.specs

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("get_box", {}, "bad_arguments"),
        ("get_box", {"box": "../../etc"}, "bad_arguments"),
        ("get_box", {"box": "dev", "bax": 1}, "bad_arguments"),
        ("get_box", {"box": "nothing"}, "box_not_found"),
        ("get_box", {"box": ["dev"]}, "bad_arguments"),
        ("get_box", {"box": "dev", "box_id": "box_x/../../dev"}, "bad_arguments"),
        ("exec", {"box": "dev", "command": []}, "bad_arguments"),
        ("exec", {"box": "dev", "command": [""]}, "no_command"),
        ("exec", {"box": "dev", "command": ["a\0b"]}, "bad_command"),
        ("exec", {"box": "dev", "command": ["x"], "env": {"A=B": "1"}}, "bad_environment"),
        ("exec", {"box": "dev", "command": ["x"], "timeout_seconds": 1e9}, "bad_arguments"),
        ("exec", {"box": "dev", "command": ["x"], "timeout_seconds": float("1e400")}, "bad_arguments"),
        ("exec_kill", {"box": "dev", "session_id": "../x"}, "bad_arguments"),
        ("file_read", {"box": "dev", "path": "/nothing"}, "no_such_path"),
        ("file_read", {"box": "dev", "path": "a\0b"}, "bad_path"),
        ("checkpoint_restore", {"box": "dev", "checkpoint": "../v1"}, "bad_arguments"),
        ("checkpoint_restore", {"box": "dev", "checkpoint": "v9"}, "checkpoint_not_found"),
        ("service_start", {"box": "dev", "service": ".."}, "bad_arguments"),
        ("create_box", {"name": "dev"}, "name_taken"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_to_the_model(
    tmp_path: Path, tool: str, arguments: dict[str, Any], says: str
) -> None:
    async def story(door: Door) -> None:
        async with door.agent() as agent:
            assert (await refused(agent, tool, **arguments)).partition(": ")[0] == says

    tell(tmp_path, story)


def test_an_error_says_which_tool_helps(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.agent() as agent:
            said = await refused(agent, "get_box", box="nothing")

        assert said.splitlines()[1] == ADVICE["box_not_found"]

    tell(tmp_path, story)


@pytest.mark.parametrize("code", ADVICE)
def test_advice_is_about_errors_and_tools_that_exist(code: str) -> None:
    source = Path(server.__file__).parents[1]
    texts = (path.read_text() for path in source.rglob("*.py") if path.name != "advice.py")

    assert any(f'"{code}"' in text for text in texts)
    assert {*re.findall(r"[a-z]+_[a-z_]+", ADVICE[code])} <= {*TOOLS}


def test_a_tool_that_is_none_is_an_error_of_the_protocol(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.agent() as agent:
            with pytest.raises(MCPError, match="There is no tool 'format_disk'"):
                await agent.call_tool("format_disk", {})

    tell(tmp_path, story)


def test_more_calls_than_allowed_are_refused_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_CALLS_AT_ONCE_MAX", 3)

    async def story(door: Door) -> None:
        async with door.agent() as agent, door.agent("admin") as other:
            calls = [
                asyncio.create_task(agent.call_tool("exec", {"box": "dev", "command": ["x"]}))
                for _ in range(4)
            ]
            done, running = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            (refusal,) = [task.result() for task in done]
            assert "too_many_calls" in str(refusal.content)
            assert (await ask(other, "list_boxes"))["boxes"]
            for task in running:
                task.cancel()
            await asyncio.wait(running)

    tell(tmp_path, story)


def test_an_agent_confined_to_its_own_boxes_sees_no_other(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        body = b'{"name": "agent", "scopes": ["own"]}'
        made = await door.site.call("POST", "/v1/tokens", body)
        door.site.tokens["own"] = made.json()["token"]
        async with door.agent("own") as agent:
            await ask(agent, "create_box", name="mine")
            listed = await ask(agent, "list_boxes")
            foreign = await refused(agent, "exec", box="dev", command=["x"])
            missing = await refused(agent, "exec", box="none", command=["x"])

        assert [box["name"] for box in listed["boxes"]] == ["mine"]
        assert foreign.replace("'dev'", "'none'") == missing

    tell(tmp_path, story)


def test_a_token_that_may_only_read_changes_nothing(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.agent("read") as agent:
            assert (await ask(agent, "get_box", box="dev"))["name"] == "dev"
            for tool in ("destroy_box", "stop_box", "checkpoint_create"):
                assert (await refused(agent, tool, box="dev")).startswith("scope_missing: ")
        assert boxes.page(door.site.context, "", 9)

    tell(tmp_path, story)


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_what_a_tool_tells_of_itself_is_a_schema_that_teaches(tool: str) -> None:
    shape = TOOLS[tool].shape()

    for schema in (shape.input_schema, shape.output_schema or {}):
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
    assert shape.input_schema["additionalProperties"] is False
    assert shape.description
    assert shape.annotations is not None
    assert not (shape.annotations.read_only_hint and shape.annotations.destructive_hint)


def test_the_document_names_every_tool() -> None:
    document = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text()

    assert set(
        re.findall(
            r"`([a-z]+_[a-z_]+|exec|why|hold)`", document.split("## Tools")[1].split("Each has")[0]
        )
    ) == {*TOOLS}
