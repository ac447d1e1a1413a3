"""What a box sees of Skerry: its socket, its command, its documents; and what it cannot do there."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, SKERRY, Program
from tests.process import running

INSIDE = ROOT / "images" / "inside"
DOCUMENTS = [*sorted(INSIDE.rglob("*.md")), INSIDE / "llm.txt"]
CURL = ("curl", "-sS", "--unix-socket", "/.skerry/api.sock")


def within(program: Program, box: str, *command: str) -> str:
    """Run a command in a box, which must succeed; return what it printed."""
    return program.ok("exec", box, "--", *command)


def asked(program: Program, box: str, path: str, *options: str) -> Any:
    """Return what the socket in a box answers, decoded."""
    return json.loads(within(program, box, *CURL, *options, f"http://any.host{path}"))


def status(program: Program, box: str, path: str, *options: str) -> str:
    """Return the status of what the socket in a box answers."""
    form = ("-o", "/dev/null", "-w", "%{http_code}")
    return within(program, box, *CURL, *form, *options, f"http://any.host{path}")


def until(program: Program, box: str, condition: str) -> None:
    """Wait in a box until a condition of the shell holds."""
    within(program, box, "sh", "-c", f"until {condition}; do sleep 0.02; done")


@pytest.fixture
def other(program: Program, box: str) -> Iterator[str]:
    """The name of a second box."""
    name = f"{box}-other"
    program.ok("create", name)
    yield name
    program.run("destroy", name, "--yes", "--purge")


def box_id(program: Program, box: str) -> str:
    return program.json("info", box)["id"]


def directory_of(program: Program, box: str) -> Path:
    """Return what a box sees as /.skerry, where it lies on the host."""
    return Path("/run/skerry") / program.instance / "inside" / box_id(program, box)


def test_a_box_is_told_who_it_is_by_every_name_of_the_socket(program: Program, box: str) -> None:
    told = asked(program, box, "/info")

    assert (told["name"], told["sprite_name"]) == (box, box)
    assert told["id"] == told["sprite_id"] == box_id(program, box)
    assert told["url"] == program.json("info", box)["url"]
    assert asked(program, box, "/v1/info") == told
    for command in (
        "skerry-env",
        "sprite-env",
        "/.sprite/bin/sprite-env",
        "/.skerry/bin/skerry-env",
    ):
        assert json.loads(within(program, box, command, "info")) == told
    assert json.loads(within(program, box, "bash", "-lc", "sudo skerry-env info")) == told


def blocks_of(document: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_the_documents_works(program: Program, box: str, document: Path) -> None:
    blocks = blocks_of(document)

    assert blocks
    for block in blocks:
        if "restore" in block:
            program.run("exec", box, "--", "sh", "-eu", "-c", block)  # it ends with its box
            continue
        within(program, box, "sh", "-eu", "-c", block)


def test_agents_find_where_to_read_on(program: Program, box: str) -> None:
    for agent in ("claude", "codex", "cursor", "gemini"):
        skill = within(program, box, "sh", "-c", f"cat ~/.{agent}/skills/skerry/SKILL.md")
        assert skill.startswith("---\nname: skerry\ndescription: ")
        for block in re.findall(r"^```sh\n(.*?)^```", skill, re.MULTILINE | re.DOTALL):
            within(program, box, "sh", "-eu", "-c", block)
    for name in ("AGENTS.md", ".claude/CLAUDE.md", ".codex/AGENTS.md", ".gemini/GEMINI.md"):
        assert "/.skerry/llm.txt" in within(program, box, "sh", "-c", f"cat ~/{name}")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/boxes", "/v1/boxes/{other}", "/v1/boxes/{other}/services", "/v1/sprites/{other}",
        "/v1/sprites/{box}/exec", "/v1/boxes/{box}/exec", "/v1/tokens", "/v1/usage", "/openapi.json",
        "/healthz", "//info", "/v1//info", "/v1/services/../boxes", "/v1/services/%2e%2e/%2e%2e",
        "/v1/services/..%2f..%2fboxes%2f{other}", "/v1/tasks/..%2f..%2fwhy",
        "/v1/info/", "/V1/info", "/v1/services/../../v1/boxes/{other}/why", "/", "/v1",
    ],
)  # fmt: skip
def test_nothing_else_answers(program: Program, box: str, other: str, path: str) -> None:
    there = path.format(box=box, other=other)

    assert status(program, box, there, "--path-as-is") == "404"


def test_the_whole_address_of_another_in_the_request_line_leads_nowhere(
    program: Program, box: str, other: str
) -> None:
    options = ("--path-as-is", "--request-target", f"http://skerry/v1/boxes/{other}")
    assert status(program, box, "/", *options) == "404"
    options = ("--request-target", "http://elsewhere/v1/info", "-H", f"Host: {other}")
    assert asked(program, box, "/", *options)["name"] == box


def test_what_is_not_for_a_box_to_change_stays(program: Program, box: str) -> None:
    rules = json.dumps({"rules": []})
    for method in ("POST", "PUT", "DELETE"):
        assert status(program, box, "/policy/network", "-X", method, "-d", rules) == "405"
    program.ok("checkpoint", "create", box)
    assert status(program, box, "/v1/checkpoints/v1", "-X", "DELETE") == "405"
    assert status(program, box, "/v1/info", "-H", "Upgrade: websocket", "-H", "Connection: upgrade") == "200"  # fmt: skip


def test_a_hold_from_inside_keeps_a_box_awake_and_requests_do_not(
    program: Program, box: str
) -> None:
    program.ok("update", box, "--warm-after", "1s")
    within(program, box, "skerry-env", "holds", "create", "agent", "--for", "10m")
    assert "it is held by 'agent'" in program.ok("why", box)
    assert status(program, box, "/v1/tasks", "-d", '{"name": "agent"}') == "409"
    assert status(program, box, "/v1/tasks", "-d", '{"name": "long", "expire": "61m"}') == "400"
    assert status(program, box, "/v1/tasks", "-d", '{"name": "hour", "expire": 3600}') == "201"
    for name in ("agent", "hour"):
        within(program, box, "skerry-env", "holds", "delete", name)
    asking = (
        "import http.client, socket, time\n"
        "while True:\n"
        "    s = socket.socket(socket.AF_UNIX); s.connect('/.skerry/api.sock')\n"
        "    s.sendall(b'GET /v1/why HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); s.recv(65536)\n"
        "    s.close(); time.sleep(0.2)"
    )
    program.ok("exec", "--detach", box, "--", "python3", "-c", asking)

    while program.json("info", box)["status"] != "warm":
        pass


def test_a_box_restores_itself(program: Program, box: str) -> None:
    within(program, box, "sh", "-c", "skerry-env checkpoints create && touch ~/later")
    program.run("exec", box, "--", "skerry-env", "checkpoints", "restore", "v1")

    until(program, box, "! [ -e ~/later ]")
    assert within(program, box, "ls", "/.skerry/checkpoints").split() == ["auto-2", "v1"]
    assert asked(program, box, "/info")["name"] == box


def test_a_killed_daemon_comes_back_to_the_same_box(program: Program, box: str) -> None:
    with running(
        subprocess.Popen(
            [SKERRY, "--data", str(program.data), "exec", "--stdin", box, "--", "sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    ) as shell:
        assert shell.stdin
        assert shell.stdout
        before = within(program, box, "stat", "-c", "%y", "/proc/1")
        program.kill()
        shell.kill()
    program.start()

    assert asked(program, box, "/info")["name"] == box
    assert within(program, box, "stat", "-c", "%y", "/proc/1") == before
    assert json.loads(within(program, box, "skerry-env", "why"))["status"] == "running"


def test_the_command_waits_for_a_daemon_that_comes_back(program: Program, box: str) -> None:
    waiting = (
        "touch /tmp/waits; while [ -e /tmp/waits ]; do skerry-env info >/tmp/told || "
        "{ touch /tmp/failed; break; }; done"
    )
    program.ok("exec", "--detach", box, "--", "sh", "-c", waiting)
    until(program, box, "[ -s /tmp/told ]")
    program.kill()
    program.start()

    within(program, box, "sh", "-c", "rm /tmp/waits; sleep 0.5; ! [ -e /tmp/failed ]")


def test_a_fork_is_told_of_itself(program: Program, box: str) -> None:
    name = f"{box}-fork"
    program.ok("fork", box, name)
    try:
        told, first = asked(program, name, "/info"), asked(program, box, "/info")
        assert (told["name"], told["id"]) == (name, box_id(program, name))
        assert told["id"] != first["id"]
        mounts = within(program, name, "cat", "/proc/self/mountinfo")
        assert told["id"] in mounts
        assert first["id"] not in mounts, "nothing of the one is to be seen from the other"
    finally:
        program.ok("destroy", name, "--yes", "--purge")


ATTACKS = {
    "remove the socket": "rm -f /.skerry/api.sock",
    "replace a document": "echo x >/.skerry/llm.txt",
    "rename the socket": "mv /.skerry/api.sock /.skerry/old",
    "put a file there": "touch /.skerry/mine",
    "own the directory": "chown 0 /.skerry",
    "open it to all": "chmod 0777 /.skerry",
    "close the socket": "chmod 0 /.skerry/api.sock",
    "change the command": "echo x >/.skerry/bin/skerry-env",
    "change the policy": "echo '{}' >/.skerry/policy/network.json",
    "forge a log": "echo x >/.skerry/logs/services/web.log",
    "mark a file": "setfattr -n user.x -v y /.skerry/llm.txt",
    "link a file out": "ln /.skerry/llm.txt /.skerry/other",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
@pytest.mark.parametrize("first", ["true", "mount -o remount,rw,bind /.skerry"])
def test_root_in_a_box_cannot_change_what_it_is_shown(
    program: Program, box: str, attack: str, first: str
) -> None:
    host = directory_of(program, box)
    before = sorted((p.relative_to(host), p.lstat().st_mode) for p in host.rglob("*"))

    within(program, box, "sudo", "sh", "-c", f"{first}; {attack} 2>/dev/null; true")

    assert sorted((p.relative_to(host), p.lstat().st_mode) for p in host.rglob("*")) == before
    assert asked(program, box, "/info")["name"] == box


def test_a_box_that_undoes_its_mounts_harms_itself_alone_and_gets_them_back(
    program: Program, box: str, other: str
) -> None:
    undo = "umount -l /.skerry; rm -rf /.skerry/* /.sprite; ln -s /etc /.sprite; ! [ -e /.skerry/llm.txt ]"
    within(program, box, "sudo", "sh", "-c", undo)

    assert asked(program, other, "/info")["name"] == other
    program.ok("stop", box)
    assert asked(program, box, "/info")["name"] == box


def test_a_flood_from_one_box_leaves_the_others_served(
    program: Program, box: str, other: str
) -> None:
    flood = (
        "import socket, threading\n"
        "def ask():\n"
        "    while True:\n"
        "        s = socket.socket(socket.AF_UNIX)\n"
        "        try:\n"
        "            s.connect('/.skerry/api.sock')\n"
        "            s.sendall(b'GET /v1/services HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' * 50)\n"
        "        except OSError: pass\n"
        "        s.close()\n"
        "[threading.Thread(target=ask).start() for _ in range(50)]\n"
    )
    program.ok("exec", "--detach", box, "--", "python3", "-c", flood)

    for _ in range(20):
        assert asked(program, other, "/info")["name"] == other
    assert program.json("info", box)["status"] == "running"
    within(program, box, "pkill", "python3")
    assert asked(program, box, "/info")["name"] == box


def test_too_much_is_refused(program: Program, box: str) -> None:
    large = "head -c 300000 /dev/zero | tr '\\0' x >/tmp/large"
    within(program, box, "sh", "-c", large)
    assert status(program, box, "/v1/tasks", "-d", "@/tmp/large") == "413"


def test_logs_of_services_and_the_policy_are_seen_as_they_are(program: Program, box: str) -> None:
    within(
        program,
        box,
        "skerry-env",
        "services",
        "create",
        "talk",
        "--cmd",
        "sh",
        "--args",
        "-c,echo hi; exec sleep 1000",
        "--duration",
        "0",
    )
    until(program, box, "grep -q '\\[stdout\\] hi' /.skerry/logs/services/talk.log")

    program.ok("policy", "set", box, "--deny", "example.org")
    assert asked(program, box, "/policy/network") == json.loads(
        within(program, box, "cat", "/.skerry/policy/network.json")
    )
    program.ok("stop", box)
    assert "example.org" in within(program, box, "cat", "/.sprite/policy/network.json")
    assert "hi" in within(program, box, "cat", "/.skerry/logs/services/talk.log")


def test_nothing_is_left_of_a_box_that_does_not_run(program: Program) -> None:
    program.ok("create", "short-lived")
    inside = directory_of(program, "short-lived")
    assert (inside / "api.sock").is_socket()

    program.ok("stop", "short-lived")
    assert not inside.exists()
    program.ok("exec", "short-lived", "--", "true")
    assert (inside / "api.sock").is_socket()
    program.ok("destroy", "short-lived", "--yes")
    assert not inside.exists()
    program.ok("undo", "short-lived")
    program.ok("destroy", "short-lived", "--yes", "--purge")


def test_an_image_without_python_is_told_what_else_there_is(
    program: Program, tmp_path: Path
) -> None:
    from tests.e2e.conftest import make_tiny_root  # noqa: PLC0415

    make_tiny_root(tmp_path / "root")
    program.ok("image", "import", "tiny", str(tmp_path / "root"))
    program.ok("create", "tiny-box", "--image", "tiny")
    try:
        done = program.run("exec", "tiny-box", "--", "skerry-env", "info")
        assert (done.returncode, b"no python3" in done.stderr) == (127, True)
        assert within(program, "tiny-box", "cat", "/.skerry/llm.txt").startswith("# You are in a")
        assert "test" not in within(program, "tiny-box", "sh", "-c", "test -S /.sprite/api.sock")
    finally:
        program.ok("destroy", "tiny-box", "--yes", "--purge")
        program.ok("image", "delete", "tiny")
