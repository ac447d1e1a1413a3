"""`skerry up`: the daemon."""

import argparse

from skerry import config
from skerry.cli.parser import Parser


def declare_up(parser: Parser) -> None:
    """Declare one option per setting; docs/settings.md is their reference."""
    config.add_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    from skerry import app  # noqa: PLC0415 - the daemon is much to import; --help does not need it

    app.run(config.from_arguments(options))
    return 0
