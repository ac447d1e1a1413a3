"""`skerry object`: objects here or at any S3."""

import argparse
import datetime as dt
from typing import Any

from skerry.base import format_size
from skerry.cli.connection import seconds
from skerry.cli.copies import copy, sync, write_out
from skerry.cli.output import ProgressLine, print_json, print_pairs, printable, say
from skerry.cli.parser import Parser, WrongUsage
from skerry.cli.remotes import agreed, clients
from skerry.cli.unwinding import run_interruptible
from skerry.remotes.ends import Prefix, delete_objects
from skerry.remotes.model import Place, object_place, place
from skerry.remotes.s3 import pages, told

_EXPIRES_S_MAX = 7 * 86_400  # of version 4 of the signature
_ADDRESS = "BUCKET/KEY, or NAME:BUCKET/KEY on a remote"
_END = "a path, or :BUCKET/KEY, NAME:BUCKET/KEY or s3://BUCKET/KEY for an object"


def declare_object(parser: Parser) -> None:
    """Declare the commands below `skerry object`."""
    listing = parser.command("ls", "List objects, or buckets where none is named", _list)
    listing.argument("place", metavar="PLACE", nargs="?", default="", help=f"{_ADDRESS}, or a part")
    listing.argument("-r", "--recursive", action="store_true", help="all below it, not by folders")
    listing.argument("--versions", action="store_true", help="all versions, hidden ones too")
    _declare_copies(parser)
    remove = parser.command("rm", "Delete objects", _remove)
    remove.argument("places", metavar="PLACE", nargs="+", help=_ADDRESS)
    remove.argument("-r", "--recursive", action="store_true", help="and all below PLACE/")
    remove.argument("-y", "--yes", action="store_true", help="do not ask first")
    cat = parser.command("cat", "Write an object to standard output", _cat)
    info = parser.command("info", "Tell what is said of an object", _info)
    presign = parser.command("presign", "Make a URL that opens an object for a while", _presign)
    for below in (cat, info, presign):
        below.argument("place", metavar="PLACE", help=_ADDRESS)
    for below in (remove, cat, info, presign):
        below.argument("--version", metavar="ID", help="that version (default: the current one)")
    presign.argument(
        "--expires", metavar="TIME", type=seconds, default=3600.0,
        help="for how long, up to 7d (default: 1h)",
    )  # fmt: skip
    presign.argument("--put", action="store_true", help="to send an object, not to fetch it")


def _declare_copies(parser: Parser) -> None:
    one = parser.command("cp", "Copy a file or object; one of the two is an object", copy)
    many = parser.command("sync", "Make a directory or prefix like another", sync)
    one.argument("source", metavar="SOURCE", help=f"{_END}; - is standard input")
    one.argument("target", metavar="TARGET", help=f"{_END}; - is standard output")
    one.argument("-r", "--recursive", action="store_true", help="what is below it, into TARGET")
    for name in ("source", "target"):
        many.argument(name, metavar=name.upper(), help=_END)
    many.argument("--delete", action="store_true", help="delete what only TARGET has")
    many.argument("--checksum", action="store_true", help="compare contents, not times")
    many.argument("-n", "--dry-run", action="store_true", help="only print what would be done")


# -- one object ------------------------------------------------------------------------------------


def _named(found: Place, version: str | None) -> dict[str, str]:
    named = {"Bucket": found.bucket, "Key": found.key}
    return named | ({"VersionId": version} if version else {})


def _cat(options: argparse.Namespace) -> int:
    found = object_place(options.place)
    write_out(clients(options)(found), found, options.version)
    return 0


def _info(options: argparse.Namespace) -> int:
    found = object_place(options.place)
    with told(found):
        answer = clients(options)(found).head_object(**_named(found, options.version))
    answer.pop("ResponseMetadata", None)
    metadata = answer.pop("Metadata", {})
    facts = {name: _plain(value) for name, value in sorted(answer.items())}
    if options.json:
        print_json(facts | {"Metadata": metadata})
        return 0
    pairs = [(name, str(value)) for name, value in facts.items()]
    print_pairs(pairs + [(f"Metadata {name}", value) for name, value in sorted(metadata.items())])
    return 0


