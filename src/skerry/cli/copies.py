"""`skerry object cp` and `sync`: between files of this machine and objects anywhere."""

import argparse
import contextlib
import os
from collections.abc import Generator, Iterator

from skerry.cli.output import ProgressLine, print_json, printable
from skerry.cli.parser import WrongUsage
from skerry.cli.remotes import clients, report, watcher
from skerry.cli.unwinding import run_interruptible
from skerry.remotes.content import other_content
from skerry.remotes.copying import End, carry_out, copy_one, items
from skerry.remotes.ends import Prefix
from skerry.remotes.model import File, Place, place_or_file
from skerry.remotes.s3 import S3, told
from skerry.remotes.sync_plan import Step, newer_or_other_size, plan
from skerry.remotes.trees import opened_tree

_READ_BYTES = 1 << 20


def copy(options: argparse.Namespace) -> int:
    """Copy one, or with --recursive all that is below it."""
    source, target = place_or_file(options.source), place_or_file(options.target)
    _check(source, target)
    if isinstance(target, File) and target.is_stream and isinstance(source, Place):
        write_out(clients(options)(source), source, None)
        return 0
    return run_interruptible(lambda: _copy(options, source, target))


def _copy(options: argparse.Namespace, source: Place | File, target: Place | File) -> int:
    line = ProgressLine()
    if not options.recursive:
        if isinstance(source, File) and os.path.isdir(source.path):
            raise WrongUsage("bad_address", f"{source.path} is a directory. Say --recursive.")
        done = copy_one(source, target, clients(options), watcher(line))
    else:
        with _ends(options, source, target, makes=True) as (there, here):
            steps = (Step("copy", each) for each in items(there))
            done = carry_out(there, here, steps, watcher(line))
    return report(done, line, as_json=options.json)


def sync(options: argparse.Namespace) -> int:
    """Copy what is new or changed, and with --delete delete what is no longer there."""
    source, target = place_or_file(options.source), place_or_file(options.target)
    _check(source, target)
    return run_interruptible(lambda: _sync(options, source, target))


def _sync(options: argparse.Namespace, source: Place | File, target: Place | File) -> int:
    line = ProgressLine()
    with _ends(options, source, target, makes=not options.dry_run) as (there, here):
        differs = other_content(there, here) if options.checksum else newer_or_other_size
        steps = plan(items(there), items(here), differs, deletes=options.delete)
        if options.dry_run:
            return _print_steps(steps, as_json=options.json)
        return report(carry_out(there, here, steps, watcher(line)), line, as_json=options.json)


def _print_steps(steps: Iterator[Step], *, as_json: bool) -> int:
    told_of = ({"verb": each.verb, "key": each.item.key} for each in steps)
    if as_json:
        print_json([*told_of])
        return 0
    for each in told_of:
        print(f"would {each['verb']}  {printable(each['key'])}")
    return 0


def _check_apart(source: Place | File, target: Place | File) -> None:
    """Refuse ends of which one lies in the other: a copy would find what it has just written."""
    match source, target:
        case Place(), Place() if (source.remote, source.bucket) == (target.remote, target.bucket):
            one, other = (f"{each.key.strip('/')}/".lstrip("/") for each in (source, target))
            if one.startswith(other) or other.startswith(one):
                raise WrongUsage("bad_address", f"{source} and {target} lie in each other.")
        case _:
            pass


def _check(source: Place | File, target: Place | File) -> None:
    if isinstance(source, File) and isinstance(target, File):
        raise WrongUsage(
            "bad_address",
            "Both are files of this machine. Write :BUCKET/KEY, NAME:BUCKET/KEY or "
            "s3://BUCKET/KEY for an object.",
        )


@contextlib.contextmanager
def _ends(
    options: argparse.Namespace, source: Place | File, target: Place | File, *, makes: bool
) -> Generator[tuple[End, End]]:
    _check_apart(source, target)
    client_of = clients(options)
    with contextlib.ExitStack() as opened:

        def end(found: Place | File, *, makes: bool) -> End:
            if isinstance(found, Place):
                return Prefix.at(client_of(found), found)
            if found.is_stream:
                raise WrongUsage("bad_address", "- is one stream of bytes, no directory.")
            return opened.enter_context(opened_tree(found.path, makes=makes))

        yield end(source, makes=False), end(target, makes=makes)


def write_out(client: S3, found: Place, version: str | None) -> None:
    """Write an object to standard output. Raises as `told`."""
    named = {"VersionId": version} if version else {}
    with told(found):
        body = client.get_object(Bucket=found.bucket, Key=found.key, **named)["Body"]
        while data := body.read(_READ_BYTES):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(1, rest) :]
