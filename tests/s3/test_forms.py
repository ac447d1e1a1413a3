"""POST forms: an object that a browser sends, as who signed its policy allows."""

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.base import Invalid
from skerry.objects import buckets
from skerry.s3 import signature_v2
from skerry.s3.access import ANONYMOUS
from skerry.s3.forms import Form
from skerry.s3.signature import sign, signing_key
from tests.s3.site import ACCESS, MOMENT, ROOT, SECRET, Answer, Signer, Site, parsed, tell
from tests.s3.test_access import assumed, policy, user

BOUNDARY = "----xyz"
CREDENTIAL = f"{ACCESS}/20130524/us-east-1/s3/aws4_request"
SIGNED = {
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": CREDENTIAL,
    "x-amz-date": MOMENT,
}
OPEN: list[object] = [["starts-with", "$key", ""], {"bucket": "bkt"}]


def form(fields: dict[str, str], file: bytes, filename: str = "f.txt") -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        "Content-Type: text/plain\r\n\r\n"
    )
    return ("".join(parts) + head).encode() + file + f"\r\n--{BOUNDARY}--\r\n".encode()


def signed(
    conditions: list[object], fields: dict[str, str], signer: Signer = ROOT, /, **more: object
) -> dict[str, str]:
    """Return fields with a policy that is signed, which holds until an hour later."""
    mine = {**SIGNED, "x-amz-credential": CREDENTIAL.replace(ACCESS, signer.access)}
    if signer.token:
        mine["x-amz-security-token"] = signer.token
    listed = [*conditions, *({name: value} for name, value in mine.items())]
    document: dict[str, object] = {
        "expiration": "2013-05-24T01:00:00Z",
        "conditions": listed,
        **more,
    }
    text = base64.b64encode(json.dumps(document).encode()).decode()
    key = signing_key(signer.secret, "20130524", "us-east-1", "s3")
    return {**fields, **mine, "policy": text, "x-amz-signature": sign(key, text)}


async def post(site: Site, body: bytes, target: str = "/bkt", kind: str = "") -> Answer:
    kind = kind or f"multipart/form-data; boundary={BOUNDARY}"
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
    length = f"Content-Length: {len(body)}\r\n\r\n"
    return parsed(await site.raw((head + length).encode() + body))


def test_a_form_is_an_object_with_what_its_fields_say(tmp_path: Path) -> None:
    tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    fields = {
        "key": "in/${filename}", "Content-Type": "text/css", "x-amz-meta-who": "é",
        "tagging": tags, "x-ignore-me": "x",
    }  # fmt: skip
    conditions: list[object] = [
        *OPEN, ["starts-with", "$Content-Type", "text/"], {"x-amz-meta-who": "é"},
        ["eq", "$tagging", tags], ["content-length-range", 1, 10],
    ]  # fmt: skip

    async def story(site: Site) -> None:
        told = await post(site, form(signed(conditions, fields), b"hello", "C:\\dir\\a b.txt"))
        assert (told.status, told.headers["location"]) == (204, "http://x/bkt/in/a%20b.txt")
        found = await site.call("GET", "/bkt/in/a%20b.txt")
        assert (found.body, found.headers["content-type"]) == (b"hello", "text/css")
        assert found.headers["x-amz-meta-who"] == "é"
        assert b"<Key>a</Key>" in (await site.call("GET", "/bkt/in/a%20b.txt?tagging")).body

    tell(tmp_path, story)


