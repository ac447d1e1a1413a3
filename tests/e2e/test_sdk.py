"""Programs that use the SDK, run as their authors would: in an interpreter of their own."""

import os
import re
import subprocess
import sys

import pytest

from tests.e2e.conftest import ROOT, Program

ASYNC = """
import asyncio, sys
import skerry

async def main(name):
    async with skerry.connect() as cloud:
        box = await cloud.create(name)
        try:
            print((await box.exec("uname", "-s")).stdout)
            await box.files.write("/home/box/note", b"precious")
            kept = await box.checkpoint(comment="good")
            await box.exec("rm", "/home/box/note")
            await box.restore(kept.id)
            print((await box.files.read("/home/box/note")).decode())
        finally:
            await box.destroy(purge=True)

asyncio.run(main(sys.argv[1]))
"""
SYNC = """
import sys
import skerry

with skerry.connect_sync() as cloud:
    box = cloud.create(sys.argv[1])
    try:
        print(box.exec("uname", "-s").stdout)
        with box.open("cat", stdin=True) as session:
            session.write(b"precious")
            session.write_eof()
            print(b"".join(data for _, data in session).decode())
    finally:
        box.destroy(purge=True)
"""


def run(program: Program, script: str, name: str, **variables: str) -> list[str]:
    """Run a script with the SDK against the daemon; return the words it printed."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, name],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("script", [ASYNC, SYNC], ids=["async", "sync"])
def test_a_program_uses_a_box_on_its_own_machine(program: Program, script: str) -> None:
    said = run(program, script, "sdk-local", SKERRY_DATA=str(program.data))

    assert said == ["Linux", "precious"]
    assert "sdk-local" not in {box["name"] for box in program.json("list")}


@pytest.mark.parametrize("script", [ASYNC, SYNC], ids=["async", "sync"])
def test_a_program_uses_a_box_over_the_network(program: Program, script: str) -> None:
    said = run(program, script, "sdk-far", SKERRY_URL=program.url, SKERRY_TOKEN=program.token)

    assert said == ["Linux", "precious"]


def test_the_readmes_example_runs_as_it_stands(program: Program) -> None:
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    examples = [example for example in examples if "import skerry" in example]
    assert examples, "the README shows the SDK"
    for example in examples:
        assert run(program, example, "unused", SKERRY_DATA=str(program.data))
        for box in program.json("list"):
            program.ok("destroy", box["name"], "--yes", "--purge")
