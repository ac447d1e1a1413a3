"""Parts and ranges that are asked for wrongly, and what AWS says to that."""

from pathlib import Path

import pytest

from tests.s3.site import Site, tell
from tests.s3.test_details import begin, between

EMPTY = b"<CompleteMultipartUpload></CompleteMultipartUpload>"


@pytest.mark.parametrize(
    ("query", "asked", "status", "told"),
    [
        ("?partNumber=2", "", 416, "InvalidPartNumber"),
        ("?partNumber=0", "", 400, "InvalidArgument"),
        ("?partNumber=", "", 400, "InvalidArgument"),
        ("?partNumber=10001", "", 400, "InvalidArgument"),
        ("?partNumber=x", "", 400, "InvalidArgument"),
        ("?partNumber=1", "bytes=0-1", 400, "InvalidRequest"),
        ("", "bytes=10-", 416, "InvalidRange"),
        ("", f"bytes={'9' * 30}-", 416, "InvalidRange"),
        ("", f"bytes=8-{'9' * 30}", 206, "89"),
        ("", f"bytes=-{'9' * 30}", 206, "0123456789"),
    ],
)
def test_parts_and_ranges_that_are_not_there(
    query: str, asked: str, status: int, told: str, tmp_path: Path
) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"0123456789")
        ranged = {"range": asked} if asked else {}
        answer = await site.call("GET", f"/bkt/k{query}", b"", **ranged)
        assert (answer.status, answer.code or answer.body.decode()) == (status, told)

    tell(tmp_path, story)


def test_an_object_of_no_parts_is_no_document(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        target = f"/bkt/k?uploadId={await begin(site)}"
        assert (await site.call("POST", target, EMPTY)).code == "MalformedXML"

    tell(tmp_path, story)


def test_a_page_of_no_parts_has_no_page_after_it(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        target = f"/bkt/k?uploadId={await begin(site)}"
        await site.call("PUT", f"{target}&partNumber=1", b"1")
        listed = await site.call("GET", f"{target}&max-parts=0")
        assert between(listed, "IsTruncated") == ["false"]

    tell(tmp_path, story)
