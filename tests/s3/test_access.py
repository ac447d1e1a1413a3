"""Who may do what: users by their policies and the bucket's, temporary keys, everybody."""

import base64
import hashlib
import json
from pathlib import Path

import pytest

from skerry.objects import buckets, keys
from skerry.s3.access import ANONYMOUS
from skerry.s3.server import OPERATIONS
from tests.s3.site import Answer, Signer, Site, parsed, presigned, tell

ALL = "arn:aws:s3:::*"
VERSIONING = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
TAGS = b"<Tagging><TagSet><Tag><Key>k</Key><Value>%b</Value></Tag></TagSet></Tagging>"


def policy(*actions: str, resource: str = ALL, effect: str = "Allow", **fields: object) -> bytes:
    statement = {"Effect": effect, "Action": actions, "Resource": resource, **fields}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()


async def user(site: Site, *policies: bytes, name: str = "ann") -> Signer:
    """Make a user with policies and a key."""
    await keys.create_user(site.objects, name)
    for number, document in enumerate(policies):
        await keys.put_policy(site.objects, name, f"p{number}", document)
    key = await keys.create_key(site.objects, name)
    return Signer(key.access_key, key.secret)


async def anybody(site: Site, method: str, target: str, **headers: str) -> Answer:
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\n{''.join(lines)}Content-Length: 0\r\n\r\n"
    return parsed(await site.raw(head.encode()))


def field(answer: Answer, name: str) -> str:
    return answer.body.decode().partition(f"<{name}>")[2].partition(f"</{name}>")[0]


async def assumed(site: Site, signer: Signer, session: bytes = b"") -> Signer:
    """Issue a temporary key."""
    fields = {"Policy": session.decode()} if session else {}
    told = await site.ask(signer, "sts", "AssumeRole", RoleArn="a", RoleSessionName="me", **fields)
    assert told.status == 200, told
    return Signer(
        field(told, "AccessKeyId"), field(told, "SecretAccessKey"), field(told, "SessionToken")
    )


READ = "s3:GetObject"
WRITE = "s3:PutObject"


@pytest.mark.parametrize(
    ("granted", "method", "target", "headers", "is_allowed"),
    [
        ((READ,), "GET", "/bkt/k", {}, True),
        ((READ,), "HEAD", "/bkt/k", {}, True),
        ((READ,), "GET", "/bkt/k?versionId=null", {}, False),
        (("s3:GetObjectVersion",), "GET", "/bkt/k?versionId=null", {}, True),
        ((READ,), "GET", "/bkt", {}, False),
        (("s3:ListBucket",), "GET", "/bkt?list-type=2", {}, True),
        (("s3:ListBucket",), "GET", "/bkt?versions", {}, False),
        (("s3:ListAllMyBuckets",), "GET", "/", {}, True),
        ((READ,), "GET", "/", {}, False),
        ((WRITE,), "PUT", "/bkt/new", {}, True),
        ((WRITE,), "PUT", "/bkt/new", {"x_amz_tagging": "a=b"}, False),
        ((WRITE, "s3:PutObjectTagging"), "PUT", "/bkt/new", {"x_amz_tagging": "a=b"}, True),
        ((WRITE,), "PUT", "/bkt/new", {"x_amz_object_lock_legal_hold": "ON"}, False),
        ((WRITE,), "PUT", "/bkt/new", {"x_amz_object_lock_mode": "GOVERNANCE"}, False),
        ((WRITE,), "PUT", "/bkt/new", {"x_amz_copy_source": "bkt/k"}, False),
        ((WRITE, READ), "PUT", "/bkt/new", {"x_amz_copy_source": "bkt/k"}, True),
        ((WRITE, READ), "PUT", "/bkt/new", {"x_amz_copy_source": "bkt/k?versionId=null"}, False),
        ((WRITE, READ), "PUT", "/bkt/new", {"x_amz_copy_source": "bkt/tagged"}, False),
        ((WRITE, READ, "s3:*Tagging"), "PUT", "/bkt/new", {"x_amz_copy_source": "bkt/tagged"}, True),
        ((WRITE,), "POST", "/bkt/new?uploads", {}, True),
        (("s3:DeleteObject",), "DELETE", "/bkt/k", {}, True),
        (("s3:DeleteObject",), "DELETE", "/bkt/k?versionId=null", {}, False),
        (("s3:DeleteObject",), "DELETE", "/bkt/k",
         {"x_amz_bypass_governance_retention": "true"}, False),
        (("s3:DeleteObject", "s3:BypassGovernanceRetention"), "DELETE", "/bkt/k",
         {"x_amz_bypass_governance_retention": "true"}, True),
        (("s3:GetObjectAttributes",), "GET", "/bkt/k?attributes",
         {"x_amz_object_attributes": "ETag"}, False),
        (("s3:GetObjectAttributes", READ), "GET", "/bkt/k?attributes",
         {"x_amz_object_attributes": "ETag"}, True),
        (("s3:CreateBucket",), "PUT", "/new", {}, True),
        ((WRITE,), "PUT", "/new", {}, False),
        (("s3:*",), "GET", "/bkt?policyStatus", {}, True),
        ((), "GET", "/bkt/k", {}, False),
    ],
)  # fmt: skip
def test_a_user_may_what_policies_allow(
    tmp_path: Path, granted: tuple[str, ...], method: str, target: str, headers: dict[str, str], *,
    is_allowed: bool,
) -> None:  # fmt: skip
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"x")
        await site.call("PUT", "/bkt/tagged", b"x", x_amz_tagging="a=b")
        await site.call("PUT", "/bkt?policy", policy("s3:None", Principal="*", resource="*"))
        signer = await user(site, *[policy(*granted)] if granted else [])

        answer = await site.call_as(signer, method, target, b"", **headers)

        assert (answer.status < 400) == is_allowed, answer
        assert answer.status == 403 or is_allowed

    tell(tmp_path, story)


