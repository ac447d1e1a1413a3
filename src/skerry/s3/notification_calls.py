"""Operations on who is told of what happens in a bucket: AWS's documents, with webhooks as targets.

A target is a name that the owner of the machine has given to an address: `arn:skerry:sqs::NAME:webhook`,
or `arn:minio:sqs::NAME:webhook`. Clients cannot name addresses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from skerry.base import Invalid
from skerry.objects import buckets, notices
from skerry.objects.notices import Subscription, is_event
from skerry.s3.call import NAMESPACE, Call, bucket_of, empty, xml
from skerry.s3.errors import xml_text
from skerry.s3.ingest import read_small
from skerry.s3.router import Operation
from skerry.s3.xml_in import bad_xml, parsed, text_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from skerry.s3.connection import Response

_ARN = re.compile(
    r"arn:(?:skerry|minio):(?:sqs|sns|lambda):[a-z0-9-]*:([A-Za-z0-9_-]{1,64}):webhook"
)
# By the element: the child that names the target.
_KINDS = {
    "QueueConfiguration": "Queue", "TopicConfiguration": "Topic",
    "CloudFunctionConfiguration": "CloudFunction",
}  # fmt: skip
_SUBSCRIPTIONS_MAX = 100
_ID_CHARACTERS_MAX = 255
_PART_CHARACTERS_MAX = 1024


async def put_notification(call: Call) -> Response:
    """Say who is told, in place of who was."""
    document = parsed(await read_small(call), "NotificationConfiguration")
    if document.find("EventBridgeConfiguration") is not None:
        raise Invalid("bad_argument", "There is no EventBridge here: name webhooks.")
    found = [each for each in document if each.tag in _KINDS]
    if len(found) > _SUBSCRIPTIONS_MAX:
        raise Invalid("bad_argument", f"There are at most {_SUBSCRIPTIONS_MAX} configurations.")
    wanted = [_subscription(call, each, number) for number, each in enumerate(found, 1)]
    if len({each.subscription_id for each in wanted}) < len(wanted):
        raise Invalid("bad_argument", "No two configurations have one Id.")
    said = notices.say_subscriptions(wanted) if wanted else None
    await buckets.put_setting(call.objects, call.bucket, notices.SETTING, said)
    return empty()


async def get_notification(call: Call) -> Response:
    """Tell who is told."""
    said = bucket_of(call).settings.get(notices.SETTING)
    wanted = notices.hear_subscriptions(said) if said is not None else []
    told = "".join(map(_told, wanted))
    return xml(f"<NotificationConfiguration {NAMESPACE}>{told}</NotificationConfiguration>")


def _subscription(call: Call, element: Element, number: int) -> Subscription:
    arn = text_of(element, _KINDS[element.tag])
    match = _ARN.fullmatch(arn)
    if match is None or match[1].lower() not in call.objects.targets:
        raise Invalid(
            "bad_argument",
            "There is no such target. Targets are arn:skerry:sqs::NAME:webhook, where NAME is set by "
            "SKERRY_WEBHOOK_NAME=URL when the store is started.",
        )
    events = tuple(each.text or "" for each in element.findall("Event"))
    if not events or not all(map(is_event, events)):
        raise Invalid("bad_argument", f"Events are: {', '.join(sorted(notices.EVENTS))}.")
    subscription_id = text_of(element, "Id") or f"notification-{number}"
    if len(subscription_id) > _ID_CHARACTERS_MAX:
        raise Invalid("bad_argument", f"An Id has at most {_ID_CHARACTERS_MAX} characters.")
    prefix, suffix = _parts_of_key(element)
    return Subscription(
        subscription_id=subscription_id, target=match[1].lower(), arn=arn, kind=element.tag,
        events=events, prefix=prefix, suffix=suffix,
    )  # fmt: skip


def _parts_of_key(element: Element) -> tuple[str, str]:
    found: dict[str, str] = {}
    for rule in element.iterfind("Filter/S3Key/FilterRule"):
        name, value = text_of(rule, "Name").lower(), text_of(rule, "Value")
        if name not in ("prefix", "suffix") or name in found:
            raise Invalid("bad_argument", "A FilterRule is a prefix or a suffix, each once.")
        if len(value) > _PART_CHARACTERS_MAX:
            raise bad_xml("A FilterRule has at most 1024 characters.")
        found[name] = value
    return found.get("prefix", ""), found.get("suffix", "")


def _told(each: Subscription) -> str:
    target = _KINDS[each.kind]
    rules = "".join(
        f"<FilterRule><Name>{name}</Name><Value>{xml_text(value)}</Value></FilterRule>"
        for name, value in (("prefix", each.prefix), ("suffix", each.suffix))
        if value
    )
    return (
        f"<{each.kind}><Id>{xml_text(each.subscription_id)}</Id>"
        f"<{target}>{xml_text(each.arn)}</{target}>"
        + "".join(f"<Event>{event}</Event>" for event in each.events)
        + (f"<Filter><S3Key>{rules}</S3Key></Filter>" if rules else "")
        + f"</{each.kind}>"
    )


_QUERY = {"notification": ""}
OPERATIONS = (
    Operation(
        name="PutBucketNotificationConfiguration", method="PUT", on="bucket",
        handler=put_notification, query=_QUERY, action="s3:PutBucketNotification",
    ),
    Operation(
        name="GetBucketNotificationConfiguration", method="GET", on="bucket",
        handler=get_notification, query=_QUERY, action="s3:GetBucketNotification",
    ),
)  # fmt: skip
