"""`skerry info`: one box, and what it uses now."""

import argparse

from skerry import wire
from skerry.cli.connection import connect
from skerry.cli.output import age, print_json, print_pairs, size
from skerry.cli.parser import Parser


def declare_info(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("box", metavar="BOX", help="the box")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Print what is known of a box."""
    async with connect(options) as cloud:
        box = await cloud.box(options.box).info()
    if options.json:
        print_json(box)
    else:
        print_pairs(_pairs(box))
    return 0


def _pairs(box: wire.Box) -> list[tuple[str, str]]:
    used, limits = box.usage or wire.Usage(), box.limits
    cpu = "-" if used.cpu_seconds is None else f"{used.cpu_seconds:.1f} s"
    count = "-" if used.processes is None else str(used.processes)
    hit = box.limits_hit
    return [
        ("name", box.name),
        ("id", box.id),
        ("status", box.status),
        ("image", box.image),
        ("forked from", box.forked_from or "-"),
        ("labels", ", ".join(box.labels) or "-"),
        ("address", box.address),
        ("created", age(box.created_at)),
        ("last running", age(box.last_running_at)),
        ("cpu", f"{cpu} used, {limits.cpus or 0:g} at a time"),
        ("memory", f"{size(used.memory_bytes)} of {size(limits.memory_bytes)}"),
        ("disk", f"{size(used.disk_bytes)} of {size(limits.disk_bytes)}"),
        ("processes", f"{count} of {limits.processes}"),
        ("limits hit", "-" if hit is None else _hit(hit)),
    ]


def _hit(hit: wire.LimitsHit) -> str:
    said = [
        f"memory {hit.memory} times" if hit.memory else "",
        f"processes {hit.processes} times" if hit.processes else "",
        "the disk is full" if hit.disk else "",
    ]
    return ", ".join(filter(None, said)) or "none"