def test_a_big_file_is_taken_in_as_it_comes(tmp_path: Path) -> None:
    data = b"\r\n--" + bytes(range(256)) * 12_000

    async def story(site: Site) -> None:
        assert (await post(site, form(signed(OPEN, {"key": "k"}), data))).status == 204
        assert (await site.call("GET", "/bkt/k")).body == data

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"success_action_status": "200"}, 200, b""),
        ({"success_action_status": "201"}, 201, b"<PostResponse>"),
        ({"success_action_status": "500"}, 204, b""),
        ({"success_action_redirect": "http://h/p?a=b"}, 303, b""),
        ({"success_action_redirect": "javascript:x"}, 204, b""),
        ({"success_action_redirect": "http://[/"}, 204, b""),
    ],
)
def test_a_form_is_answered_as_it_asks(
    tmp_path: Path, fields: dict[str, str], status: int, said: bytes
) -> None:
    async def story(site: Site) -> None:
        conditions: list[object] = [*OPEN, *({name: value} for name, value in fields.items())]
        told = await post(site, form(signed(conditions, {"key": "k", **fields}), b"hello"))

        assert told.status == status
        assert said in told.body
        if status == 303:
            etag = "%225d41402abc4b2a76b9719d911017c592%22"
            assert told.headers["location"] == f"http://h/p?a=b&bucket=bkt&key=k&etag={etag}"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("conditions", "fields", "more", "code"),
    [
        (OPEN, {}, {}, "InvalidArgument"),
        ([{"bucket": "other"}, {"key": "k"}], {"key": "k"}, {}, "AccessDenied"),
        ([{"key": "other"}], {"key": "k"}, {}, "AccessDenied"),
        ([["starts-with", "$key", "in/"]], {"key": "k"}, {}, "AccessDenied"),
        ([["starts-with", "$key", "in/"]], {"key": "${filename}"}, {}, "AccessDenied"),
        (OPEN, {"key": "k", "x-amz-meta-a": "b"}, {}, "AccessDenied"),
        ([*OPEN, {"acl": "private"}], {"key": "k"}, {}, "AccessDenied"),
        ([*OPEN, {"acl": "public-read"}], {"key": "k", "acl": "public-read"}, {},
         "AccessControlListNotSupported"),
        ([*OPEN, ["content-length-range", 0, 4]], {"key": "k"}, {}, "EntityTooLarge"),
        ([*OPEN, ["content-length-range", 6, 9]], {"key": "k"}, {}, "EntityTooSmall"),
        (OPEN, {"key": "k"}, {"expiration": "2013-05-24T00:00:00Z"}, "AccessDenied"),
        (OPEN, {"key": "k"}, {"expiration": "soon"}, "InvalidPolicyDocument"),
        (OPEN, {"key": "k"}, {"expiration": None}, "InvalidPolicyDocument"),
        (OPEN, {"key": "k"}, {"conditions": {}}, "InvalidPolicyDocument"),
        ([["in", "$key", "k"]], {"key": "k"}, {}, "InvalidPolicyDocument"),
        ([["content-length-range", -1, "x"]], {"key": "k"}, {}, "InvalidPolicyDocument"),
        ([{"a": "b", "c": "d"}], {"key": "k"}, {}, "InvalidPolicyDocument"),
        ([["eq", "key", "k"]], {"key": "k"}, {}, "InvalidPolicyDocument"),
        ([*OPEN, {"x-amz-meta-a": "\x01"}], {"key": "k", "x-amz-meta-a": "\x01"}, {},
         "InvalidArgument"),
        ([*OPEN, {"x-amz-meta-a\nset-cookie: b": "c"}],
         {"key": "k", "x-amz-meta-a\nset-cookie: b": "c"}, {}, "InvalidArgument"),
        ([*OPEN, {"x-amz-storage-class": "x"}], {"key": "k", "x-amz-storage-class": "x"}, {},
         "InvalidStorageClass"),
        ([*OPEN, {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}],
         {"key": "k", "content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, {}, "BadDigest"),
    ],
)  # fmt: skip
def test_what_a_policy_does_not_allow_is_refused(
    tmp_path: Path,
    conditions: list[object],
    fields: dict[str, str],
    more: dict[str, object],
    code: str,
) -> None:
    async def story(site: Site) -> None:
        told = await post(site, form(signed(conditions, fields, **more), b"hello"))

        assert told.code == code, told
        assert (await site.call("GET", "/bkt/k")).code == "NoSuchKey"

    tell(tmp_path, story)


def test_a_file_that_is_too_small_leaves_nothing_behind(tmp_path: Path) -> None:
    conditions: list[object] = [*OPEN, ["content-length-range", 4 << 20, 8 << 20]]

    async def story(site: Site) -> None:
        told = await post(site, form(signed(conditions, {"key": "k"}), b"x" * (3 << 20)))
        assert told.code == "EntityTooSmall"
        assert site.objects.disk.files() == []

    tell(tmp_path, story)


def test_who_signs_a_form_must_be_allowed_what_it_does(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        ann = await user(site, policy("s3:PutObject", resource="arn:aws:s3:::bkt/ann/*"))
        session = await assumed(site, ann)
        for signer in (ann, session):
            fields = signed(OPEN, {"key": "ann/k"}, signer)
            assert (await post(site, form(fields, b"x"))).status == 204
            fields = signed(OPEN, {"key": "bob/k"}, signer)
            assert (await post(site, form(fields, b"x"))).code == "AccessDenied"
        fields = signed(OPEN, {"key": "ann/k"}, ann)
        for name, value, code in (
            ("x-amz-signature", "0" * 64, "SignatureDoesNotMatch"),
            ("x-amz-signature", "x", "AuthorizationQueryParametersError"),
            ("x-amz-credential", CREDENTIAL, "SignatureDoesNotMatch"),
            ("x-amz-security-token", "x", "InvalidToken"),
            ("policy", "e30=", "SignatureDoesNotMatch"),
        ):
            assert (await post(site, form({**fields, name: value}, b"x"))).code == code

    tell(tmp_path, story)


def test_a_form_that_is_signed_by_version_2(tmp_path: Path) -> None:
    document = {"expiration": "2013-05-24T01:00:00Z", "conditions": OPEN}
    text = base64.b64encode(json.dumps(document).encode()).decode()
    fields = {"key": "k", "AWSAccessKeyId": ACCESS, "policy": text}

    async def story(site: Site) -> None:
        good = {**fields, "signature": signature_v2.sign(SECRET, text)}
        assert (await post(site, form(good, b"x"))).status == 204
        bad = {**fields, "signature": "é"}
        assert (await post(site, form(bad, b"x"))).code == "SignatureDoesNotMatch"

    tell(tmp_path, story)


def test_everybody_posts_where_the_bucket_lets_them(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        assert (await post(site, form({"key": "k"}, b"x"))).code == "AccessDenied"
        await buckets.put_setting(site.objects, "bkt", ANONYMOUS, b"upload")
        assert (await post(site, form({"key": "k", "policy": "e30="}, b"x"))).status == 403
        assert (await post(site, form({"key": "k"}, b"x"))).status == 204
        assert (await post(site, form({"key": "k"}, b"x"), "/none")).code == "NoSuchBucket"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"key=k", "application/x-www-form-urlencoded", "PreconditionFailed"),
        (b"", "multipart/form-data", "PreconditionFailed"),
        (b"x", f"multipart/form-data; boundary={'b' * 300}", "MalformedPOSTRequest"),
        (b"not a form", "", "MalformedPOSTRequest"),
        (b"", "", "IncorrectNumberOfFilesInPostRequest"),
        (f"--{BOUNDARY}--\r\n".encode(), "", "IncorrectNumberOfFilesInPostRequest"),
        (form({"key": "k", **{f"f{n}": "" for n in range(100)}}, b""), "", "MalformedPOSTRequest"),
        (form({"key": "k" * 70_000}, b""), "", "MaxPostPreDataLengthExceededError"),
        (form({"n" * 9000: ""}, b""), "", "MalformedPOSTRequest"),
        (form({"key": "k"}, b"").replace(b'name="key"', b""), "", "MalformedPOSTRequest"),
        (form({"key": "k", "KEY": "k"}, b""), "", "MalformedPOSTRequest"),
        (form({"key": "k"}, b"").replace(b"\r\nk\r\n", b"\r\n\xff\r\n"), "", "MalformedPOSTRequest"),
        (form({"key": "k"}, b"x" * 100)[:-40], "", "IncompleteBody"),
        (form({}, b"x").replace(b"--\r\n", b"\r\n"), "", "InvalidArgument"),
    ],
)  # fmt: skip
def test_what_is_no_form_is_refused(tmp_path: Path, body: bytes, kind: str, code: str) -> None:
    async def story(site: Site) -> None:
        await buckets.put_setting(site.objects, "bkt", ANONYMOUS, b"upload")
        told = await post(site, body, kind=kind)

        assert told.code == code, told
        assert (await site.call("GET", "/bkt/k")).code == "NoSuchKey"

    tell(tmp_path, story)


