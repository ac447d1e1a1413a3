"""`skerry exec`: run a command in a box."""

import argparse
import asyncio
import os
from contextlib import nullcontext as nothing

from skerry import client
from skerry.base import NotAvailable, SkerryError
from skerry.cli import forwarding, relay, stdio, tty
from skerry.cli.connection import connect, seconds, variables
from skerry.cli.output import print_error, say
from skerry.cli.parser import Parser, WrongUsage

_TIMED_OUT = 124  # as timeout(1) has it
# As shells say that a command is not there, or cannot be run.
_EXIT_CODES = {"command_not_found": 127, "command_not_runnable": 126}


def declare_exec(parser: Parser) -> None:
    """Declare the arguments. The command itself is not among them: nobody looks into it."""
    parser.argument("box", metavar="BOX", help="the box, and after it the command")
    parser.argument("-d", "--dir", metavar="DIR", help="where to run it (default: the home)")
    parser.argument(
        "-e", "--env", metavar="NAME=VALUE", action="append", default=[],
        help="set a variable; may be repeated",
    )  # fmt: skip
    parser.argument("-u", "--user", metavar="USER", help="as whom (default: box, else root)")
    parser.argument(
        "-t", "--tty", action="store_true",
        help="give it a terminal; Ctrl+\\ leaves it running",
    )  # fmt: skip
    parser.argument(
        "--stdin", action=argparse.BooleanOptionalAction,
        help="pass on what this process reads, or do not "
        "(default: if it is a pipe or a file, or with --tty)",
    )  # fmt: skip
    add_forward(parser)
    parser.argument(
        "--contain", action="store_true", help="end what it left in the background when it ends"
    )
    parser.argument(
        "--timeout", metavar="TIME", type=seconds,
        help="end it after this time, such as 30s, and exit with 124",
    )  # fmt: skip
    parser.argument(
        "--detach", action="store_true", help="leave it running at once and print its session's id"
    )
    parser.argument(
        "--max-run-after-disconnect", metavar="TIME", type=seconds,
        help="how long it may run on when this process is gone "
        "(default: 10s; with --tty or --detach for ever)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def add_forward(parser: Parser) -> None:
    """Declare whether ports that open are forwarded."""
    parser.argument(
        "--no-forward", dest="forward", action="store_false",
        help="do not make ports that open in the box ports of this machine",
    )  # fmt: skip


async def run(options: argparse.Namespace) -> int:
    """Run the command; return what it ended with."""
    if not options.command:
        raise WrongUsage("no_command", "Say what to run: skerry exec BOX -- COMMAND.")
    limit = asyncio.timeout(options.timeout)
    try:
        async with connect(options) as cloud, limit:
            return await _run(cloud.box(options.box), options)
    except TimeoutError:
        if not limit.expired():
            raise
        print_error(
            "command_timed_out", f"The command ran longer than {options.timeout:g} s and was ended.",
            {}, as_json=options.json,
        )  # fmt: skip
        return _TIMED_OUT
    except relay.Interrupted as interrupted:
        return interrupted.exit_code
    except SkerryError as error:
        if error.code not in _EXIT_CODES:
            raise
        print_error(error.code, error.message, error.details, as_json=options.json)
        return _EXIT_CODES[error.code]


async def _run(box: client.Box, options: argparse.Namespace) -> int:
    with_input = _wants_input(options)
    rows, cols = tty.size(stdio.STDOUT)
    kept = options.max_run_after_disconnect
    async with box.open(
        *options.command,
        env={**(tty.environment() if options.tty else {}), **variables(options.env)},
        dir=options.dir,
        user=options.user,
        tty=options.tty,
        rows=rows,
        cols=cols,
        stdin=with_input,
        contain=options.contain,
        max_run_after_disconnect=float("inf") if kept is None and options.detach else kept,
    ) as session:
        if options.detach:
            await session.detach()
            print(session.id)
            return 0
        async with forwarding.following(box, session) if _forwards(options) else nothing():
            if options.tty:
                return await on_terminal(session, box.name)
            return await relay.plain(session, with_input=with_input)


async def on_terminal(session: client.Session, box: str) -> int:
    """Join the terminal and a session; an end of this process leaves the session be."""
    joins = f"`skerry sessions {box} attach {session.id}` joins it."
    try:
        code = await relay.terminal(session)
    except asyncio.CancelledError:
        await session.detach()
        raise
    except NotAvailable as error:
        raise NotAvailable(error.code, f"{error.message} {joins}", error.details) from error
    if code is None:
        say(f"Left session {session.id}. {joins}")
        return 0
    return code


def _forwards(options: argparse.Namespace) -> bool:
    """Ports are for a person who works here; a script would not expect them."""
    return options.forward and os.isatty(stdio.STDERR)


def _wants_input(options: argparse.Namespace) -> bool:
    if options.stdin is not None:
        return options.stdin
    return not options.detach and (options.tty or stdio.is_input(stdio.STDIN))
