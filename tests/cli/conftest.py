"""The real API over the simulated machine, and the command line against it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from skerry.cli import main
from tests.api.conftest import Served, served

__all__ = ["Served", "served"]


class Shell:
    """Runs the command line in this process."""

    def __init__(self, served: Served, capfd: pytest.CaptureFixture[str]) -> None:
        self._data = str(served.socket_path.parent)
        self._capfd = capfd
        self.out = ""
        self.err = ""

    def __call__(self, *words: str) -> int:
        code = main(["--data", self._data, *words])
        self.out, self.err = self._capfd.readouterr()
        return code

    def ok(self, *words: str) -> str:
        assert self(*words) == 0, self.err
        return self.out

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))


@pytest.fixture
def shell(served: Served, capfd: pytest.CaptureFixture[str]) -> Callable[..., int]:
    return Shell(served, capfd)
