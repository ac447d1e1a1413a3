"""`skerry bucket`: buckets here or at any S3, and the documents that are set for them."""

import argparse
import functools
import sys
from typing import Literal, TypeAlias

from skerry.base import Denied, Invalid, NotBuilt, NotFound
from skerry.cli.connection import count, size
from skerry.cli.documents import numbers_in, read_document, says_nothing
from skerry.cli.output import print_json, print_pairs, print_table, say
from skerry.cli.parser import Parser, WrongUsage
from skerry.cli.remotes import agreed, clients
from skerry.cli.unwinding import run_interruptible
from skerry.remotes.ends import delete_objects
from skerry.remotes.model import Place, bucket_place, place
from skerry.remotes.s3 import S3, document, pages, told

_BUCKET = "BUCKET, or NAME:BUCKET on a remote"

_Form: TypeAlias = Literal["json", "xml"]

# What `skerry bucket WORD` sends and fetches: the query at S3, and the form of the document.
_DOCUMENTS: dict[str, tuple[str, _Form, str]] = {
    "policy": ("policy", "json", "Who may do what with a bucket, in IAM's JSON"),
    "lifecycle": ("lifecycle", "xml", "When objects of a bucket are deleted, in S3's XML"),
    "cors": ("cors", "xml", "Which web pages may read a bucket, in S3's XML"),
    "website": ("website", "xml", "How a bucket is served as a web site, in S3's XML"),
    "encryption": ("encryption", "xml", "How a bucket is encrypted, in S3's XML"),
    "notification": ("notification", "xml", "Whom changes of a bucket are told, in S3's XML"),
    "lock": ("object-lock", "xml", "How long versions of a bucket are locked, in S3's XML"),
    "tags": ("tagging", "xml", "The tags of a bucket, in S3's XML"),
}


def declare_bucket(parser: Parser) -> None:
    """Declare the commands below `skerry bucket`."""
    listing = parser.command("list", "List buckets", _list)
    listing.argument("remote", metavar="NAME", nargs="?", default="", help="a remote")
    create = parser.command("create", "Make buckets", _create)
    create.argument("buckets", metavar="BUCKET", nargs="+", help=_BUCKET)
    create.argument("--versioning", action="store_true", help="keep the versions of objects")
    create.argument("--lock", action="store_true", help="versions can be locked; keeps them too")
    info = parser.command("info", "Tell what is set for a bucket", _info)
    delete = parser.command("delete", "Delete buckets, which are empty", _delete)
    delete.argument("buckets", metavar="BUCKET", nargs="+", help=_BUCKET)
    delete.argument("--force", action="store_true", help="and all that is in them, all versions")
    delete.argument("-y", "--yes", action="store_true", help="do not ask first")
    versioning = parser.command("versioning", "Whether versions of objects are kept", _versioning)
    for below in (info, versioning):
        below.argument("bucket", metavar="BUCKET", help=_BUCKET)
    versioning.argument(
        "state", metavar="STATE", nargs="?", choices=("on", "off"),
        help="those that are there stay at off (default: tell)",
    )  # fmt: skip
    quota = parser.command("quota", "How much a bucket may hold, at a Skerry", _quota)
    quota.argument("bucket", metavar="BUCKET", help=_BUCKET)
    quota.argument("--bytes", metavar="SIZE", type=size(0, 1 << 60), help="at most, such as 20G")
    quota.argument("--objects", metavar="N", type=count(0, 10**15), help="at most so many")
    quota.argument("--delete", action="store_true", help="take it away")
    for word, (query, form, summary) in _DOCUMENTS.items():
        run = functools.partial(_document, query=query, form=form)
        below = parser.command(word, summary, run)
        below.argument("bucket", metavar="BUCKET", help=_BUCKET)
        below.argument(
            "file", metavar="FILE", nargs="?", help="set it to this; - is stdin (default: print it)"
        )
        below.argument("--delete", action="store_true", help="take it away")


def _client(options: argparse.Namespace, text: str) -> tuple[S3, Place]:
    found = bucket_place(text)
    return clients(options)(found), found


def _list(options: argparse.Namespace) -> int:
    found = place(options.remote if ":" in options.remote else f"{options.remote}:")
    client = clients(options)(found)
    with told():
        buckets = client.list_buckets()["Buckets"]
    rows = [[each["Name"], f"{each['CreationDate']:%Y-%m-%dT%H:%M:%SZ}"] for each in buckets]
    if options.json:
        print_json([{"name": name, "created_at": moment} for name, moment in rows])
        return 0
    print_table(["NAME", "MADE"], rows)
    return 0