def read(data: bytes, cuts: list[int]) -> tuple[dict[str, str], bytes]:
    """Read a form that comes in pieces."""

    async def pieces() -> AsyncGenerator[bytes]:
        begin = 0
        for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
            yield data[begin:cut]
            begin = cut

    async def whole() -> tuple[dict[str, str], bytes]:
        found = Form(pieces(), f"multipart/form-data; boundary={BOUNDARY}")
        await found.read_fields()
        return found.fields, b"".join([piece async for piece in found.pieces()])

    return asyncio.run(whole())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 999), max_size=8), st.lists(st.sampled_from(
    [b"\r", b"\n", b"-", b"\r\n--", b"----xyz", b"\r\n------xy", b"a"]), max_size=12))  # fmt: skip
def test_a_file_is_the_same_however_its_form_is_cut(cuts: list[int], parts: list[bytes]) -> None:
    file = b"".join(parts)
    if b"\r\n--" + BOUNDARY.encode() in b"\r\n" + file + b"\r\n":
        return

    assert read(form({"key": "k", "a": "b"}, file), cuts) == ({"key": "k", "a": "b"}, file)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300), st.lists(st.integers(0, 999), max_size=3))
def test_noise_in_a_form_is_refused(noise: bytes, at: int, cuts: list[int]) -> None:
    whole = form({"key": "k"}, b"data")
    at %= len(whole)

    with contextlib.suppress(Invalid):
        read(whole[:at] + noise + whole[at:], cuts)
    with contextlib.suppress(Invalid):
        read(noise, cuts)


