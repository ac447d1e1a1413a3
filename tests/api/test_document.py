"""The OpenAPI document is true: schemathesis calls every operation by what it says."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.api import document, operations
from skerry.base import SkerryError, box_name, checkpoint_name, image_name
from skerry.wire import words
from tests.api.conftest import Served

PATTERNS: dict[object, Any] = {
    box_name: words.BoxName,
    image_name: words.ImageName,
    checkpoint_name: words.CheckpointName,
}
WORDS = [
    "", "a", "0", "-", "a-", "-a", "a-b", "a" * 63, "a" * 64, "a" * 65, "A", "a.b", "a..b", "a_b",
    "a.", ".a", "_", "v1", "v0", "v01", "auto-3", "auto-", "v1234567890", "\u00fc", "a\n", "a/b",
]  # fmt: skip


def accepts(check: object, word: str) -> bool:
    assert callable(check)
    try:
        check(word)
    except SkerryError:
        return False
    return True


@pytest.mark.parametrize("check", list(PATTERNS), ids=lambda check: check.__name__)
def test_the_patterns_of_names_are_those_that_the_domain_checks(check: object) -> None:
    schema = msgspec.json.schema(PATTERNS[check])
    pattern = str(schema["pattern"]).removesuffix("$") + r"\Z"

    told = {word for word in WORDS if word and re.match(pattern, word)}

    assert told == {word for word in WORDS if accepts(check, word)}


def test_every_call_has_a_name_of_its_own_and_a_summary() -> None:
    told = document(operations())
    calls = [call for path in told["paths"].values() for call in path.values()]

    assert len({call["operationId"] for call in calls}) == len(calls)
    assert all(call["summary"] for call in calls)


def test_calls_that_are_not_built_are_not_in_the_document() -> None:
    text = str(document(operations()))

    assert "policy/privileges" not in text
    assert "x-not-built" not in text


# A value that a schema does not allow may be too long for a request as well: 413.
SCHEMATHESIS = """
[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 409, 410, 413, 429]
"""


def test_every_call_does_what_the_document_says(served: Served, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS)
    report = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{served.url}/openapi.json",
            "--header", f"Authorization: Bearer {served.tokens['admin']}",
            "--phases", "coverage,fuzzing", "--max-examples", "2", "--seed", "1", "--no-color",
            # What no schema says, such as that a name of a file has 255 bytes at most.
            "--exclude-checks", "positive_data_acceptance",
        ],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip

    assert report.returncode == 0, report.stdout[-6000:]
