"""`skerry url`: the web address of a box, and who may open it."""

import argparse

from skerry import wire
from skerry.cli.connection import connect, seconds
from skerry.cli.output import print_json, until
from skerry.cli.parser import Parser

_DEFAULT_SECONDS = 3600.0


def declare_url(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("box", metavar="BOX", help="the box")
    access = parser.add_mutually_exclusive_group()
    for name, text in (
        ("public", "let everybody open it"),
        ("private", "ask for a token, a login or a share link"),
    ):
        parser.declared.append(
            access.add_argument(
                f"--{name}", dest="access", action="store_const", const=name, help=text
            )
        )
    parser.argument(
        "--add-domain", metavar="DOMAIN", action="append", default=[],
        help="give it a domain of its own, which must lead to this machine; may be repeated",
    )  # fmt: skip
    parser.argument(
        "--remove-domain", metavar="DOMAIN", action="append", default=[], help="take one away"
    )
    parser.set_defaults(run=_url)


def declare_share(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("box", metavar="BOX", help="the box")
    parser.argument(
        "--for", dest="time", metavar="TIME", type=seconds, default=_DEFAULT_SECONDS,
        help="how long, such as 7d (default: 1h)",
    )  # fmt: skip
    parser.argument("--end-all", action="store_true", help="end all links that were made")
    parser.set_defaults(run=_share)


async def _url(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        box = cloud.box(options.box)
        told = await box.url()
        domains = (set(told.domains) | {*options.add_domain}) - {*options.remove_domain}
        if options.access is not None or domains != set(told.domains):
            told = await box.change_url(access=options.access, domains=sorted(domains))
    if options.json:
        print_json(told)
    else:
        _print(told)
    return 0


def _print(told: wire.Url) -> None:
    print(told.url or "This daemon has no gateway (--gateway-listen).")
    print(told.access)
    for domain in told.domains:
        print(domain)


async def _share(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        box = cloud.box(options.box)
        if options.end_all:
            await box.end_shares()
            return 0
        made = await box.share(options.time)
    if options.json:
        print_json(made)
    else:
        print(made.url)
        print(f"ends {until(made.expires_at)}")
    return 0
