"""`skerry-train watch`: serves a run's page, with its charts, to a browser on this machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser(
        "watch", help="show a run in a browser while it trains", description=__doc__
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's directory")
    parser.add_argument(
        "--port", type=_port, default=8100, help="on 127.0.0.1; 0 takes a free one (default: 8100)"
    )
    parser.add_argument(
        "--machines", type=Path, metavar="FILE", help="machines and prices of your own"
    )
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from skerry_train.bill import status
    from skerry_train.watch import Album, serve

    status(told.run, told.machines)  # what is wrong with either is said here, not in the browser
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Album(told.run, told.machines), told.port, _say))
    return 0


def _say(port: int) -> None:
    print(f"http://127.0.0.1:{port}/ shows the run; Ctrl-C ends", flush=True)


def _port(word: str) -> int:
    port = int(word)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port
