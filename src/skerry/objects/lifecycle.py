"""Rules that act at once: each key is looked at when its time has come, and judged by the rules then.

A timer, not a scanner: it sleeps until the next moment of the index `due`. Only a change of rules
looks through a whole bucket, in small steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING

from skerry.base import Denied
from skerry.objects import buckets, due, rules, store, versions
from skerry.objects.records import UploadGone, VersionGone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skerry.objects.context import Objects
    from skerry.objects.due import Due
    from skerry.objects.model import Bucket
    from skerry.objects.rules import Rule, Seen
    from skerry.objects.writer import Transaction

_AT_ONCE_MAX = 200  # keys that are judged in one write; others wait for so many
_THROUGH_AT_ONCE = 300
_LOOK_S = 0.5  # a rule acts within a second of its time, whatever the clock does meanwhile


async def put_rules(objects: Objects, name: str, wanted: Sequence[Rule] | None) -> None:
    """Give a bucket rules in place of those it has, or none. Raises NotFound(no_such_bucket)."""
    await buckets.put_setting(
        objects, name, rules.SETTING, rules.say_rules(wanted) if wanted else None
    )
    objects.ruled.set()


async def keep_rules(objects: Objects) -> None:
    """End what the rules end, when it is time, for ever. Raises as writing does."""
    while True:
        objects.ruled.clear()
        while not due.is_ruled(objects.reader):
            await objects.ruled.wait()
            objects.ruled.clear()
        await act(objects)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_wait_s(objects)):
                await objects.ruled.wait()


async def act(objects: Objects) -> None:
    """Do all that is due by now. Raises as writing does."""
    while due.changed_rules(objects.reader):
        await objects.writer.write(
            functools.partial(_look_through, objects.entropy), makes_room=True
        )
    while (at_ns := due.next_at_ns(objects.reader)) is not None and at_ns <= objects.clock.now_ns():
        await objects.writer.write(functools.partial(_judge_all, objects.entropy), makes_room=True)


def _wait_s(objects: Objects) -> float:
    at_ns = due.next_at_ns(objects.reader)
    left_s = _LOOK_S if at_ns is None else (at_ns - objects.clock.now_ns()) / 1e9
    return min(_LOOK_S, max(0.0, left_s))


def _look_through(entropy: Callable[[int], bytes], made: Transaction) -> None:
    """Judge the next keys of a bucket whose rules have changed."""
    found = due.changed_rules(made.connection)
    if found is None:
        return
    number, from_key = found
    keys = due.keys_from(made.connection, number, from_key, _THROUGH_AT_ONCE)
    for key in keys:
        due.look_at(made.connection, number, key.decode(), 0)
        _judge(entropy, made, due.Due(number, key.decode(), ""))
    is_all = len(keys) < _THROUGH_AT_ONCE
    due.looked_through(made.connection, number, None if is_all else keys[-1] + b"\0")


def _judge_all(entropy: Callable[[int], bytes], made: Transaction) -> None:
    for each in due.due_by(made.connection, made.now_ns, _AT_ONCE_MAX):
        _judge(entropy, made, each)


def _judge(entropy: Callable[[int], bytes], made: Transaction, each: Due) -> None:
    due.looked_at(made.connection, each)
    bucket = store.bucket_of_number(made.connection, each.bucket)
    in_force = due.rules_of(made.connection, each.bucket)
    if bucket is None or not in_force:
        return
    if each.upload_id:
        _judge_upload(made, each, in_force)
        return
    known = rules.seen(due.all_of_key(made.connection, each.bucket, each.key))
    planned = rules.plan(known, in_force, made.now_ns)
    due.look_at(made.connection, each.bucket, each.key, planned.next_ns)
    # Each has the key looked at once more. The oldest first: a marker that ends the current version of
    # a bucket whose versions are suspended takes the place of a former `null`, which is gone by then.
    for ended in reversed(planned.ended):
        _end(entropy, made, bucket, ended)


def _judge_upload(made: Transaction, each: Due, in_force: Sequence[Rule]) -> None:
    upload = store.upload(made.connection, each.upload_id)
    if upload is None:
        return
    end_ns = rules.upload_end_ns(upload.key, upload.begun_at_ns, in_force)
    if end_ns is not None and end_ns <= made.now_ns:
        made.put(UploadGone(upload.upload_id))
    else:
        due.look_at(made.connection, each.bucket, each.key, end_ns, each.upload_id)


def _end(entropy: Callable[[int], bytes], made: Transaction, bucket: Bucket, ended: Seen) -> None:
    version = ended.version
    is_current = ended.former_since_ns is None and not version.is_marker
    if is_current and bucket.versioning != "off":
        with contextlib.suppress(Denied):  # a lock outlives the rule
            versions.check_replaceable(bucket, version, made.now_ns)
            versions.put_marker(made, bucket, version.key, entropy(versions.RANDOM_BYTES))
        return
    made.put(VersionGone(bucket.number, version.key, version.version_id))