def test_no_operation_is_done_for_who_may_nothing(tmp_path: Path) -> None:
    places = {"service": "/", "bucket": "/bkt", "object": "/bkt/k"}
    tried = [each for each in OPERATIONS if each.handler and not each.checks_itself]

    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"x")
        ann = await user(site)
        for each in tried:
            pairs = [f"{name}={value or 1}" for name, value in (each.query or {}).items()]
            target = f"{places[each.on]}?{'&'.join(pairs)}"
            headers = {each.header.replace("-", "_"): "bkt/k"} if each.header else {}
            for answer in (
                await site.call_as(ann, each.method, target, b"", **headers),
                await anybody(site, each.method, target, **headers),
            ):
                assert answer.status == 403, (each.name, answer)
                assert answer.code == "AccessDenied" or each.method == "HEAD"

    tell(tmp_path, story)
    # Those that know only later what they are asked for have tests of their own here.
    themselves = {each.name for each in OPERATIONS if each.checks_itself}
    assert themselves == {"DeleteObjects", "PutObjectTagging", "PostObject"}


def test_a_user_keeps_to_its_own_part_of_a_bucket(tmp_path: Path) -> None:
    own = policy("s3:*Object", resource="arn:aws:s3:::bkt/${aws:username}/*")
    listing = policy(
        "s3:ListBucket", resource="arn:aws:s3:::bkt",
        Condition={"StringLike": {"s3:prefix": "${aws:username}/*"}},
    )  # fmt: skip

    async def story(site: Site) -> None:
        ann = await user(site, own, listing)
        assert (await site.call_as(ann, "PUT", "/bkt/ann/k", b"x")).status == 200
        assert (await site.call_as(ann, "PUT", "/bkt/bob/k", b"x")).code == "AccessDenied"
        assert (await site.call_as(ann, "GET", "/bkt?prefix=ann/")).status == 200
        assert (await site.call_as(ann, "GET", "/bkt")).code == "AccessDenied"
        assert (await site.call_as(ann, "GET", "/bkt/ann/none")).code == "AccessDenied"

    tell(tmp_path, story)


def test_each_key_of_a_batch_is_asked_for(tmp_path: Path) -> None:
    body = (
        b"<Delete><Object><Key>a/1</Key></Object><Object><Key>b/1</Key></Object>"
        b"<Object><Key>a/1</Key><VersionId>null</VersionId></Object></Delete>"
    )

    async def story(site: Site) -> None:
        ann = await user(site, policy("s3:DeleteObject", resource="arn:aws:s3:::bkt/a/*"))
        for key in ("a/1", "b/1"):
            await site.call("PUT", f"/bkt/{key}", b"x")
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()

        answer = await site.call_as(ann, "POST", "/bkt?delete", body, content_md5=md5)

        assert answer.body.count(b"<Deleted><Key>a/1</Key></Deleted>") == 1
        assert answer.body.count(b"<Code>AccessDenied</Code>") == 2
        assert (await site.call("GET", "/bkt/b/1")).status == 200

    tell(tmp_path, story)


