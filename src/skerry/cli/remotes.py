"""From words of the command line to stores. What speaks to them is imported here, late."""

import argparse
import sys
from collections.abc import Callable

from skerry import config
from skerry.base import Invalid, format_size
from skerry.cli.output import ProgressLine, print_json, printable, say
from skerry.remotes.choosing import chosen
from skerry.remotes.copying import Done
from skerry.remotes.model import Place, Remote
from skerry.remotes.registry import Registry
from skerry.remotes.s3 import S3, connect
from skerry.remotes.transfers import Moved, Watcher


def registry() -> Registry:
    """Return the remotes that this user has added."""
    return Registry(config.remotes_file())


def remote_of(options: argparse.Namespace, name: str) -> Remote:
    """Return the remote of that name, empty for the one that is used when none is named."""
    objects = config.objects_directory(options.data)
    return chosen(name, registry(), config.environment(), objects)


def clients(options: argparse.Namespace) -> Callable[[Place], S3]:
    """Return what gives the client of a place's remote, one for each remote."""
    made: dict[str, S3] = {}

    def client_of(place: Place) -> S3:
        if place.remote not in made:
            made[place.remote] = connect(remote_of(options, place.remote))
        return made[place.remote]

    return client_of


def watcher(line: ProgressLine) -> Watcher:
    """Return what shows on a line how far copies are."""

    def watch(now: Moved) -> None:
        line.show(f"{now.files} files, {format_size(now.size_bytes)}  {now.path}")

    return watch


def report(done: Done, line: ProgressLine, *, as_json: bool) -> int:
    """Say what was copied and deleted; 1 if something could not be."""
    line.clear()
    if as_json:
        print_json(
            {"files": done.files, "size_bytes": done.size_bytes, "deleted": done.deleted,
             "skipped": [*done.skipped]}
        )  # fmt: skip
    else:
        deleted = f", deleted {done.deleted}" if done.deleted else ""
        files = "1 file" if done.files == 1 else f"{done.files} files"
        say(f"Copied {files}, {format_size(done.size_bytes)}{deleted}.")
        for each in done.skipped:
            say(f"skerry: skipped {printable(each)}")
    return 1 if done.skipped else 0


def agreed(question: str) -> bool:
    """Ask at the terminal; True for yes. Raises Invalid(not_confirmed) where nobody is."""
    if not sys.stdin.isatty():
        raise Invalid("not_confirmed", "Nobody is here to be asked. Say --yes.")
    print(f"{printable(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
