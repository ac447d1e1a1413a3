"""`skerry usage`: what boxes used."""

import argparse

from skerry.cli.connection import connect
from skerry.cli.output import print_json, print_table, size
from skerry.cli.parser import Parser
from skerry.client import metering
from skerry.wire.metering import UsageReport, UsageRow

_HOUR_S = 3600
_HEAD = ["CPU", "MEMORY", "WRITTEN", "STORED", "RECEIVED", "SENT", "RUNNING", "WARM", "COLD"]


def declare_usage(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("box", metavar="BOX", nargs="?", help="one box, by name or id (default: all)")
    parser.argument("--account", metavar="ACCOUNT", help="the boxes of one account")
    declare_span(parser, "24h")
    parser.argument(
        "--by", choices=("hour", "day", "box"), default="box", help="one line for each of these"
    )
    parser.argument("--csv", action="store_true", help="print CSV")
    parser.set_defaults(run=run)


def declare_span(parser: Parser, default: str) -> None:
    """Declare the two ends of a span of time."""
    parser.argument(
        "--since", metavar="TIME",
        help=f"since when: 24h or 7d ago, 2026-11-01, or all (default: {default})",
    )  # fmt: skip
    parser.argument("--until", metavar="TIME", help="until when (default: now)")


async def run(options: argparse.Namespace) -> int:
    """Print a table of use."""
    asked = {
        "box": options.box,
        "account": options.account,
        "since": options.since,
        "until": options.until,
        "by": options.by,
    }
    async with connect(options) as cloud:
        if options.csv:
            print(await metering.usage_csv(cloud.calls, **asked), end="")
            return 0
        report = await metering.usage(cloud.calls, **asked)
    if options.json:
        print_json(report)
    else:
        _print(report)
    return 0


def _print(report: UsageReport) -> None:
    rows = [[_title(row, report.by), *_cells(row)] for row in report.rows]
    if len(rows) > 1:
        rows.append(["total", *_cells(report.total)])
    print_table([report.by.upper(), *_HEAD], rows)


def _title(row: UsageRow, by: str) -> str:
    if by == "box":
        return row.box or "(gone)"
    return row.start[: 16 if by == "hour" else 10].replace("T", " ") if row.start else "(older)"


def _cells(row: UsageRow) -> list[str]:
    memory = _add(row.memory_byte_seconds, row.warm_memory_byte_seconds)
    return [
        "-" if row.cpu_seconds is None else _time(row.cpu_seconds),
        _hours(memory),
        size(row.written_bytes),
        _hours(row.stored_byte_seconds),
        size(row.received_bytes),
        size(row.sent_bytes),
        _time(row.running_seconds),
        _time(row.warm_seconds),
        _time(row.cold_seconds),
    ]


def _add(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)


def _hours(byte_seconds: int | None) -> str:
    """Return byte-seconds in GiB hours, which is what they are paid by."""
    return "-" if byte_seconds is None else f"{byte_seconds / (_HOUR_S << 30):.3g} GiB h"


def _time(seconds: float) -> str:
    """Return a time to be compared with those above and below it."""
    if seconds < _HOUR_S:
        return f"{seconds:.1f} s"
    return f"{seconds / _HOUR_S:.1f} h"
