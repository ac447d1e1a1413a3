"""IAM and STS: what they answer, and what they refuse in AWS's words."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.s3.site import Signer, Site, request, tell
from tests.s3.test_access import assumed, field, policy, user

ROOT = Signer()
POLICY = policy("s3:*").decode()


def test_a_user_is_made_with_a_key_that_works(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        made = await site.ask(ROOT, "iam", "CreateUser", UserName="ann")
        assert field(made, "Arn") == "arn:aws:iam::000000000000:user/ann"
        key = await site.ask(ROOT, "iam", "CreateAccessKey", UserName="ann")
        ann = Signer(field(key, "AccessKeyId"), field(key, "SecretAccessKey"))
        assert (await site.call_as(ann, "GET", "/bkt")).status == 403
        named = {"UserName": "ann", "PolicyName": "p"}
        await site.ask(ROOT, "iam", "PutUserPolicy", PolicyDocument=POLICY, **named)
        assert (await site.call_as(ann, "GET", "/bkt")).status == 200
        listed = await site.ask(ROOT, "iam", "ListUserPolicies", UserName="ann")
        assert b"<member>p</member>" in listed.body
        assert b"%22s3%3A%2A%22" in (await site.ask(ROOT, "iam", "GetUserPolicy", **named)).body
        assert (await site.ask(ROOT, "iam", "DeleteUserPolicy", **named)).status == 200
        assert (await site.call_as(ann, "GET", "/bkt")).status == 403

    tell(tmp_path, story)


def test_keys_are_listed_without_secrets_and_switched_off(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        ann = await user(site, policy("s3:*"))
        named = {"UserName": "ann", "AccessKeyId": ann.access}
        listed = await site.ask(ROOT, "iam", "ListAccessKeys", UserName="ann")
        assert field(listed, "Status") == "Active"
        assert ann.secret.encode() not in listed.body
        await site.ask(ROOT, "iam", "UpdateAccessKey", Status="Inactive", **named)
        assert (await site.call_as(ann, "GET", "/bkt")).code == "InvalidAccessKeyId"
        await site.ask(ROOT, "iam", "UpdateAccessKey", Status="Active", **named)
        assert (await site.call_as(ann, "GET", "/bkt")).status == 200
        assert (await site.ask(ROOT, "iam", "DeleteAccessKey", **named)).status == 200
        assert (await site.call_as(ann, "GET", "/bkt")).code == "InvalidAccessKeyId"

    tell(tmp_path, story)


def test_users_are_listed_in_pages(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for name in ("a", "b", "c"):
            await site.ask(ROOT, "iam", "CreateUser", UserName=name)
        first = await site.ask(ROOT, "iam", "ListUsers", MaxItems="2")
        marker = field(first, "Marker")
        rest = await site.ask(ROOT, "iam", "ListUsers", Marker=marker)

        assert (field(first, "IsTruncated"), marker) == ("true", "b")
        assert rest.body.count(b"<UserName>") == 1
        assert field(rest, "IsTruncated") == "false"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("service", "action", "fields", "status", "code"),
    [
        ("iam", "CreateUser", {"UserName": "ann"}, 409, "EntityAlreadyExists"),
        ("iam", "CreateUser", {"UserName": "a b"}, 400, "ValidationError"),
        ("iam", "CreateUser", {}, 400, "ValidationError"),
        ("iam", "CreateUser", {"UserName": "x", "Path": "/p/"}, 400, "ValidationError"),
        ("iam", "CreateUser", {"UserName": "x", "Other": "y"}, 400, "ValidationError"),
        ("iam", "GetUser", {"UserName": "eve"}, 404, "NoSuchEntity"),
        ("iam", "DeleteUser", {"UserName": "ann"}, 409, "DeleteConflict"),
        ("iam", "CreateAccessKey", {"UserName": "eve"}, 404, "NoSuchEntity"),
        ("iam", "CreateAccessKey", {}, 400, "ValidationError"),
        ("iam", "DeleteAccessKey", {"UserName": "ann", "AccessKeyId": "x"}, 404, "NoSuchEntity"),
        ("iam", "UpdateAccessKey", {"UserName": "ann", "Status": "x"}, 400, "ValidationError"),
        ("iam", "PutUserPolicy", {"UserName": "ann", "PolicyName": "p", "PolicyDocument": "{}"},
         400, "MalformedPolicyDocument"),
        ("iam", "GetUserPolicy", {"UserName": "ann", "PolicyName": "x"}, 404, "NoSuchEntity"),
        ("iam", "DeleteUserPolicy", {"UserName": "ann", "PolicyName": "x"}, 404, "NoSuchEntity"),
        ("iam", "ListUsers", {"MaxItems": "0"}, 400, "ValidationError"),
        ("iam", "CreateGroup", {}, 400, "InvalidAction"),
        ("iam", "AssumeRole", {}, 400, "InvalidAction"),
        ("sts", "AssumeRole", {"DurationSeconds": "899"}, 400, "ValidationError"),
        ("sts", "AssumeRole", {"DurationSeconds": "43201"}, 400, "ValidationError"),
        ("sts", "AssumeRole", {"RoleSessionName": "<x>"}, 400, "ValidationError"),
        ("sts", "AssumeRole", {"Policy": "{}"}, 400, "MalformedPolicyDocument"),
        ("sts", "AssumeRole", {"Policy": " " * 5000 + POLICY}, 400, "PackedPolicyTooLarge"),
        ("sts", "AssumeRole", {"TokenCode": "1"}, 400, "ValidationError"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_as_iam_does(
    tmp_path: Path, service: str, action: str, fields: dict[str, str], status: int, code: str
) -> None:
    async def story(site: Site) -> None:
        await user(site)
        answer = await site.ask(ROOT, service, action, **fields)

        assert (answer.status, answer.code) == (status, code)
        assert answer.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<ErrorResponse')

    tell(tmp_path, story)


def test_a_user_manages_users_only_where_a_policy_says_so(tmp_path: Path) -> None:
    own = policy("iam:*AccessKey*", resource="arn:aws:iam::000000000000:user/${aws:username}")

    async def story(site: Site) -> None:
        ann, bob = await user(site, policy("s3:*")), await user(site, own, name="bob")
        assert (await site.ask(ann, "iam", "CreateUser", UserName="eve")).code == "AccessDenied"
        assert (await site.ask(ann, "iam", "ListAccessKeys")).code == "AccessDenied"
        assert (await site.ask(bob, "iam", "CreateAccessKey")).status == 200
        answer = await site.ask(bob, "iam", "CreateAccessKey", UserName="ann")
        assert (answer.status, answer.code) == (403, "AccessDenied")

    tell(tmp_path, story)


def test_sts_tells_who_calls_and_issues_no_keys_by_temporary_ones(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        ann = await user(site, policy("sts:*", effect="Deny", resource="*"), name="ann")
        bob = await user(site, name="bob")
        session = await assumed(site, bob)
        told = await site.ask(session, "sts", "GetCallerIdentity")
        assert field(told, "Arn") == "arn:aws:sts::000000000000:assumed-role/bob/me"
        assert field(await site.ask(bob, "sts", "GetCallerIdentity"), "Arn").endswith("user/bob")
        assert field(await site.ask(ROOT, "sts", "GetCallerIdentity"), "Arn").endswith(":root")
        assert (await site.ask(session, "sts", "AssumeRole")).code == "AccessDenied"
        assert (await site.ask(ann, "sts", "GetSessionToken")).code == "AccessDenied"
        assert (await site.ask(bob, "sts", "GetSessionToken")).status == 200

    tell(tmp_path, story)


def test_a_form_is_signed_with_its_body(tmp_path: Path) -> None:
    signer = Signer(service="iam")

    async def story(site: Site) -> None:
        whole = request("POST", "/", b"Action=CreateUser&UserName=ann", {}, signer)
        changed = await site.raw(whole.replace(b"ann", b"eve"))
        assert b"<Code>SignatureDoesNotMatch</Code>" in changed
        payload = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
        unsigned = await site.raw(request("POST", "/", b"Action=ListUsers", payload, signer))
        assert b"<Code>SignatureDoesNotMatch</Code>" in unsigned
        unknown = await site.call_as(
            Signer("none", "x", "", "iam"), "POST", "/", b"Action=ListUsers"
        )
        assert (unknown.status, unknown.code) == (403, "InvalidClientTokenId")

    tell(tmp_path, story)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["iam", "sts"]).flatmap(
    lambda service: st.tuples(st.just(service), st.binary(max_size=60))), min_size=8, max_size=8))  # fmt: skip
def test_noise_in_forms_is_refused(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, bytes]]
) -> None:
    async def story(site: Site) -> None:
        for service, body in calls:
            answer = await site.call_as(Signer(service=service), "POST", "/", body)
            assert answer.status == 400, answer

    tell(tmp_path_factory.mktemp("iam"), story)


def test_a_form_has_a_bound(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        big = request("POST", "/", b"x" * 140_000, {}, Signer(service="iam"))
        said = await site.raw(big.replace(b"connection: close", b"connection: keep-alive"))
        assert b"<Code>RequestEntityTooLarge</Code>" in said

    tell(tmp_path, story)