def _plain(value: Any) -> Any:  # noqa: ANN401 - of an answer of botocore's
    return value.isoformat() if isinstance(value, dt.datetime) else value


def _presign(options: argparse.Namespace) -> int:
    found = object_place(options.place)
    if not 1 <= options.expires <= _EXPIRES_S_MAX:
        raise WrongUsage("bad_expires", "A URL can be good for 1s to 7d.")
    with told(found):
        url = clients(options)(found).generate_presigned_url(
            "put_object" if options.put else "get_object",
            Params=_named(found, options.version), ExpiresIn=int(options.expires),
        )  # fmt: skip
    if options.json:
        print_json({"url": url})
    else:
        print(url)
    return 0


# -- listings --------------------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    found = place(options.place or ":")
    client = clients(options)(found)
    if not found.bucket:
        with told():
            rows = [{"Prefix": f"{b['Name']}/"} for b in client.list_buckets()["Buckets"]]
        return _print_listing([rows], as_json=options.json)
    asked = {"Bucket": found.bucket, "Prefix": found.key}
    if not options.recursive:
        asked["Delimiter"] = "/"
    if options.versions:
        operation, names = "list_object_versions", ("CommonPrefixes", "Versions", "DeleteMarkers")
    else:
        operation, names = "list_objects_v2", ("CommonPrefixes", "Contents")
    listed = (
        sorted(
            (row for name in names for row in page.get(name, ())),
            key=lambda row: row.get("Key", row.get("Prefix", "")),
        )
        for page in pages(client, operation, **asked)
    )
    return _print_listing(listed, as_json=options.json)


def _print_listing(listed: Any, *, as_json: bool) -> int:  # noqa: ANN401 - pages of botocore's rows
    """Print rows as they come: a bucket may have more of them than memory."""
    if as_json:
        print_json([_row(row) for rows in listed for row in rows])
        return 0
    for rows in listed:
        for each in map(_row, rows):
            size = format_size(each["size_bytes"]) if "size_bytes" in each else each["state"]
            words = [f"{size:>10}", f"{each.get('modified_at', ''):20}", printable(each["name"])]
            if "version" in each:
                words.insert(2, f"{each['version']:32} {each['state']:8}")
            print("  ".join(words).rstrip())
    return 0


def _row(row: dict[str, Any]) -> dict[str, Any]:
    if "Key" not in row:
        return {"name": row["Prefix"], "state": "folder"}
    moment = row["LastModified"].astimezone(dt.UTC)
    told_of: dict[str, Any] = {"name": row["Key"], "modified_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
    if "Size" in row:
        told_of["size_bytes"] = row["Size"]
    if "VersionId" in row:
        hidden = "marker" if "Size" not in row else "hidden"
        told_of |= {
            "version": row["VersionId"], "is_latest": row["IsLatest"],
            "state": "current" if row["IsLatest"] and "Size" in row else hidden,
        }  # fmt: skip
    return told_of


# -- many objects ----------------------------------------------------------------------------------


def _remove(options: argparse.Namespace) -> int:
    client_of = clients(options)
    if not options.recursive:
        for found in map(object_place, options.places):
            with told(found):
                client_of(found).delete_object(**_named(found, options.version))
        return 0
    if options.version:
        raise WrongUsage("bad_version", "--version is of one object; leave --recursive away.")
    named = [Prefix.at(client_of(found), found) for found in map(place, options.places)]
    below = ", ".join(f"{each.place}" for each in named)
    if not options.yes and not agreed(f"Delete all objects below {below}?"):
        return 1
    return run_interruptible(lambda: _remove_below(named))


def _remove_below(named: list[Prefix]) -> int:
    line, deleted, refused = ProgressLine(), 0, list[str]()
    for each in named:
        bucket = each.place.bucket
        for page in pages(each.client, "list_objects_v2", Bucket=bucket, Prefix=each.place.key):
            keys = [{"Key": row["Key"]} for row in page.get("Contents", ())]
            if keys:
                refused += delete_objects(each.client, bucket, keys)
            deleted += len(keys)
            line.show(f"{deleted} objects deleted")
    line.clear()
    for reason in refused:
        say(f"skerry: not deleted: {printable(reason)}")
    return 1 if refused else 0
