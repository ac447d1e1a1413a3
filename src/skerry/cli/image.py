"""`skerry image`."""

import argparse
import os
from collections.abc import AsyncIterator

from skerry import wire
from skerry.cli.connection import connect
from skerry.cli.output import ProgressLine, age, print_json, print_table
from skerry.cli.parser import Parser


def declare_image(parser: Parser) -> None:
    """Declare the commands below `skerry image`."""
    parser.command("list", "List images", _list)
    build = parser.command("build", "Build an image by a recipe", _build)
    build.argument("image", metavar="IMAGE", help="its name; one of that name is replaced")
    build.argument("--recipe", metavar="RECIPE", help="the recipe (default: that of its name)")
    bring_in = parser.command(
        "import", "Make an image of a directory, a tar of a root, an OCI layout or docker save",
        _import,
    )  # fmt: skip
    bring_in.argument("image", metavar="IMAGE", help="its name")
    bring_in.argument("path", metavar="PATH", help="a path on the machine of the daemon")
    save = parser.command("save", "Keep the disk of a box as an image", _save)
    save.argument("source", metavar="BOX[@CHECKPOINT]", help="a box, or a checkpoint of it")
    save.argument("image", metavar="IMAGE", help="its name")
    delete = parser.command("delete", "Delete images; boxes made from them stay", _delete)
    delete.argument("images", metavar="IMAGE", nargs="+", help="the images")


async def _list(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        images = await cloud.images()
    if options.json:
        print_json(images)
        return 0
    rows = [[image.name, image.id, image.source, age(image.created_at)] for image in images]
    print_table(["NAME", "ID", "SOURCE", "MADE"], rows)
    return 0


async def _build(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        steps = cloud.build_image(options.image, options.recipe)
        return await _follow(steps, options.image, as_json=options.json)


async def _import(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        steps = cloud.import_image(options.image, os.path.abspath(options.path))  # noqa: ASYNC240 - reads no file
        return await _follow(steps, options.image, as_json=options.json)


async def _follow(steps: AsyncIterator[wire.Progress], image: str, *, as_json: bool) -> int:
    """Show how the work goes on; print the image's name, or each step as JSON."""
    line = ProgressLine()
    async for step in steps:
        if as_json:
            print_json(step)
        elif step.type != "complete" and step.data:
            line.log(step.data)
    line.clear()
    if not as_json:
        print(image)
    return 0


async def _save(options: argparse.Namespace) -> int:
    source, _, checkpoint = options.source.partition("@")
    async with connect(options) as cloud:
        made = await cloud.box(source).save_as_image(options.image, checkpoint=checkpoint or None)
    if options.json:
        print_json(made)
    else:
        print(made.name)
    return 0


async def _delete(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        for name in options.images:
            await cloud.delete_image(name)
    return 0
