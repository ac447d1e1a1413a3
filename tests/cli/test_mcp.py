"""`skerry mcp`: what it says where it cannot serve, and what it costs those who do not want it."""

import json
import subprocess
import sys

import pytest

from skerry.cli import main
from tests.cli.conftest import Served, Shell


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_without_the_package_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['mcp'] = None; from skerry.cli import main; sys.exit(main(['mcp']))"

    done = python(code)

    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'skerry[mcp]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_package_is_imported_by_who_serves_and_nobody_else() -> None:
    code = "import sys; from skerry.cli import main; main(['mcp', '--help']); print('MODULES', *sys.modules)"

    modules = set(python(code).stdout.partition("MODULES")[2].split())

    assert "skerry.cli.mcp" in modules
    assert not {"mcp", "pydantic", "skerry.mcp"} & modules


def test_it_ends_with_its_stdin(served: Served) -> None:
    words = ["--data", str(served.socket_path.parent), "mcp"]

    done = python(f"import sys; from skerry.cli import main; sys.exit(main({words}))")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("listen", ["7071", "localhost:http", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_told(listen: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["mcp", "--listen", listen]) == 1

    assert "no ADDRESS:PORT" in capfd.readouterr().err


def test_a_token_for_own_boxes_is_made_by_name(shell: Shell) -> None:
    made = shell.json("token", "create", "agent", "--scope", "own")

    assert made["scopes"] == ["own"]
    assert shell("token", "create", "agent", "--scope", "own", "--scope", "read", "--json") == 1
    assert json.loads(shell.err)["error"] == "bad_scope"
