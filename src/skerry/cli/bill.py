"""`skerry bill`: what boxes cost, at one's own prices or those of others."""

import argparse

from skerry.base import format_dollars
from skerry.cli.connection import connect
from skerry.cli.output import print_json, print_table, say
from skerry.cli.parser import Parser
from skerry.cli.usage import declare_span
from skerry.client import metering
from skerry.wire.metering import Bill, PriceBook


def declare_bill(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("box", metavar="BOX", nargs="?", help="one box, by name or id (default: all)")
    parser.argument("--account", metavar="ACCOUNT", help="the boxes of one account")
    parser.argument(
        "--as", dest="prices", metavar="PRICES",
        help="at whose prices; --prices lists them (default: own-machine)",
    )  # fmt: skip
    parser.argument("--prices", dest="list", action="store_true", help="list the price books")
    declare_span(parser, "the beginning of this month")
    parser.argument("--csv", action="store_true", help="print CSV")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Print a bill."""
    asked = {
        "prices": options.prices,
        "box": options.box,
        "account": options.account,
        "since": options.since,
        "until": options.until,
    }
    async with connect(options) as cloud:
        if options.list:
            books = await metering.prices(cloud.calls)
            print_json(books) if options.json else _print_books(books)
            return 0
        if options.csv:
            print(await metering.bill_csv(cloud.calls, **asked), end="")
            return 0
        made = await metering.bill(cloud.calls, **asked)
    print_json(made) if options.json else _print(made)
    return 0


def _print(made: Bill) -> None:
    dated = f" ({made.dated})" if made.dated else ""
    say(f"{made.title}{dated}, {made.since[:16]} to {made.until[:16]} UTC. {made.note}".rstrip())
    if not made.lines:
        return
    labels = [charge.label for charge in made.lines[0].charges]
    rows = [
        [
            line.box or "(gone)",
            *(format_dollars(charge.amount_nanodollars) for charge in line.charges),
            format_dollars(line.amount_nanodollars),
        ]
        for line in made.lines
    ]
    sums = [
        format_dollars(sum(line.charges[i].amount_nanodollars for line in made.lines))
        for i in range(len(labels))
    ]
    rows.append(["total", *sums, format_dollars(made.amount_nanodollars)])
    print_table(["BOX", *(label.upper() for label in labels), "TOTAL"], rows)


def _print_books(books: list[PriceBook]) -> None:
    rows = [
        [book.name, rate.label, format_dollars(rate.price_nanodollars), rate.unit, book.dated]
        for book in books
        for rate in book.rates
    ]
    print_table(["PRICES", "FOR", "PRICE", "PER", "AS OF"], rows)
