"""Telling webhooks what happens: in order, again until they have heard it, each by itself.

An answer of 2xx says that it was heard. A notice is told at least once: one that was heard may come
again after a crash, and is known by its sequencer.
"""

from __future__ import annotations

import asyncio
import functools
import json
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from skerry.objects import outbox
from skerry.s3.call import iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from skerry.objects import Objects
    from skerry.objects.notices import Notice
    from skerry.objects.writer import Transaction
    from skerry.s3.startup import Webhook

_AT_ONCE = 100
_ANSWER_S_MAX = 10.0
_AGAIN_NS_MIN, _AGAIN_NS_MAX = 10**9, 300 * 10**9
_HEARD = range(200, 300)


async def keep_telling(
    objects: Objects, region: str, name: str, webhook: Webhook, say: Callable[[str], None]
) -> None:
    """Tell one webhook what waits for it, for ever. say: writes a line for the owner."""
    delay_ns = _AGAIN_NS_MIN
    while True:
        objects.noticed.clear()
        waiting = outbox.waiting(objects.reader, name, _AT_ONCE)
        for each in waiting:
            body = json.dumps({"Records": [record(each.notice, region)]}).encode()
            error = await asyncio.to_thread(_post, webhook, body)
            if error:
                say(f"webhook {name}: {error}; it is told again in {delay_ns // 10**9} s")
                await objects.clock.sleep_ns(delay_ns)
                delay_ns = min(2 * delay_ns, _AGAIN_NS_MAX)
                break
            delay_ns = _AGAIN_NS_MIN
            forget = functools.partial(_forget, name, each.number)
            await objects.writer.write(forget, makes_room=True)
        if not waiting:
            await objects.noticed.wait()


def record(notice: Notice, region: str) -> dict[str, object]:
    """Return a notice as AWS writes events.

    Source: "Event message structure" in the Amazon S3 user guide, version 2.1.
    """
    told: dict[str, object] = {
        "key": quote_plus(notice.key, safe="/"), "sequencer": f"{notice.sequence:016X}",
    }  # fmt: skip
    if notice.etag:
        told |= {"size": notice.size, "eTag": notice.etag}
    if notice.version_id != "null":
        told["versionId"] = notice.version_id
    return {
        "eventVersion": "2.1", "eventSource": "skerry:s3", "awsRegion": region,
        "eventTime": iso(notice.at_ns), "eventName": notice.event.removeprefix("s3:"),
        "userIdentity": {"principalId": notice.owner},
        "requestParameters": {}, "responseElements": {},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": notice.subscription_id,
            "bucket": {
                "name": notice.bucket, "ownerIdentity": {"principalId": notice.owner},
                "arn": f"arn:aws:s3:::{notice.bucket}",
            },
            "object": told,
        },
    }  # fmt: skip


def _forget(name: str, number: int, made: Transaction) -> None:
    outbox.told(made.connection, name, number)


def _made_opener() -> urllib.request.OpenerDirector:
    """Return what asks just the address that the owner has named: no redirects, no proxies."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener


_opener = _made_opener()


def _post(webhook: Webhook, body: bytes) -> str:
    """Tell a webhook; return what went wrong, nothing if nothing did."""
    headers = {"Content-Type": "application/json", "User-Agent": "Skerry"}
    if webhook.token:
        token = webhook.token
        headers["Authorization"] = token if " " in token else f"Bearer {token}"
    asked = urllib.request.Request(webhook.url, body, headers, method="POST")  # noqa: S310 - its scheme was looked at
    try:
        with _opener.open(asked, timeout=_ANSWER_S_MAX) as answer:
            return "" if answer.status in _HEARD else f"it answers {answer.status}"
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answers {error.code}"
    except OSError as error:
        return f"it can not be reached ({error})"
    except (ValueError, HTTPException):
        return "its answer is not HTTP"
