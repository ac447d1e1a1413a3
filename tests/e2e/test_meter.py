"""The meter on real boxes: the kernel's own numbers, a bill, and a budget that holds."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Program

BURN = "import time; e = time.process_time() + 1.5\nwhile time.process_time() < e: pass"


@pytest.fixture
def busy(program: Program, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a box that has used 1.5 s of a CPU and was stopped, and so was counted."""
    name = f"busy-{abs(hash(request.node.nodeid)) % 10**10}"
    program.ok("create", name)
    program.ok("exec", name, "--", "python3", "-c", BURN)
    program.ok("stop", name)
    yield name
    program.run("budget", "clear", name)
    program.run("destroy", name, "--yes", "--purge")


def test_the_cpu_time_of_a_box_is_what_the_kernel_counted(program: Program, busy: str) -> None:
    (row,) = program.json("usage", busy)["rows"]

    assert 1.4 < row["cpu_seconds"] < 5
    assert row["box"] == busy


def test_a_bill_adds_up(program: Program, busy: str) -> None:
    bill = program.json("bill", busy, "--as", "sprites")
    csv = program.ok("bill", busy, "--as", "sprites", "--csv")

    (line,) = bill["lines"]
    assert sum(c["amount_nanodollars"] for c in line["charges"]) == bill["amount_nanodollars"] > 0
    assert busy in csv


def test_a_box_over_its_budget_does_not_wake_until_there_is_more(
    program: Program, busy: str
) -> None:
    program.ok("budget", "set", busy, "--cpu", "1s")

    refused = program.run("exec", busy, "--", "true")
    status, told, _ = program.http("POST", f"/v1/boxes/{busy}/run", {"cmd": ["true"]})

    assert (refused.returncode, b"budget" in refused.stderr) == (1, True)
    assert (status, told["error"]) == (429, "budget_reached")
    assert "budget" in program.ok("why", busy)
    assert json.loads(program.ok("budget", "list", "--json"))
    program.ok("budget", "set", busy, "--cpu", "100h")
    assert program.ok("exec", busy, "--", "echo", "awake") == "awake\n"