def _create(options: argparse.Namespace) -> int:
    for text in options.buckets:
        client, found = _client(options, text)
        asked: dict[str, object] = {"Bucket": found.bucket}
        if options.lock:
            asked["ObjectLockEnabledForBucket"] = True
        region = client.meta.region_name
        if region != "us-east-1":
            asked["CreateBucketConfiguration"] = {"LocationConstraint": region}
        with told(found.bucket):
            client.create_bucket(**asked)
        if options.versioning:
            _set_versioning(client, found.bucket, "Enabled")
    return 0


def _set_versioning(client: S3, bucket: str, status: str) -> None:
    with told(bucket):
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def _status(client: S3, bucket: str) -> str:
    with told(bucket):
        status = client.get_bucket_versioning(Bucket=bucket).get("Status", "")
    return {"Enabled": "on", "Suspended": "off"}.get(status, "never")


def _versioning(options: argparse.Namespace) -> int:
    client, found = _client(options, options.bucket)
    if options.state:
        status = {"on": "Enabled", "off": "Suspended"}[options.state]
        _set_versioning(client, found.bucket, status)
        return 0
    state = _status(client, found.bucket)
    if options.json:
        print_json({"versioning": state})
    else:
        print(state)
    return 0


def _info(options: argparse.Namespace) -> int:
    client, found = _client(options, options.bucket)
    with told(found.bucket):
        region = client.get_bucket_location(Bucket=found.bucket).get("LocationConstraint")
    facts = {"name": found.bucket, "region": region or "us-east-1"}
    facts["versioning"] = _status(client, found.bucket)
    for word, (query, _, _) in _DOCUMENTS.items():
        facts[word] = _is_set(client, found.bucket, query)
    if options.json:
        print_json(facts)
    else:
        print_pairs([*facts.items()])
    return 0


def _is_set(client: S3, bucket: str, query: str) -> str:
    try:
        return "-" if says_nothing(document(client, "GET", bucket, query)) else "set"
    except NotFound:
        return "-"
    except (Denied, Invalid, NotBuilt):
        return "?"  # the remote does not know it, or this key may not


def _document(options: argparse.Namespace, *, query: str, form: _Form) -> int:
    client, found = _client(options, options.bucket)
    if options.delete:
        if options.file is not None:
            raise WrongUsage("bad_document", "Either set it or delete it.")
        document(client, "DELETE", found.bucket, query)
    elif options.file is not None:
        document(client, "PUT", found.bucket, query, read_document(options.file, form))
    else:
        sys.stdout.write(document(client, "GET", found.bucket, query).decode().rstrip() + "\n")
    return 0


def _quota(options: argparse.Namespace) -> int:
    """Tell or set a quota. Skerry's own: at other stores a PUT of it would make a bucket."""
    client, found = _client(options, options.bucket)
    asked = {"Bytes": options.bytes, "Objects": options.objects}
    limits = "".join(f"<{name}>{n}</{name}>" for name, n in asked.items() if n is not None)
    if options.delete and limits:
        raise WrongUsage("bad_quota", "Either set it or delete it.")
    now = _quota_now(client, found.bucket)
    if options.delete:
        document(client, "DELETE", found.bucket, "quota")
    elif limits:
        document(client, "PUT", found.bucket, "quota", f"<Quota>{limits}</Quota>".encode())
    elif options.json:
        print_json(now)
    else:
        print_pairs([(name, str(value)) for name, value in now.items()] or [("quota", "-")])
    return 0


def _quota_now(client: S3, bucket: str) -> dict[str, int]:
    """Return what a quota says, nothing if there is none. Raises NotBuilt(no_quotas)."""
    try:
        said = numbers_in(document(client, "GET", bucket, "quota"), "Quota")
    except NotFound as error:
        if error.details.get("remote_code") != "NoSuchQuotaConfiguration":
            raise
        return {}
    if said is None:
        raise NotBuilt("no_quotas", f"{bucket}: this store knows no quotas of buckets.")
    return said


def _delete(options: argparse.Namespace) -> int:
    named = [_client(options, text) for text in options.buckets]
    if options.force and not options.yes:
        words = ", ".join(str(found) for _, found in named)
        if not agreed(f"Delete {words} and all that is in them, for good?"):
            return 1
    return run_interruptible(lambda: _delete_all(named, empties=options.force))


def _delete_all(named: list[tuple[S3, Place]], *, empties: bool) -> int:
    for client, found in named:
        if empties:
            _empty(client, found.bucket)
        with told(found.bucket):
            client.delete_bucket(Bucket=found.bucket)
    return 0


def _empty(client: S3, bucket: str) -> None:
    for page in pages(client, "list_multipart_uploads", Bucket=bucket):
        for each in page.get("Uploads", ()):
            with told(bucket):
                client.abort_multipart_upload(
                    Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"]
                )
    for page in pages(client, "list_object_versions", Bucket=bucket):
        rows = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        goes = [{"Key": row["Key"], "VersionId": row["VersionId"]} for row in rows]
        for reason in delete_objects(client, bucket, goes) if goes else ():
            say(f"skerry: not deleted: {reason}")
