"""Lifecycle rules as documents: what is taken, what is told again, what is refused."""

from pathlib import Path

import pytest

from skerry.objects import buckets, due
from tests.s3.site import Site, tell


def document(inside: str, status: str = "Enabled") -> bytes:
    return (
        f"<LifecycleConfiguration><Rule><Status>{status}</Status>{inside}</Rule>"
        "</LifecycleConfiguration>"
    ).encode()


FULL = (
    "<ID>a&amp;b</ID><Filter><And><Prefix>logs/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag>"
    "<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And></Filter><Status>Enabled</Status>"
    "<Expiration><Days>3</Days></Expiration><NoncurrentVersionExpiration>"
    "<NoncurrentSeconds>5</NoncurrentSeconds><NewerNoncurrentVersions>2</NewerNoncurrentVersions>"
    "</NoncurrentVersionExpiration>"
)


def test_rules_are_told_as_they_were_given(tmp_path: Path) -> None:
    given = f"<LifecycleConfiguration><Rule>{FULL}</Rule></LifecycleConfiguration>"

    async def story(site: Site) -> None:
        assert (await site.call("PUT", "/bkt?lifecycle", given.encode())).status == 200
        told = (await site.call("GET", "/bkt?lifecycle")).body.decode()
        assert f"<Rule>{FULL}</Rule>" in told
        bucket = buckets.find(site.objects, "bkt").number
        assert due.rules_of(site.objects.reader, bucket)[0].expires_after_s == 3 * 86_400
        assert (await site.call("DELETE", "/bkt?lifecycle")).status == 204
        assert (await site.call("GET", "/bkt?lifecycle")).code == "NoSuchLifecycleConfiguration"

    tell(tmp_path, story)


EXPIRES = "<Expiration><Days>1</Days></Expiration>"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<LifecycleConfiguration/>", "MalformedXML"),
        (document("", "On"), "MalformedXML"),
        (document(""), "MalformedXML"),
        (document("<Expiration/>"), "MalformedXML"),
        (document("<Expiration><Days>0</Days></Expiration>"), "InvalidArgument"),
        (document("<Expiration><Seconds>0</Seconds></Expiration>"), "InvalidArgument"),
        (document("<Expiration><Days>-1</Days></Expiration>"), "InvalidArgument"),
        (document("<Expiration><Days>²</Days></Expiration>"), "InvalidArgument"),
        (document("<Expiration><Date>soon</Date></Expiration>"), "InvalidArgument"),
        (document("<Expiration><Date>2300-01-01</Date></Expiration>"), "InvalidArgument"),
        (document("<Expiration><Date>9999-12-31</Date></Expiration>"), "InvalidArgument"),
        (document("<Expiration><Date>0001-01-01</Date></Expiration>"), "InvalidArgument"),
        (document("<Expiration><Days>1</Days><Seconds>1</Seconds></Expiration>"), "MalformedXML"),
        (document("<Expiration><Days>1</Days><Date>2026-01-01</Date></Expiration>"), "MalformedXML"),
        (document("<NoncurrentVersionExpiration/>"), "MalformedXML"),
        (document(EXPIRES + "<Transition><Days>1</Days></Transition>"), "InvalidArgument"),
        (document(EXPIRES + "<Prefix>a</Prefix><Filter/>"), "MalformedXML"),
        (document(EXPIRES + "<Filter><Prefix>a</Prefix><Tag/></Filter>"), "MalformedXML"),
        (document(EXPIRES + f"<ID>{'x' * 256}</ID>"), "InvalidArgument"),
        (document("<Filter><Tag><Key>a</Key></Tag></Filter><AbortIncompleteMultipartUpload>"
                  "<DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"),
         "InvalidArgument"),
        (document(EXPIRES).replace(b"</Rule>", b"</Rule><Rule/>" * 1000), "MalformedXML"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused(tmp_path: Path, body: bytes, code: str) -> None:
    async def story(site: Site) -> None:
        answer = await site.call("PUT", "/bkt?lifecycle", body)
        assert (answer.code, answer.status) == (code, 400)

    tell(tmp_path, story)
