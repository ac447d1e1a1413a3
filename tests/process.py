"""Processes that tests start."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from typing import AnyStr


@contextmanager
def running(process: subprocess.Popen[AnyStr]) -> Generator[subprocess.Popen[AnyStr]]:
    """Wait for a process at the end of the block, unless that fails: then it is killed."""
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
