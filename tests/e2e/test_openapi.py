"""The API as its own document tells it, against requests that nobody thought of."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Program

# Each takes minutes, or starts something that outlasts its answer.
NOT_FUZZED = ["build_image", "import_image"]


@pytest.mark.parametrize("prefix", ["examples", "coverage", "fuzzing"])
def test_no_request_breaks_the_document(program: Program, tmp_path: Path, prefix: str) -> None:
    left_out = [word for name in NOT_FUZZED for word in ("--exclude-operation-id", name)]
    done = subprocess.run(
        [
            Path(sys.executable).with_name("st"), "run", f"{program.url}/openapi.json",
            "--header", f"Authorization: Bearer {program.token}", "--checks", "all",
            "--phases", prefix, "--max-examples", "8", "--generation-deterministic",
            "--request-timeout", "20", "--no-color", "--max-failures", "20", *left_out,
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
