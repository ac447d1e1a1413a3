"""Operations on object lock: the setting of a bucket, the retention and the hold of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skerry.base import NotFound
from skerry.objects import buckets, locks, versions
from skerry.objects.locks import DefaultRetention
from skerry.objects.model import Lock
from skerry.s3.access import bypasses_governance
from skerry.s3.call import NAMESPACE, Call, bucket_of, empty, iso, xml
from skerry.s3.ingest import read_small
from skerry.s3.lock_headers import mode_of, moment_ns
from skerry.s3.object_calls import present
from skerry.s3.router import Operation
from skerry.s3.xml_in import bad_xml, parsed, text_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from skerry.objects.model import Version
    from skerry.s3.connection import Response


async def get_configuration(call: Call) -> Response:
    """Tell whether a bucket has object lock, and its default retention."""
    bucket = bucket_of(call)
    if not bucket.has_lock:
        raise NotFound("no_such_lock", "The bucket has no object lock.")
    default, rule = locks.default_of(bucket), ""
    if default is not None:
        length = (
            f"<Years>{default.years}</Years>" if default.years else f"<Days>{default.days}</Days>"
        )
        rule = f"<Mode>{default.mode}</Mode>{length}"
        rule = f"<Rule><DefaultRetention>{rule}</DefaultRetention></Rule>"
    return xml(
        f"<ObjectLockConfiguration {NAMESPACE}><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}"
        "</ObjectLockConfiguration>"
    )


async def put_configuration(call: Call) -> Response:
    """Have a bucket lock versions, for good, by default as long as it says."""
    document = parsed(await read_small(call, needs_digest=True), "ObjectLockConfiguration")
    if text_of(document, "ObjectLockEnabled") != "Enabled":
        raise bad_xml("ObjectLockEnabled is Enabled.")
    rule = document.find("Rule")
    default = None if rule is None else _default(rule.find("DefaultRetention"))
    await buckets.change(call.objects, call.bucket, lambda each: locks.locked(each, default))
    return empty()


async def get_retention(call: Call) -> Response:
    """Tell until when a version is kept."""
    lock = _lock_of(call)
    if not lock.mode:
        raise _nothing()
    return xml(
        f"<Retention {NAMESPACE}><Mode>{lock.mode}</Mode>"
        f"<RetainUntilDate>{iso(lock.until_ns)}</RetainUntilDate></Retention>"
    )


async def put_retention(call: Call) -> Response:
    """Say until when a version is kept, or take that back."""
    document = parsed(await read_small(call, needs_digest=True), "Retention")
    mode, until_ns = (
        mode_of(text_of(document, "Mode")),
        moment_ns(text_of(document, "RetainUntilDate")),
    )
    is_empty = len(document) == 0
    if not is_empty and not (mode and until_ns):
        raise bad_xml("A retention has a Mode, GOVERNANCE or COMPLIANCE, and a RetainUntilDate.")
    may_bypass = bypasses_governance(call)  # or it would not have come here
    return await _change(
        call, lambda version, now_ns: locks.retained(
            version, mode, until_ns, now_ns, bypasses_governance=may_bypass
        ),
    )  # fmt: skip


async def get_hold(call: Call) -> Response:
    """Tell whether a version is held."""
    status = "ON" if _lock_of(call).is_held else "OFF"
    return xml(f"<LegalHold {NAMESPACE}><Status>{status}</Status></LegalHold>")


async def put_hold(call: Call) -> Response:
    """Hold a version, or no more."""
    document = parsed(await read_small(call, needs_digest=True), "LegalHold")
    status = text_of(document, "Status")
    if status not in ("ON", "OFF"):
        raise bad_xml("Status is ON or OFF.")
    return await _change(call, lambda version, _: locks.held(version, is_held=status == "ON"))


def _default(element: Element | None) -> DefaultRetention:
    if element is None:
        raise bad_xml("A Rule has a DefaultRetention.")
    mode = mode_of(text_of(element, "Mode"))
    lengths = {name: text for name in ("Days", "Years") if (text := text_of(element, name))}
    if not mode or len(lengths) != 1:
        raise bad_xml("A DefaultRetention has a Mode and either Days or Years.")
    ((name, text),) = lengths.items()
    if not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise bad_xml(f"{name} is a number.")
    days, years = (int(text), 0) if name == "Days" else (0, int(text))
    return DefaultRetention(mode=mode, days=days, years=years)


def _lock_of(call: Call) -> Lock:
    bucket, version_id = bucket_of(call), call.query.get("versionId") or None
    if not bucket.has_lock:
        raise locks.no_lock()
    lock = present(
        versions.find(call.objects, bucket, call.key, version_id), version_id
    ).version.lock
    if lock is None:
        raise _nothing()
    return lock


async def _change(call: Call, changed: Callable[[Version, int], Version]) -> Response:
    if not bucket_of(call).has_lock:
        raise locks.no_lock()
    version_id = call.query.get("versionId") or None
    made = await versions.change(call.objects, call.bucket, call.key, version_id, changed)
    return empty(200, [("x-amz-version-id", made.version_id)])


def _nothing() -> NotFound:
    return NotFound(
        "no_lock_of_version", "The specified object does not have a ObjectLock configuration."
    )


OPERATIONS = (
    Operation(
        name="GetObjectLockConfiguration", method="GET", on="bucket", handler=get_configuration,
        query={"object-lock": ""}, action="s3:GetBucketObjectLockConfiguration",
    ),
    Operation(
        name="PutObjectLockConfiguration", method="PUT", on="bucket", handler=put_configuration,
        query={"object-lock": ""}, action="s3:PutBucketObjectLockConfiguration",
    ),
    Operation(
        name="GetObjectRetention", method="GET", on="object", handler=get_retention,
        query={"retention": ""},
    ),
    Operation(
        name="PutObjectRetention", method="PUT", on="object", handler=put_retention,
        query={"retention": ""},
    ),
    Operation(
        name="GetObjectLegalHold", method="GET", on="object", handler=get_hold,
        query={"legal-hold": ""},
    ),
    Operation(
        name="PutObjectLegalHold", method="PUT", on="object", handler=put_hold,
        query={"legal-hold": ""},
    ),
)  # fmt: skip
