"""`skerry s3`: the object store alone, without boxes and without root."""

import argparse
import signal
from pathlib import Path

from skerry.cli.output import say
from skerry.cli.parser import Parser


def declare_s3(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "--dir", metavar="DIR", type=Path,
        help="where the objects lie (default: objects in --data; for others than root "
        "~/.local/share/skerry/objects)",
    )  # fmt: skip
    parser.argument(
        "--listen", metavar="ADDRESS:PORT", default="127.0.0.1:9000",
        help="where to listen (default: 127.0.0.1:9000)",
    )  # fmt: skip
    parser.argument("--region", metavar="NAME", default="us-east-1", help="(default: us-east-1)")
    parser.argument(
        "--domain", metavar="NAME", default="localhost",
        help="what comes after a bucket in a host name (default: localhost)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    # The first process of a container is ended by no signal that it does not handle, and what
    # follows takes a moment to import.
    signal.signal(signal.SIGTERM, _leave)

    from skerry import config  # noqa: PLC0415
    from skerry.s3.process import Settings  # noqa: PLC0415 - much to import
    from skerry.s3.process import run as serve  # noqa: PLC0415
    from skerry.s3.startup import start_of  # noqa: PLC0415

    directory = options.dir or config.objects_directory(options.data)
    settings = Settings(
        directory=directory, listen=options.listen, start=start_of(config.environment()),
        region=options.region, domain=options.domain,
    )  # fmt: skip
    return serve(settings, say)


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
