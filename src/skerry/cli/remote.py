"""`skerry remote`: stores elsewhere that `bucket`, `object`, `access-key` and `clean` can name."""

import argparse
import getpass
import sys

from skerry import config
from skerry.cli.output import print_json, print_table, say
from skerry.cli.parser import Parser, WrongUsage
from skerry.remotes.model import Remote, checked_endpoint, checked_region, remote_name
from skerry.remotes.registry import Registry

_SECRET_CHARACTERS_MAX = 1024


def declare_remote(parser: Parser) -> None:
    """Declare the commands below `skerry remote`."""
    add = parser.command("add", "Add a store by a name; its secret is asked for", _add)
    add.argument("name", metavar="NAME", help="what to call it: NAME:BUCKET/KEY is an object on it")
    add.argument("--endpoint", metavar="URL", help="where it is, such as https://s3.example.com")
    add.argument("--access-key", metavar="KEY", default="", help="(default: ask as nobody)")
    add.argument(
        "--secret-from-stdin",
        action="store_true",
        help="read the secret there, not at the terminal",
    )
    add.argument("--region", metavar="NAME", default="us-east-1", help="(default: us-east-1)")
    add.argument(
        "--b2", action="store_true",
        help="Backblaze B2 by its own API, for `skerry clean`; needs no endpoint",
    )  # fmt: skip
    add.argument(
        "--virtual-hosts", action="store_true", help="buckets are in the host name, not in the path"
    )
    add.argument(
        "--no-checksums", action="store_true",
        help="send no more checksums than must be, for stores that refuse them",
    )  # fmt: skip
    add.argument("--replace", action="store_true", help="in place of the one of that name")
    parser.command("list", "List stores that were added", _list)
    remove = parser.command("remove", "Forget stores; nothing in them changes", _remove)
    remove.argument("names", metavar="NAME", nargs="+", help="the stores")


def _add(options: argparse.Namespace) -> int:
    name = remote_name(options.name)
    if options.endpoint is None and not options.b2:
        raise WrongUsage("bad_endpoint", "Say where it is: --endpoint URL.")
    made = Remote(
        kind="b2" if options.b2 else "s3",
        endpoint=checked_endpoint(options.endpoint) if options.endpoint else "",
        region=checked_region(options.region),
        access_key=options.access_key,
        secret=_secret(options) if options.access_key else "",
        is_virtual_hosted=options.virtual_hosts,
        has_checksums=not options.no_checksums,
    )
    Registry(config.remotes_file()).add(name, made, replaces=options.replace)
    if not options.json:
        say(f"{name} is in {config.remotes_file()}, which only you may read.")
    return 0


def _secret(options: argparse.Namespace) -> str:
    if options.secret_from_stdin:
        secret = sys.stdin.readline(_SECRET_CHARACTERS_MAX + 2).rstrip("\r\n")
    elif sys.stdin.isatty():
        secret = getpass.getpass(f"secret of {options.access_key}: ")
    else:
        raise WrongUsage("no_secret", "Nobody is here to be asked. Say --secret-from-stdin.")
    if not 0 < len(secret) <= _SECRET_CHARACTERS_MAX:
        raise WrongUsage("no_secret", "That is no secret: give one line.")
    return secret


def _list(options: argparse.Namespace) -> int:
    found = sorted(Registry(config.remotes_file()).all().items())
    if options.json:
        told = [
            {"name": name, "kind": each.kind, "endpoint": each.endpoint, "region": each.region,
             "access_key": each.access_key}
            for name, each in found
        ]  # fmt: skip
        print_json(told)
        return 0
    rows = [
        [name, each.kind, each.endpoint or "-", each.region, each.access_key or "-"]
        for name, each in found
    ]
    print_table(["NAME", "KIND", "ENDPOINT", "REGION", "ACCESS KEY"], rows)
    return 0


def _remove(options: argparse.Namespace) -> int:
    known = Registry(config.remotes_file())
    for name in options.names:
        known.remove(name)
    return 0