def test_tags_are_looked_at_where_they_are(tmp_path: Path) -> None:
    red = {"StringEquals": {"s3:ExistingObjectTag/k": "red"}}
    puts = {"StringEquals": {"s3:RequestObjectTag/k": "red"}}

    async def story(site: Site) -> None:
        ann = await user(site, policy(READ, Condition=red), policy("s3:PutObject*", Condition=puts))
        await site.call("PUT", "/bkt/k", b"x")
        assert (await site.call_as(ann, "GET", "/bkt/k")).status == 403
        assert (await site.call_as(ann, "PUT", "/bkt/k?tagging", TAGS % b"blue")).status == 403
        assert (await site.call_as(ann, "PUT", "/bkt/k?tagging", TAGS % b"red")).status == 200
        assert (await site.call_as(ann, "GET", "/bkt/k")).status == 200
        assert (await site.call_as(ann, "PUT", "/bkt/l", x_amz_tagging="k=blue")).status == 403
        assert (await site.call_as(ann, "PUT", "/bkt/l", x_amz_tagging="k=red")).status == 200

    tell(tmp_path, story)


def test_a_buckets_policy_lets_users_in_and_keeps_them_out(tmp_path: Path) -> None:
    both = json.dumps({"Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "ann"}, "Action": "s3:*", "Resource": "arn:aws:s3:::bkt/*"},
        {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bkt/secret"},
    ]}).encode()  # fmt: skip

    async def story(site: Site) -> None:
        ann, bob = await user(site), await user(site, policy("s3:*"), name="bob")
        assert (await site.call("PUT", "/bkt?policy", both)).status == 204
        assert (await site.call("GET", "/bkt?policy")).body == both
        assert (await site.call_as(ann, "PUT", "/bkt/k", b"x")).status == 200
        for signer in (ann, bob):
            assert (await site.call_as(signer, "PUT", "/bkt/secret")).status == 403
        assert (await site.call("PUT", "/bkt/secret", b"x")).status == 200
        await site.call("DELETE", "/bkt?policy")
        assert (await site.call_as(ann, "GET", "/bkt/k")).status == 403
        assert (await site.call("GET", "/bkt?policy")).code == "NoSuchBucketPolicy"

    tell(tmp_path, story)


def test_everybody_by_a_policy_until_a_block(tmp_path: Path) -> None:
    public = policy(READ, Principal="*", resource="arn:aws:s3:::bkt/*")
    block = (
        b"<PublicAccessBlockConfiguration><BlockPublicPolicy>true</BlockPublicPolicy>"
        b"<RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>"
    )

    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"x")
        assert (await anybody(site, "GET", "/bkt/k")).status == 403
        assert (await site.call("PUT", "/bkt?policy", public)).status == 204
        assert b"TRUE" in (await site.call("GET", "/bkt?policyStatus")).body
        assert (await anybody(site, "GET", "/bkt/k")).status == 200
        assert (await anybody(site, "GET", "/bkt/none")).code == "AccessDenied"
        assert (await site.call("PUT", "/bkt?publicAccessBlock", block)).status == 200
        assert (await anybody(site, "GET", "/bkt/k")).status == 403
        assert (await site.call("PUT", "/bkt?policy", public)).code == "AccessDenied"
        told = await site.call("GET", "/bkt?publicAccessBlock")
        assert b"<IgnorePublicAcls>false</IgnorePublicAcls><BlockPublicPolicy>true" in told.body
        await site.call("DELETE", "/bkt?publicAccessBlock")
        assert (await anybody(site, "GET", "/bkt/k")).status == 200

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"{}", "MalformedPolicy"), (b"", "MalformedPolicy"),
        (policy(READ), "MalformedPolicy"),
        (policy(READ, Principal="*", resource="arn:aws:s3:::other/*"), "MalformedPolicy"),
        (policy(READ, Principal="*", resource="*", Condition={"Bool": {"aws:Mfa": "1"}}),
         "MalformedPolicy"),
        (b"x" * 21_000, "MalformedPolicy"),
        (policy(READ, Principal="*", Condition={"\ud800": {}}), "MalformedPolicy"),
    ],
)  # fmt: skip
def test_a_bad_policy_is_refused(tmp_path: Path, document: bytes, code: str) -> None:
    async def story(site: Site) -> None:
        answer = await site.call("PUT", "/bkt?policy", document)
        assert (answer.status, answer.code) == (400, code)

    tell(tmp_path, story)


def test_who_has_no_key_is_refused_before_a_document_is_read(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for method, target in (("POST", "/bkt?delete"), ("PUT", "/bkt/k?tagging")):
            answer = await anybody(site, method, target)
            assert (answer.status, answer.code) == (403, "AccessDenied")

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "query", [{"x_amz_meta_a": "b\r\nset-cookie: c"}, {"x_amz_meta_a\nset_cookie: c": "b"}]
)
def test_a_url_puts_nothing_into_answers_to_others(tmp_path: Path, query: dict[str, str]) -> None:
    async def story(site: Site) -> None:
        head = f"PUT {presigned('PUT', '/bkt/k', **query)} HTTP/1.1\r\nHost: x\r\n"
        said = parsed(await site.raw(f"{head}Content-Length: 0\r\n\r\n".encode()))
        assert said.code == "InvalidArgument"

    tell(tmp_path, story)


def test_everybody_bypasses_no_lock_and_tags_nothing(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await buckets.put_setting(site.objects, "bkt", ANONYMOUS, b"public")
        assert (await anybody(site, "PUT", "/bkt/k")).status == 200
        assert (await anybody(site, "PUT", "/bkt/k", x_amz_tagging="a=b")).status == 403
        assert (await anybody(site, "GET", "/bkt/none")).code == "NoSuchKey"
        assert (await anybody(site, "DELETE", "/bkt/k?versionId=null")).status == 403
        bypass = {"x_amz_bypass_governance_retention": "true"}
        assert (await anybody(site, "DELETE", "/bkt/k", **bypass)).status == 403
        assert (await anybody(site, "DELETE", "/bkt/k")).status == 204

    tell(tmp_path, story)


def test_a_temporary_key_may_what_its_issuer_and_its_session_may(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        ann = await user(site, policy("s3:GetObject", "s3:PutObject"))
        plain, less = await assumed(site, ann), await assumed(site, ann, policy(READ, "s3:Delete*"))
        assert (await site.call_as(plain, "PUT", "/bkt/k", b"x")).status == 200
        assert (await site.call_as(less, "GET", "/bkt/k")).status == 200
        assert (await site.call_as(less, "PUT", "/bkt/k", b"x")).status == 403
        assert (await site.call_as(less, "DELETE", "/bkt/k")).status == 403
        root = await assumed(site, Signer(), policy(READ))
        assert (await site.call_as(root, "GET", "/bkt/k")).status == 200
        assert (await site.call_as(root, "PUT", "/bkt/k", b"x")).status == 403
        whole = await assumed(site, Signer())
        assert (await site.call_as(whole, "PUT", "/other")).status == 200

    tell(tmp_path, story)


def test_a_temporary_key_ends_with_its_issuer(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        ann = await user(site, policy("s3:*"))
        temporary = await assumed(site, ann)
        assert (await site.call_as(temporary, "GET", "/bkt")).status == 200
        await keys.set_active(site.objects, "ann", ann.access, is_active=False)
        for signer in (ann, temporary):
            answer = await site.call_as(signer, "GET", "/bkt")
            assert (answer.status, answer.code) == (403, "InvalidAccessKeyId")
        await keys.set_active(site.objects, "ann", ann.access, is_active=True)
        assert (await site.call_as(temporary, "GET", "/bkt")).status == 200
        await keys.delete_key(site.objects, "ann", ann.access)
        assert (await site.call_as(temporary, "GET", "/bkt")).code == "InvalidAccessKeyId"

    tell(tmp_path, story)


def test_a_token_must_fit_its_key(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        one, two = await assumed(site, Signer()), await assumed(site, Signer())
        for signer, code in (
            (Signer(one.access, one.secret), "InvalidAccessKeyId"),
            (Signer(one.access, one.secret, two.token), "InvalidToken"),
            (Signer(one.access, two.secret, one.token), "SignatureDoesNotMatch"),
            (Signer(one.access, one.secret, "x"), "InvalidToken"),
            (Signer(token=one.token), "InvalidToken"),
            (Signer("none", "none"), "InvalidAccessKeyId"),
        ):
            assert (await site.call_as(signer, "GET", "/bkt")).code == code

    tell(tmp_path, story)


def test_a_signature_for_another_service_is_none_for_s3(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for service in ("iam", "sts"):
            answer = await site.call_as(Signer(service=service), "GET", "/bkt")
            assert answer.status == 400
            assert b"<ErrorResponse" in answer.body

    tell(tmp_path, story)
