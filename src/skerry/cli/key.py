"""`skerry key`: SSH keys, by which `ssh -p 2222 BOX@host` lets you in."""

import argparse
import sys

from skerry.cli.connection import connect
from skerry.cli.output import age, print_json, print_table, say
from skerry.cli.parser import Parser, WrongUsage
from skerry.client import keys

_FILE_BYTES_MAX = 16 * 1024  # of a public key; the longest that is taken is far shorter


def declare_key(parser: Parser) -> None:
    """Declare the commands below `skerry key`."""
    add = parser.command("add", "Let an SSH key in, as whoever asks", _add)
    add.argument("file", metavar="FILE", help="a public key, such as ~/.ssh/id_ed25519.pub, or -")
    add.argument("--name", metavar="NAME", help="what to call it (default: the key's comment)")
    parser.command("list", "List SSH keys", _list)
    delete = parser.command("delete", "Let nobody in by SSH keys any more", _delete)
    delete.argument(
        "keys", metavar="NAME|FINGERPRINT", nargs="+", help="the keys, as list has them"
    )


async def _add(options: argparse.Namespace) -> int:
    line = _read(options.file)
    async with connect(options) as cloud:
        made = await keys.add(cloud.calls, line, options.name)
    if options.json:
        print_json(made)
    else:
        say(f"{made.fingerprint} is {made.account} from now on.")
        print(made.name)
    return 0


def _read(path: str) -> str:
    """Return what a file holds, or stdin for `-`. Raises WrongUsage(bad_key)."""
    if path == "-":
        data = sys.stdin.buffer.read(_FILE_BYTES_MAX + 1)
    else:
        with open(path, "rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(data) > _FILE_BYTES_MAX:
        where = "stdin" if path == "-" else path
        raise WrongUsage("bad_key", f"There is no public key in {where}. Give a .pub file.")
    return text


async def _list(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        found = await keys.list_all(cloud.calls)
    if options.json:
        print_json(found)
        return 0
    rows = [
        [each.name, each.account, each.type, each.fingerprint, age(each.created_at),
         age(each.last_used_at)]
        for each in found
    ]  # fmt: skip
    print_table(["NAME", "ACCOUNT", "TYPE", "FINGERPRINT", "MADE", "LAST USED"], rows)
    return 0


async def _delete(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        for each in options.keys:
            await keys.delete(cloud.calls, each)
    return 0
