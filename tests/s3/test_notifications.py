"""Webhooks: what is asked for, and how it is told."""

import asyncio
import json
from pathlib import Path

import pytest

from skerry.base import Invalid
from skerry.s3.startup import Webhook, start_of
from skerry.s3.webhooks import keep_telling
from tests.s3.site import Site, tell

ARN = "arn:minio:sqs::HOOK:webhook"
GIVEN = (
    f"<QueueConfiguration><Id>a</Id><Queue>{ARN}</Queue><Event>s3:ObjectCreated:*</Event>"
    "<Event>s3:ObjectRemoved:Delete</Event><Filter><S3Key><FilterRule><Name>prefix</Name>"
    "<Value>in/</Value></FilterRule></S3Key></Filter></QueueConfiguration>"
)


def document(inside: str) -> bytes:
    return f"<NotificationConfiguration>{inside}</NotificationConfiguration>".encode()


def test_who_is_told_is_told_again_as_it_was_given(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.objects.targets = {"hook"}
        assert (await site.call("PUT", "/bkt?notification", document(GIVEN))).status == 200
        assert GIVEN in (await site.call("GET", "/bkt?notification")).body.decode()
        assert (await site.call("PUT", "/bkt?notification", document(""))).status == 200
        assert b"<QueueConfiguration>" not in (await site.call("GET", "/bkt?notification")).body

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "inside",
    [
        GIVEN.replace("HOOK", "other"), GIVEN.replace(ARN, "http://127.0.0.1/"), GIVEN + GIVEN,
        GIVEN.replace("s3:ObjectCreated:*", "s3:Nothing:*"), GIVEN.replace("prefix", "middle"),
        GIVEN.replace("s3:ObjectCreated:*", "s3:Object[C]reated:*"), GIVEN.replace("a<", "a" * 300 + "<"),
        GIVEN.replace("<Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:Delete</Event>", ""),
        "<EventBridgeConfiguration/>",
    ],
)  # fmt: skip
def test_what_nobody_can_be_told_is_refused(tmp_path: Path, inside: str) -> None:
    async def story(site: Site) -> None:
        site.objects.targets = {"hook"}
        answer = await site.call("PUT", "/bkt?notification", document(inside))
        assert (answer.status, answer.code) == (400, "InvalidArgument")

    tell(tmp_path, story)


def test_a_webhook_is_told_until_it_has_heard(tmp_path: Path) -> None:
    """It refuses once, moves once, and then listens."""
    statuses = [b"500 No", b"302 Found\r\nLocation: http://127.0.0.1:1/", b"200 OK", b"204 Fine"]
    heard: list[tuple[bytes, str]] = []
    done = asyncio.Event

    async def story(site: Site) -> None:
        over = done()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split()[0])
            record = json.loads(await reader.readexactly(size))["Records"][0]
            heard.append((head, f"{record['eventName']} {record['s3']['object']['key']}"))
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % statuses.pop(0))
            writer.close()
            if not statuses:
                over.set()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        hook = Webhook(url=f"http://127.0.0.1:{port}/x", token="secret")
        site.objects.targets = {"hook"}
        await site.call("PUT", "/bkt?notification", document(GIVEN))
        telling = asyncio.create_task(
            keep_telling(site.objects, "here", "hook", hook, lambda _: None)
        )
        await site.call("PUT", "/bkt/in/a%20b", b"x")
        await site.call("DELETE", "/bkt/in/a%20b")
        await over.wait()
        telling.cancel()
        await asyncio.wait([telling])
        server.close()

    tell(tmp_path, story)
    assert [what for _, what in heard] == [
        *["ObjectCreated:Put in/a+b"] * 3, "ObjectRemoved:Delete in/a+b",
    ]  # fmt: skip
    assert all(b"authorization: bearer secret" in head.lower() for head, _ in heard)


@pytest.mark.parametrize(
    "answered", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000]
)
def test_a_webhook_that_speaks_no_http_is_told_again(tmp_path: Path, answered: bytes) -> None:
    said: list[str] = []

    async def story(site: Site) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Whole: who closes before all is read resets the connection.
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
            writer.write(answered)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        hook = Webhook(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        site.objects.targets, over = {"hook"}, asyncio.Event()
        await site.call("PUT", "/bkt?notification", document(GIVEN))
        await site.call("PUT", "/bkt/in/a", b"x")

        def say(line: str) -> None:
            said.append(line)
            over.set()

        telling = asyncio.create_task(keep_telling(site.objects, "here", "hook", hook, say))
        await asyncio.wait(
            [telling, asyncio.create_task(over.wait())], return_when="FIRST_COMPLETED"
        )
        telling.cancel()
        await asyncio.wait([telling])
        server.close()

    tell(tmp_path, story)
    assert said == ["webhook hook: its answer is not HTTP; it is told again in 1 s"]


def test_webhooks_are_named_by_the_environment_in_both_spellings() -> None:
    found = start_of({
        "SKERRY_WEBHOOK_One": "http://a/", "SKERRY_WEBHOOK_One_TOKEN": "t",
        "MINIO_NOTIFY_WEBHOOK_ENABLE_two": "on", "MINIO_NOTIFY_WEBHOOK_ENDPOINT_two": "https://b/",
        "MINIO_NOTIFY_WEBHOOK_ENABLE_off": "off",
    }).webhooks  # fmt: skip

    assert found == {"one": Webhook(url="http://a/", token="t"), "two": Webhook(url="https://b/")}
    with pytest.raises(Invalid):
        start_of({"SKERRY_WEBHOOK_X": "ftp://a/"})
