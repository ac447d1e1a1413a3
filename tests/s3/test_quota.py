"""A bucket's quota over the wire."""

from pathlib import Path

import pytest

from tests.s3.site import Site, tell


def quota(text: str) -> bytes:
    return f"<Quota>{text}</Quota>".encode()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "MalformedXML"),
        ("<Bytes>-1</Bytes>", "MalformedXML"),
        ("<Bytes>1k</Bytes>", "MalformedXML"),
        ("<Objects></Objects>", "MalformedXML"),
        (f"<Bytes>{'9' * 19}</Bytes>", "MalformedXML"),
        (f"<Bytes>{'9' * 18}</Bytes>", ""),
        ("<Objects>0</Objects>", ""),
    ],
)
def test_a_quota_has_numbers(tmp_path: Path, text: str, code: str) -> None:
    async def story(site: Site) -> None:
        assert (await site.call("PUT", "/bkt?quota", quota(text))).code == code

    tell(tmp_path, story)


def test_who_would_put_too_much_is_refused_before_the_body_is_read(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        assert (await site.call("GET", "/bkt?quota")).code == "NoSuchQuotaConfiguration"
        await site.call("PUT", "/bkt?quota", quota("<Bytes>10</Bytes><Objects>2</Objects>"))
        await site.call("PUT", "/bkt/k", b"123456")
        for target, headers in (("/bkt/l", {}), ("/bkt/l", {"x_amz_copy_source": "bkt/k"})):
            refused = await site.call("PUT", target, b"" if headers else b"123456", **headers)
            assert (refused.code, refused.status) == ("QuotaExceeded", 403)
        head = b"PUT /bkt/l HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
        assert b"403" in await site.raw(head + b"Expect: 100-continue\r\n\r\n")
        told = (await site.call("GET", "/bkt?quota")).body
        assert b"<Bytes>10</Bytes><Objects>2</Objects><UsedBytes>6</UsedBytes>" in told
        assert (await site.call("PUT", "/bkt?quota", told.partition(b"\n")[2])).status == 200
        assert (await site.call("DELETE", "/bkt?quota")).status == 204
        assert (await site.call("PUT", "/bkt/l", b"123456")).status == 200

    tell(tmp_path, story)


def test_parts_and_copies_of_parts_are_refused_too(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"123456")
        await site.call("PUT", "/bkt?quota", quota("<Bytes>10</Bytes>"))
        begun = (await site.call("POST", "/bkt/u?uploads")).body.decode()
        upload = begun.partition("<UploadId>")[2].partition("<")[0]
        target = f"/bkt/u?uploadId={upload}&partNumber"
        assert (await site.call("PUT", f"{target}=1", b"1234")).status == 200
        assert (await site.call("PUT", f"{target}=2", b"1")).code == "QuotaExceeded"
        copied = await site.call("PUT", f"{target}=2", x_amz_copy_source="bkt/k")
        assert copied.code == "QuotaExceeded"
        assert (await site.call("DELETE", f"/bkt/u?uploadId={upload}")).status == 204
        assert (await site.call("PUT", "/bkt/l", b"1234")).status == 200

    tell(tmp_path, story)
