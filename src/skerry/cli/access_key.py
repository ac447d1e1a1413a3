"""`skerry access-key`: keys of an S3 and what they may do, by IAM's calls at the same endpoint.

At AWS a key belongs to a user, and a policy too; so it does here.
"""

import argparse
from collections.abc import Iterator
from typing import Any

from skerry.base import Conflict, NotFound
from skerry.cli.documents import read_document
from skerry.cli.output import print_json, print_table
from skerry.cli.parser import Parser, WrongUsage
from skerry.cli.remotes import remote_of
from skerry.remotes.s3 import S3, connect_iam, pages, told

_POLICY = "skerry"  # the name of the policy that these commands set


def declare_access_key(parser: Parser) -> None:
    """Declare the commands below `skerry access-key`."""
    create = parser.command("create", "Make a key for a user, who is made if need be", _create)
    listing = parser.command("list", "List users and their keys", _list)
    disable = parser.command("disable", "Have keys hold no more, for now", _disable)
    enable = parser.command("enable", "Have keys hold again", _enable)
    delete = parser.command("delete", "Delete keys", _delete)
    policy = parser.command("policy", "What a user may do, in IAM's JSON", _policy_of)
    remove = parser.command("remove-user", "Delete users, their keys and what they may do", _remove)
    for below in (disable, enable, delete):
        below.argument("keys", metavar="KEY", nargs="+", help="the keys, as list has them")
    for below in (create, policy):
        below.argument("user", metavar="USER", help="the user")
    remove.argument("users", metavar="USER", nargs="+", help="the users")
    create.argument("--policy", metavar="FILE", help="what the user may do, in IAM's JSON")
    policy.argument(
        "file", metavar="FILE", nargs="?", help="set it to this; - is stdin (default: print it)"
    )
    policy.argument("--delete", action="store_true", help="take it away: the user may do nothing")
    for below in (create, listing, disable, enable, delete, policy, remove):
        below.argument(
            "--remote", metavar="NAME", default="", help="a remote (default: as for buckets)"
        )


def _iam(options: argparse.Namespace) -> S3:
    return connect_iam(remote_of(options, options.remote))


def _create(options: argparse.Namespace) -> int:
    iam = _iam(options)
    document = None if options.policy is None else read_document(options.policy, "json").decode()
    try:
        with told(options.user):
            iam.create_user(UserName=options.user)
    except Conflict:
        pass  # there already; another key is what is asked for
    with told(options.user):
        if document is not None:
            iam.put_user_policy(UserName=options.user, PolicyName=_POLICY, PolicyDocument=document)
        made = iam.create_access_key(UserName=options.user)["AccessKey"]
    if options.json:
        facts = {"user": made["UserName"], "access_key": made["AccessKeyId"],
                 "secret": made["SecretAccessKey"]}  # fmt: skip
        print_json(facts)
    else:
        # So that it can be sourced by a shell. It is shown this once.
        print(f"AWS_ACCESS_KEY_ID={made['AccessKeyId']}")
        print(f"AWS_SECRET_ACCESS_KEY={made['SecretAccessKey']}")
    return 0


def _users(iam: S3) -> Iterator[str]:
    for page in pages(iam, "list_users"):
        yield from (each["UserName"] for each in page["Users"])


def _keys(iam: S3, user: str) -> Iterator[dict[str, Any]]:
    for page in pages(iam, "list_access_keys", UserName=user):
        yield from page["AccessKeyMetadata"]


def _list(options: argparse.Namespace) -> int:
    iam = _iam(options)
    rows: list[list[str]] = []
    for user in _users(iam):
        keys = [
            [user, each["AccessKeyId"], each["Status"].lower(),
             f"{each['CreateDate']:%Y-%m-%dT%H:%M:%SZ}"]
            for each in _keys(iam, user)
        ]  # fmt: skip
        rows += keys or [[user, "-", "-", "-"]]
    if options.json:
        names = ("user", "access_key", "state", "created_at")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return 0
    print_table(["USER", "KEY", "STATE", "MADE"], rows)
    return 0


def _owners(iam: S3, keys: list[str]) -> dict[str, str]:
    """Return whose each of keys is. Raises NotFound(no_such_key)."""
    owners = {
        each["AccessKeyId"]: user for user in _users(iam) for each in _keys(iam, user)
    }  # fmt: skip
    for key in keys:
        if key not in owners:
            raise NotFound("no_such_key", f"There is no key {key}.")
    return {key: owners[key] for key in keys}


def _disable(options: argparse.Namespace) -> int:
    return _set_status(options, "Inactive")


def _enable(options: argparse.Namespace) -> int:
    return _set_status(options, "Active")


def _set_status(options: argparse.Namespace, status: str) -> int:
    iam = _iam(options)
    for key, user in _owners(iam, options.keys).items():
        with told(key):
            iam.update_access_key(UserName=user, AccessKeyId=key, Status=status)
    return 0


def _delete(options: argparse.Namespace) -> int:
    iam = _iam(options)
    for key, user in _owners(iam, options.keys).items():
        with told(key):
            iam.delete_access_key(UserName=user, AccessKeyId=key)
    return 0


def _policy_of(options: argparse.Namespace) -> int:
    iam = _iam(options)
    named = {"UserName": options.user, "PolicyName": _POLICY}
    if options.delete and options.file is not None:
        raise WrongUsage("bad_document", "Either set it or delete it.")
    if options.delete:
        with told(options.user):
            iam.delete_user_policy(**named)
    elif options.file is not None:
        document = read_document(options.file, "json").decode()
        with told(options.user):
            iam.put_user_policy(**named, PolicyDocument=document)
    else:
        with told(options.user):
            print_json(iam.get_user_policy(**named)["PolicyDocument"])
    return 0


def _remove(options: argparse.Namespace) -> int:
    iam = _iam(options)
    for user in options.users:
        for each in _keys(iam, user):
            with told(user):
                iam.delete_access_key(UserName=user, AccessKeyId=each["AccessKeyId"])
        for page in pages(iam, "list_user_policies", UserName=user):
            for name in page["PolicyNames"]:
                with told(user):
                    iam.delete_user_policy(UserName=user, PolicyName=name)
        with told(user):
            iam.delete_user(UserName=user)
    return 0
