import subprocess
import sys
from pathlib import Path

import pytest

from tests.iceberg.door import Door, tell


def test_without_the_extra_the_catalogue_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyiceberg", None)

    async def story(door: Door) -> None:
        told = await door.call("GET", "config?warehouse=lake")
        assert told.error == (501, "UnsupportedOperationException")
        assert "pip install 'skerry[tables]'" in told.document["error"]["message"]

    tell(tmp_path, story)


def test_the_server_starts_without_the_library() -> None:
    program = (
        "import sys, skerry.s3.process; "
        "print(sorted({'pyiceberg', 'pydantic', 'requests', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
