"""Runs sprites.test.mjs with Node 24, which the npm package `node` carries."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Program

FILES = ("package.json", "package-lock.json", "sprites.test.mjs")


@pytest.fixture(scope="session")
def project() -> Path:
    """A folder with the SDK installed; kept, so that the second run does not install."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = ROOT / "build" / "e2e-js"
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (ROOT / "tests" / "e2e" / name).exists():
            shutil.copy(ROOT / "tests" / "e2e" / name, folder / name)
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True, timeout=600)
    return folder


def test_the_sdk_for_javascript(program: Program, box: str, project: Path) -> None:
    node = project / "node_modules" / "node" / "bin" / "node"
    done = subprocess.run(
        [node, "--test", "sprites.test.mjs"],
        cwd=project,
        env={**os.environ, "SPRITES_URL": program.url, "SPRITES_TOKEN": program.token, "BOX": box},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 8" in done.stdout or "pass 8" in done.stdout
