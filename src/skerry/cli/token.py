"""`skerry token`."""

import argparse

from skerry.cli.connection import connect
from skerry.cli.output import age, print_json, print_table, say
from skerry.cli.parser import Parser


def declare_token(parser: Parser) -> None:
    """Declare the commands below `skerry token`."""
    create = parser.command("create", "Make a token and print it, this once", _create)
    create.argument("name", metavar="NAME", help="what it is for")
    create.argument(
        "--scope", action="append", choices=("read", "write", "own", "admin"),
        help="what it may do: read is every file of every box too, own is boxes that it made itself "
        "and nothing else; may be repeated "
        "(default: read and write)",
    )  # fmt: skip
    parser.command("list", "List tokens, without their secrets", _list)
    revoke = parser.command("revoke", "Make tokens worthless", _revoke)
    revoke.argument("tokens", metavar="TOKEN_ID", nargs="+", help="their ids, as list has them")


async def _create(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        made = await cloud.create_token(options.name, options.scope)
    if options.json:
        print_json(made)
        return 0
    say("Keep it well: Skerry stores only its hash and cannot print it again.")
    print(made.token)
    return 0


async def _list(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        tokens = await cloud.tokens()
    if options.json:
        print_json(tokens)
        return 0
    rows = [
        [each.id, each.name, ",".join(each.scopes), age(each.created_at), age(each.last_used_at)]
        for each in tokens
    ]
    print_table(["ID", "NAME", "SCOPES", "MADE", "LAST USED"], rows)
    return 0


async def _revoke(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        for token_id in options.tokens:
            await cloud.revoke_token(token_id)
    return 0
