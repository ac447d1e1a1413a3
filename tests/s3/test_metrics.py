"""Metrics: what they tell, and whom."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.s3.site import Site, parsed, tell


def asked(*headers: str) -> bytes:
    lines = ["GET /metrics HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


def test_metrics_tell_what_was_asked_and_how_large_the_store_is(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"hello")
        await site.call("GET", "/bkt/none")
        told = parsed(await site.raw(asked())).body.decode()
        values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(told)
            for sample in family.samples
        }
        assert values["skerry_s3_requests_total", "PutObject", "200"] == 1
        assert values["skerry_s3_requests_total", "GetObject", "404"] == 1
        assert values["skerry_s3_answer_seconds_count", "PutObject"] == 1
        assert values["skerry_s3_bytes_total", "received"] == 5
        assert values["skerry_objects_bytes",] == 5
        assert "bkt" not in told

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 200),
        (["X-Forwarded-For: 192.0.2.1"], 403),
        (["Authorization: Bearer other"], 403),
        (["Authorization: Bearer t\xf6ken"], 403),
        (["X-Forwarded-For: 192.0.2.1", "Authorization: Bearer token-of-metrics"], 200),
    ],
)
def test_metrics_are_for_this_machine_or_for_who_has_the_token(
    tmp_path: Path, headers: list[str], status: int
) -> None:
    async def story(site: Site) -> None:
        assert parsed(await site.raw(asked(*headers))).status == status

    tell(tmp_path, story)
