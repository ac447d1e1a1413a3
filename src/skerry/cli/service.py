"""`skerry service` and `skerry logs`: what a box keeps running."""

import argparse

from skerry import wire
from skerry.cli.connection import connect, count, variables
from skerry.cli.output import age, print_json, print_pairs, print_table, printable, say
from skerry.cli.parser import Parser, WrongUsage


def declare_service(parser: Parser) -> None:
    """Declare the commands below `skerry service`."""
    create = parser.command("create", "Make or change a service, and start it", _create)
    listing = parser.command("list", "List the services of a box", _list)
    info = parser.command("info", "Tell a service", _info)
    start = parser.command("start", "Start a service and what it needs", _start)
    stop = parser.command("stop", "End a service; it stays ended until it is started", _stop)
    restart = parser.command("restart", "End a service and start it", _restart)
    signal = parser.command("signal", "Send a signal to a service", _signal)
    delete = parser.command("delete", "End a service and forget it, its log too", _delete)
    for below in (create, listing, info, start, stop, restart, signal, delete):
        below.argument("box", metavar="BOX", help="the box")
    for below in (create, info, start, stop, restart, signal, delete):
        below.argument("name", metavar="NAME", help="the service")
    signal.argument("signal", metavar="SIGNAL", help="such as HUP")
    _declare_create(create)


def _declare_create(create: Parser) -> None:
    create.argument("--cmd", metavar="PROGRAM", help="the program", required=True)
    create.argument(
        "--arg", metavar="WORD", action="append", default=[],
        help="an argument for it; may be repeated",
    )  # fmt: skip
    create.argument(
        "-e", "--env", metavar="NAME=VALUE", action="append", default=[],
        help="a variable; may be repeated",
    )  # fmt: skip
    create.argument("-d", "--dir", metavar="DIR", help="where to run it (default: the home)")
    create.argument("-u", "--user", metavar="USER", help="as whom (default: box, else root)")
    create.argument(
        "--needs", metavar="NAME", action="append", default=[],
        help="a service that starts before; may be repeated",
    )  # fmt: skip
    create.argument(
        "--http-port", metavar="PORT", type=count(1, 65_535), help="where it answers HTTP"
    )
    create.argument(
        "--ready-path", metavar="PATH", help="what must answer before it counts as ready"
    )


def declare_logs(parser: Parser) -> None:
    """Declare the arguments of logs."""
    parser.argument("box", metavar="BOX", help="the box")
    parser.argument("name", metavar="SERVICE", help="the service")
    parser.argument("-f", "--follow", action="store_true", help="go on with what comes")
    parser.argument(
        "-n", "--lines", metavar="NUMBER", type=count(0, 100_000), default=100,
        help="how many of the last (default: 100)",
    )  # fmt: skip
    parser.set_defaults(run=_logs)


async def _create(options: argparse.Namespace) -> int:
    if options.ready_path is not None and options.http_port is None:
        raise WrongUsage("bad_arguments", "A --ready-path needs an --http-port.")
    async with connect(options) as cloud:
        await cloud.box(options.box).services.put(
            options.name, options.cmd, *options.arg, env=variables(options.env), dir=options.dir,
            user=options.user, needs=options.needs, http_port=options.http_port,
            ready_path=options.ready_path,
        )  # fmt: skip
    return 0


async def _list(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        found = await cloud.box(options.box).services.list()
    if options.json:
        print_json(found)
        return 0
    rows = [
        [
            each.name,
            each.state.status
            if each.wanted or each.state.status != "stopped"
            else "stopped by hand",
            "-" if each.http_port is None else str(each.http_port),
            str(each.state.restart_count),
            age(each.state.started_at),
            " ".join([each.cmd, *each.args])[:60],
        ]
        for each in found
    ]
    print_table(["NAME", "STATUS", "PORT", "RESTARTS", "STARTED", "COMMAND"], rows)
    return 0


async def _info(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        found = await cloud.box(options.box).services.get(options.name)
    if options.json:
        print_json(found)
    else:
        print_pairs(_pairs(found))
    return 0


def _pairs(found: wire.ServiceShape) -> list[tuple[str, str]]:
    state = found.state
    return [
        ("name", found.name),
        ("command", " ".join([found.cmd, *found.args])),
        ("status", state.status),
        ("error", state.error or "-"),
        ("pid", "-" if state.pid is None else str(state.pid)),
        ("started", age(state.started_at)),
        ("restarts", str(state.restart_count)),
        ("directory", found.dir or "-"),
        ("user", found.user or "-"),
        ("needs", ", ".join(found.needs) or "-"),
        ("http port", "-" if found.http_port is None else str(found.http_port)),
        ("ready path", found.ready_path or "-"),
    ]


async def _start(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        await cloud.box(options.box).services.start(options.name)
    return 0


async def _stop(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        await cloud.box(options.box).services.stop(options.name)
    return 0


async def _restart(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        await cloud.box(options.box).services.restart(options.name)
    return 0


async def _signal(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        await cloud.box(options.box).services.signal(options.name, options.signal)
    return 0


async def _delete(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        await cloud.box(options.box).services.delete(options.name)
    if not options.json:
        say(f"Deleted {options.name}, and its log.")
    return 0


async def _logs(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        services = cloud.box(options.box).services
        async with services.logs(
            options.name, lines=options.lines, follow=options.follow
        ) as events:
            async for event in events:
                if event.type not in ("stdout", "stderr"):
                    continue
                if options.json:
                    print_json(event)
                else:
                    print(printable((event.data or "").rstrip("\n")), flush=True)
    return 0
