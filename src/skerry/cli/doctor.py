"""`skerry doctor`: what the machine has and lacks."""

import argparse
import asyncio
from collections.abc import Sequence

from skerry import wire
from skerry.cli.output import print_json, print_table
from skerry.cli.parser import Parser


def declare_doctor(parser: Parser) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check this machine, or with --url ask a daemon about its own; 1 if something is missing."""
    results = asyncio.run(_remote(options)) if options.url else _local(options)
    report = wire.DoctorReport(all(each.state != "missing" for each in results), [*results])
    if options.json:
        print_json(report)
    else:
        print_table(
            ["", "CHECK", "FOUND", "WHAT TO DO"],
            [[each.state, each.name, each.found, each.advice] for each in results],
        )
    return 0 if report.ok else 1


async def _remote(options: argparse.Namespace) -> Sequence[wire.CheckResult]:
    from skerry.cli.connection import connect  # noqa: PLC0415 - most checks are of this machine

    async with connect(options) as cloud:
        return (await cloud.doctor()).checks


def _local(options: argparse.Namespace) -> Sequence[wire.CheckResult]:
    from skerry import config  # noqa: PLC0415 - not needed to ask another machine
    from skerry.host import checks  # noqa: PLC0415 - as above

    settings = config.from_arguments(argparse.Namespace(data=options.data))
    return [
        wire.CheckResult(name=c.name, state=c.state, found=c.found, advice=c.advice)
        for c in checks.check_machine(str(settings.data))
    ]
