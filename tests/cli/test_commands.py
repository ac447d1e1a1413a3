"""Each command against the real API over the simulated machine."""

import json

import pytest

from skerry.cli import main
from tests.cli.conftest import Shell


def test_the_main_job(shell: Shell) -> None:
    assert shell.ok("create", "dev", "--label", "a") == "dev\n"
    assert shell.ok("exec", "dev", "--", "echo", "hi", "-n") == "hi -n\n"
    assert shell.ok("checkpoint", "create", "dev", "--comment", "good") == "v1\n"
    shell.ok("restore", "dev", "v1")
    assert "auto-2" in shell.err
    assert shell.ok("fork", "dev@v1", "copy", "--count", "2") == "copy-0\ncopy-1\n"
    assert [box["name"] for box in shell.json("list")] == ["copy-0", "copy-1", "dev"]


def test_destroyed_boxes_come_back(shell: Shell) -> None:
    shell.ok("create", "dev")
    shell.ok("destroy", "dev", "--yes")
    assert [box["name"] for box in shell.json("trash")] == ["dev"]

    assert shell.ok("undo") == "dev\n"
    assert shell.json("trash") == []


def test_nobody_is_asked_where_nobody_is(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.ok("create", "dev")
    with open("/dev/null") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert shell("destroy", "dev") == 1

    assert "--yes" in shell.err
    assert len(shell.json("list")) == 1


def test_tables_are_aligned_and_empty_ones_silent(shell: Shell) -> None:
    assert shell.ok("list") == ""
    shell.ok("create", "a", "--memory", "512M")
    shell.ok("create", "a-much-longer-name")
    head, first, second = shell.ok("list").splitlines()

    assert head.index("STATUS") == first.index("running") == second.index("running")
    assert "512 MiB" in first


def test_info_tells_limits(shell: Shell) -> None:
    shell.ok("create", "dev", "--cpus", "0.5", "--disk", "1G")

    assert "of 1 GiB" in shell.ok("info", "dev")
    assert shell.json("info", "dev")["limits"]["cpus"] == 0.5


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255)])
def test_the_exit_code_is_the_commands(shell: Shell, script: str, code: int) -> None:
    shell.ok("create", "dev")

    assert shell("exec", "dev", "sh", "-c", script) == code


def test_a_command_that_runs_too_long_is_124(shell: Shell) -> None:
    shell.ok("create", "dev")

    assert shell("exec", "--timeout", "0.1", "dev", "sleep", "100") == 124
    assert [each["is_active"] for each in shell.json("sessions", "dev")] == [False]


def test_a_session_is_detached_listed_and_killed(shell: Shell) -> None:
    shell.ok("create", "dev")
    session = shell.ok("exec", "--detach", "dev", "sleep", "100").strip()
    assert session in shell.ok("sessions", "dev")

    shell.ok("sessions", "dev", "kill", session)

    assert shell("sessions", "dev", "attach", session) == 143


def test_errors_are_one_line_or_json(shell: Shell) -> None:
    assert shell("info", "nope") == 1
    assert shell.err.startswith("skerry: ")
    assert shell.err.count("\n") == 1

    assert shell("info", "nope", "--json") == 1
    assert json.loads(shell.err)["error"] == "box_not_found"


def test_no_daemon_says_how_to_start_one(
    tmp_path: "object", capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path), "list"]) == 1
    assert "skerry up" in capsys.readouterr().err


def test_checkpoints_are_looked_into(shell: Shell) -> None:
    shell.ok("create", "dev")
    shell.ok("checkpoint", "create", "dev", "--comment", "first")
    shell.ok("restore", "dev", "v1")

    assert [each["id"] for each in shell.json("checkpoint", "list", "dev")] == ["v1", "auto-2"]
    assert [each["id"] for each in shell.json("checkpoint", "list", "dev", "--no-auto")] == ["v1"]
    assert "first" in shell.ok("checkpoint", "info", "dev", "v1")
    assert shell.json("checkpoint", "diff", "dev", "v1") == []
    shell.ok("checkpoint", "delete", "dev", "v1")
    assert shell("checkpoint", "info", "dev", "v1") == 1


def test_images(shell: Shell) -> None:
    shell.ok("create", "dev")
    assert shell.ok("image", "build", "mine", "--recipe", "base") == "mine\n"
    assert shell.ok("image", "save", "dev", "saved") == "saved\n"
    shell.ok("image", "delete", "mine")

    assert sorted(image["name"] for image in shell.json("image", "list")) == ["base", "saved"]


def test_tokens(shell: Shell) -> None:
    token = shell.ok("token", "create", "ci", "--scope", "read").strip()
    listed = {each["name"]: each for each in shell.json("token", "list")}
    assert token not in str(listed)
    assert listed["ci"]["scopes"] == ["read"]

    shell.ok("token", "revoke", listed["ci"]["id"])

    assert "ci" not in {each["name"] for each in shell.json("token", "list")}


def test_files_are_listed_and_read(shell: Shell) -> None:
    shell.ok("create", "dev")

    assert "etc/" in shell.ok("file", "ls", "dev", "/")
    assert shell.json("file", "stat", "dev", "/etc")["isDir"]
    assert shell("file", "cat", "dev", "/nope") == 1


def test_a_raw_request(shell: Shell) -> None:
    made = shell.ok("api", "POST", "/v1/boxes", "--body", '{"name":"dev"}')

    assert json.loads(made)["name"] == "dev"
    assert json.loads(shell.ok("api", "GET", "/v1/version"))["instance"] == "test"


def test_version_tells_both(shell: Shell) -> None:
    told = shell.json("version")

    assert told["version"] == told["daemon"]["version"]


def test_start_and_stop(shell: Shell) -> None:
    shell.ok("create", "dev")
    assert shell.json("stop", "dev")[0]["status"] == "cold"
    assert shell.json("start", "dev")[0]["status"] == "running"


@pytest.mark.parametrize(
    "words",
    [
        ["exec", "dev"],
        ["create", "-e", "FOO"],
        ["create", "--memory", "10"],
        ["create", "--cpus", "-1"],
        ["create", "--processes", "many"],
        ["fork", "dev", "--count", "0"],
        ["sessions", "dev", "kill"],
        ["file", "chown", "dev", "root", "/tmp"],
        ["api", "GET", "v1/boxes"],
        ["help", "nothing"],
    ],
)
def test_a_wrong_command_line_ends_with_2(shell: Shell, words: list[str]) -> None:
    assert shell(*words) == 2
    assert shell.err.startswith("skerry: ")


def test_help_is_a_command_too(shell: Shell) -> None:
    assert "usage: skerry" in shell.ok("help")
    assert "--image" in shell.ok("help", "create")


def test_a_misspelt_field_is_told(shell: Shell) -> None:
    body = '{"name": "dev", "limits": {"cpu": 1}}'
    assert shell("api", "POST", "/v1/boxes", "--body", body) == 1
    assert "limits.cpu" in shell.err


def test_a_console_needs_a_terminal(shell: Shell) -> None:
    assert shell("console", "dev") == 1
    assert "terminal" in shell.err
