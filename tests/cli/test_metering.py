"""`skerry usage`, `bill` and `budget` against the real API over the simulated machine."""

import asyncio

from skerry import metering
from skerry.metering import Reading
from tests.cli.conftest import Served, Shell

GIB = 1 << 30


def use(served: Served, box_id: str) -> None:
    """Let a box use an hour of CPU and of a GiB of RAM."""
    clock, meter = served.house.clock, served.meter

    async def record() -> None:
        for second in range(0, 3601, 60):
            reading = Reading(
                box_id=box_id, box_name="dev", account="me", state="running",
                taken_ns=clock.monotonic_ns(), epoch="e1", cpu_ns=second * 10**9, memory_bytes=GIB,
            )  # fmt: skip
            await metering.record(meter, [reading])
            clock.turn(60 * 10**9)

    asyncio.run(record())


def test_what_was_used_is_shown_in_a_table(shell: Shell, served: Served) -> None:
    assert shell.ok("usage") == ""
    use(served, "box_1")
    use(served, "box_2")

    head, first, _, total = shell.ok("usage", "dev").splitlines()
    assert head.split()[:3] == ["BOX", "CPU", "MEMORY"]
    assert (first.split()[:4], total.split()[:4]) == (
        ["dev", "1.0", "h", "1"],
        ["total", "2.0", "h", "2"],
    )
    assert "2023-11-14 22:00" in shell.ok("usage", "--by", "hour")
    assert shell.ok("usage", "--csv").startswith("start,box_id,box")
    assert shell.json("usage", "--by", "day")["by"] == "day"


def test_a_bill_names_its_prices(shell: Shell, served: Served) -> None:
    use(served, "box_1")

    head, line, total = shell.ok("bill", "--as", "exe.dev", "--since", "7d").splitlines()
    assert head.split() == ["BOX", "CPU", "MEMORY", "DISK", "TOTAL"]
    assert line.split() == ["dev", "$0.050", "$0.016", "$0.00", "$0.066"]
    assert total.split()[0] == "total"
    assert "exe.dev" in shell.err
    assert "$0.070" in shell.ok("bill", "--prices")
    assert shell("bill", "--as", "none") == 1


def test_a_budget_is_set_listed_and_cleared(shell: Shell, served: Served) -> None:
    shell.ok("create", "dev")
    shell.ok("budget", "set", "dev", "--money", "5", "--as", "sprites", "--per", "day")
    shell.ok("budget", "set", "--account", "me", "--cpu", "10h")

    head, *rows = shell.ok("budget", "list").splitlines()
    assert head.split()[0] == "OF"
    assert [row.split()[0] for row in rows] == ["account", "dev"]
    shell.ok("budget", "clear", "dev")
    assert len(shell.json("budget", "list")) == 1
    for wrong in (
        ["set", "dev"],
        ["set", "--money", "5"],
        ["clear"],
        ["set", "dev", "--money", "x"],
    ):
        assert shell("budget", *wrong) in (1, 2)
