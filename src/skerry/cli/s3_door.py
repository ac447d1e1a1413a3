"""`python -m skerry.cli.s3_door` is the object store's process beside a daemon.

What `skerry s3` does, on a socket that the daemon has bound; keys and buckets come from the daemon's
environment as they do there.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from skerry import config
from skerry.base import SkerryError
from skerry.s3.process import Settings, run
from skerry.s3.startup import start_of

_STDERR, _LOG_BYTES_MAX = 2, 8 << 20


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(prog="skerry.cli.s3_door", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument(
        "--listener", type=int, required=True, help="a socket that is bound already"
    )
    # What a daemon tells the doors of its former self by, and for people.
    parser.add_argument("--address", required=True)
    parser.add_argument("--version", required=True)
    asked = parser.parse_args(arguments)
    try:
        settings = Settings(
            directory=asked.dir, listen=asked.address, start=start_of(config.environment()),
            region=asked.region, domain=asked.domain, descriptor=asked.listener,
        )  # fmt: skip
        return run(settings, _say)
    except SkerryError as error:
        _say(f"skerry: {error.message}")
        return 1


def _say(text: str) -> None:
    # stderr is a file here, which nobody may fill the disk with by asking for what is broken.
    with contextlib.suppress(OSError):
        if os.fstat(_STDERR).st_size > _LOG_BYTES_MAX:
            os.ftruncate(_STDERR, 0)
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"{text}\n".encode(errors="backslashreplace"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
