"""Former versions that a rule ends in the very write that makes them former."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skerry.objects import due, rules
from skerry.objects.records import VersionGone

if TYPE_CHECKING:
    from skerry.objects.model import Bucket
    from skerry.objects.writer import Transaction


def end_formers(made: Transaction, bucket: Bucket, key: str) -> None:
    """End the former versions of a key that was just written, where a rule keeps only so many."""
    in_force = due.rules_in(made.connection, made.changes, bucket.number)
    if not rules.ends_formers_at_once(in_force):
        return
    known = rules.seen(due.all_of_key(made.connection, bucket.number, key))
    for ended in rules.plan(known, in_force, made.now_ns).ended:
        if ended.former_since_ns is not None:
            made.put(VersionGone(bucket.number, key, ended.version.version_id))
