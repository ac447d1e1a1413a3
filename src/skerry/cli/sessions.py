"""`skerry sessions`: what runs in a box, joined again or ended."""

import argparse
import shlex

from skerry import client
from skerry.cli import relay
from skerry.cli.connection import connect, seconds
from skerry.cli.exec import on_terminal
from skerry.cli.output import age, print_json, print_table
from skerry.cli.parser import Parser, WrongUsage

_GRACE_SECONDS = 10.0
_COMMAND_WIDTH = 60


def declare_sessions(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("box", metavar="BOX", help="the box")
    parser.argument(
        "verb", nargs="?", choices=("list", "attach", "kill"), default="list",
        help="list them (what is done if nothing is said), join one, or end one",
    )  # fmt: skip
    parser.argument("session", metavar="SESSION", nargs="?", help="the id of the one")
    parser.argument(
        "--signal", metavar="NAME", default="TERM", help="what to end it with (default: TERM)"
    )
    parser.argument(
        "--grace", metavar="TIME", type=seconds, default=_GRACE_SECONDS,
        help="when to end all that is left of it by SIGKILL (default: 10s)",
    )  # fmt: skip
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Do what the verb says."""
    if (options.verb == "list") != (options.session is None):
        raise WrongUsage(
            "bad_arguments",
            "Write: skerry sessions BOX, or skerry sessions BOX attach|kill SESSION.",
        )
    async with connect(options) as cloud:
        box = cloud.box(options.box)
        if options.verb == "attach":
            return await _attach(box, options.session)
        if options.verb == "kill":
            code = await box.kill(options.session, options.signal, grace=options.grace)
            if options.json:
                print_json({"id": options.session, "exit_code": code})
            return 0
        return await _list(box, as_json=options.json)


async def _list(box: client.Box, *, as_json: bool) -> int:
    sessions = await box.sessions()
    if as_json:
        print_json(sessions)
        return 0
    rows = [
        [
            each.id,
            "running" if each.is_active else f"ended {each.exit_code}",
            "yes" if each.tty else "no",
            str(each.attached),
            age(each.created),
            _one_line(shlex.join(each.argv)),
        ]
        for each in sessions
    ]
    print_table(["SESSION", "STATE", "TTY", "ATTACHED", "STARTED", "COMMAND"], rows)
    return 0


def _one_line(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= _COMMAND_WIDTH else line[: _COMMAND_WIDTH - 3] + "..."


async def _attach(box: client.Box, session_id: str) -> int:
    async with box.attach(session_id) as session:
        try:
            if session.tty:
                return await on_terminal(session, box.name)
            return await relay.plain(session, with_input=False)
        except relay.Interrupted as interrupted:
            return interrupted.exit_code
