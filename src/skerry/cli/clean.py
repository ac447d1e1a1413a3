"""`skerry clean`: hidden versions and unfinished uploads, deleted for good."""

import argparse
from dataclasses import asdict

from skerry.base import format_dollars, format_size, nanodollars
from skerry.cli.connection import count, fraction, seconds
from skerry.cli.output import ProgressLine, print_json, printable, say
from skerry.cli.parser import Parser
from skerry.cli.remotes import agreed, remote_of
from skerry.host.clock import SystemClock
from skerry.remotes.b2_shelf import B2Shelf, bucket_names, connect_b2
from skerry.remotes.clean_plan import Rules
from skerry.remotes.cleaning import Amount, Clean, Pace
from skerry.remotes.model import Place, place
from skerry.remotes.s3 import connect, told
from skerry.remotes.s3_shelf import S3Shelf
from skerry.remotes.shelf import Shelf

_DAY_NS = 86_400 * 10**9
_GB = 10**9  # as bills have it
_KEEP_MAX = 1_000_000
_RATE_MAX = 10_000


def declare_clean(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "place", metavar="REMOTE[:BUCKET]",
        help="a remote, all its buckets, or one; :BUCKET is on the store that is used when none "
        "is named",
    )  # fmt: skip
    parser.argument("--prefix", metavar="TEXT", default="", help="only keys that begin with it")
    parser.argument(
        "--older-than", metavar="TIME", type=seconds,
        help="only what was hidden, or begun, that long ago, such as 7d (default: all that is "
        "hidden; uploads that began 1d ago, as others may still go on)",
    )  # fmt: skip
    parser.argument(
        "--keep", metavar="N", type=count(0, _KEEP_MAX), default=0,
        help="leave so many hidden versions of each object, the newest (default: 0)",
    )  # fmt: skip
    parser.argument(
        "--rate", metavar="N", type=fraction(_RATE_MAX), default=50.0,
        help="requests in a second at most (default: 50)",
    )  # fmt: skip
    parser.argument(
        "--price-per-gb-month", metavar="DOLLARS",
        help="what the remote asks, to tell what this saves",
    )  # fmt: skip
    parser.argument("-n", "--dry-run", action="store_true", help="only tell what would go")
    parser.argument("-y", "--yes", action="store_true", help="do not ask first")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Survey each bucket, ask, and clean it; 1 if something could not be deleted."""
    clock, line = SystemClock(), ProgressLine()
    pace = Pace(clock, options.rate)
    rules = _rules(options, clock.now_ns())
    price = _price(options)
    code, reports = 0, list[dict[str, object]]()
    for shelf in _shelves(options):
        clean = Clean(
            shelf=shelf, rules=rules, pace=pace, prefix=options.prefix,
            watcher=lambda now: line.show(_progress(now)),
        )  # fmt: skip
        would = await clean.survey()
        line.clear()
        gone = None
        if not options.json:
            say(f"{shelf.name}: {_words(would, price)}")
        if not would.is_nothing and not options.dry_run:
            if not options.yes and not agreed(f"Delete that from {shelf.name}, for good?"):
                return 1
            gone = await clean.carry_out()
            line.clear()
            code = max(code, _told(gone, shelf.name, price, as_json=options.json))
        reports.append(_report(shelf.name, would, gone, price))
    if options.json:
        print_json(reports)
    return code


def _rules(options: argparse.Namespace, now_ns: int) -> Rules:
    older_ns = None if options.older_than is None else round(options.older_than * 10**9)
    return Rules(
        keep=options.keep,
        hidden_before_ns=now_ns - older_ns if older_ns else None,
        began_before_ns=now_ns - (_DAY_NS if older_ns is None else older_ns),
    )


def _price(options: argparse.Namespace) -> int | None:
    """Return nano-dollars for a GB and month. Raises Invalid(bad_money)."""
    said = options.price_per_gb_month
    return None if said is None else nanodollars(said)


def _shelves(options: argparse.Namespace) -> list[Shelf]:
    """Return the buckets that the options name. Raises as `Shelf`, and as `remote_of`."""
    text = options.place
    found = place(text if ":" in text else f"{text}:")
    remote = remote_of(options, found.remote)
    if remote.kind == "b2":
        api = connect_b2(remote)
        return [B2Shelf(api, name) for name in _names(found) or bucket_names(api)]
    client = connect(remote)
    names = _names(found)
    if not names:
        with told():
            names = [each["Name"] for each in client.list_buckets()["Buckets"]]
    return [S3Shelf(client, name) for name in names]


def _names(found: Place) -> list[str]:
    return [found.bucket] if found.bucket else []


def _progress(now: Amount) -> str:
    return (
        f"{now.seen} versions looked at, {now.versions + now.markers + now.uploads} to go or gone, "
        f"{format_size(now.size_bytes)}"
    )


def _words(amount: Amount, price: int | None) -> str:
    if amount.is_nothing:
        words = "nothing to delete"
    else:
        words = (
            f"{amount.versions} hidden versions, {amount.markers} delete markers and "
            f"{amount.uploads} unfinished uploads, {format_size(amount.size_bytes)}"
        )
        if price is not None:
            words += f", {format_dollars(_saved(amount, price))} a month"
    if amount.young:
        words += f"; {amount.young} uploads are younger and stay"
    return f"{words}."


def _saved(amount: Amount, price: int) -> int:
    return amount.size_bytes * price // _GB


def _told(gone: Amount, name: str, price: int | None, *, as_json: bool) -> int:
    if not as_json:
        say(f"{name}: deleted {_words(gone, price)}")
        for reason in gone.reasons:
            say(f"skerry: not deleted: {printable(reason)}")
        if gone.refused > len(gone.reasons):
            say(f"skerry: and {gone.refused - len(gone.reasons)} more.")
    return 1 if gone.refused else 0


def _report(name: str, would: Amount, gone: Amount | None, price: int | None) -> dict[str, object]:
    told_of: dict[str, object] = {"bucket": name, "found": asdict(would)}
    if price is not None:
        told_of["saves_nanodollars_per_month"] = _saved(would, price)
    return told_of | {"deleted": None if gone is None else asdict(gone)}
