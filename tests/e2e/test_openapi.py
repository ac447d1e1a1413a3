"""The API as its own document tells it, against requests that nobody thought of."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Program, another

# Each takes minutes, or starts something that outlasts its answer.
NOT_FUZZED = ["build_image", "import_image"]


# What a schema allows may still be refused, for what is in the box: a path that is no directory.
CHECKS_LEFT_OUT = "positive_data_acceptance"


@pytest.mark.parametrize("phase", ["coverage", "fuzzing"])
def test_no_request_breaks_the_document(tmp_path: Path, phase: str) -> None:
    with another(tmp_path, failed_logins_per_minute=1_000_000) as program:
        program.ok("create", "there")
        done = fuzz(program, tmp_path, phase)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr


def fuzz(program: Program, tmp_path: Path, phase: str) -> subprocess.CompletedProcess[str]:
    """Let schemathesis try the whole document."""
    left_out = [word for name in NOT_FUZZED for word in ("--exclude-operation-id", name)]
    return subprocess.run(
        [
            Path(sys.executable).with_name("st"), "run", f"{program.url}/openapi.json",
            "--header", f"Authorization: Bearer {program.token}", "--checks", "all",
            "--exclude-checks", CHECKS_LEFT_OUT,
            "--phases", phase, "--max-examples", "4", "--generation-deterministic",
            "--request-timeout", "20", "--no-color", "--max-failures", "20", *left_out,
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