@pytest.mark.parametrize(
    ("origin", "rules", "status"),
    [
        ("", "", 204),
        ("http://x", "", 204),
        ("https://elsewhere", "", 403),
        ("null", "", 403),
        ("https://elsewhere", "https://elsewhere", 204),
        ("https://other", "https://elsewhere", 403),
    ],
)
def test_a_page_of_others_does_not_write_for_its_visitor(
    origin: str, rules: str, status: int, tmp_path: Path
) -> None:
    document = (
        f"<CORSConfiguration><CORSRule><AllowedOrigin>{rules}</AllowedOrigin>"
        "<AllowedMethod>POST</AllowedMethod></CORSRule></CORSConfiguration>"
    )
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    sent = kind + (f"\r\nOrigin: {origin}" if origin else "")

    async def story(site: Site) -> None:
        await buckets.put_setting(site.objects, "bkt", ANONYMOUS, b"public")
        if rules:
            await site.call("PUT", "/bkt?cors", document.encode(), content_md5=md5(document))
        plain = await post(site, form({"key": "k"}, b"x"), kind=sent)
        signed_too = await post(site, form(signed(OPEN, {"key": "k"}), b"x"), kind=sent)
        begun = await post(site, b"", "/bkt/k?uploads", kind=sent)
        assert (plain.status, signed_too.status) == (status, 204)
        assert begun.status == (200 if status == 204 else 403)

    tell(tmp_path, story)


def md5(text: str) -> str:
    return base64.b64encode(hashlib.md5(text.encode(), usedforsecurity=False).digest()).decode()
