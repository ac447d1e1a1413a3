"""Policies: what they allow, and what is refused when they are put."""

import contextlib
import functools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base import Invalid
from skerry.s3.patterns import wildcards
from skerry.s3.policies import Asking, bucket_policy, identity_policy, read_policy

OBJECT = "arn:aws:s3:::bkt/home/ann/a.txt"
VALUES = {
    "aws:username": ["ann"], "aws:sourceip": ["10.1.2.3"], "aws:securetransport": ["false"],
    "aws:currenttime": ["2026-06-01T00:00:00Z"], "aws:epochtime": ["1780272000"],
    "s3:prefix": ["home/ann/"], "s3:max-keys": ["100"], "s3:existingobjecttag/Team": ["red"],
    "s3:requestobjecttagkeys": ["a", "b"],
}  # fmt: skip


def asking(action: str = "s3:GetObject", resource: str = OBJECT, *names: str) -> Asking:
    return Asking(frozenset(names), action, resource, lambda key: VALUES.get(key, []))


def policy(**fields: object) -> bytes:
    plain = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    statement = {name: value for name, value in {**plain, **fields}.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": statement}).encode()


def verdict(asked: Asking, **fields: object) -> str:
    return read_policy(policy(**fields)).verdict(asked)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"Action": "*"}, True),
        ({"Action": ["s3:PutObject", "S3:getobject"]}, True),
        ({"Action": "s3:Get*"}, True),
        ({"Action": "s3:?etObject"}, True),
        ({"Action": "s3:Get?Object"}, False),
        ({"Action": "s3:PutObject"}, False),
        ({"Action": None, "NotAction": "s3:PutObject"}, True),
        ({"Action": None, "NotAction": "s3:Get*"}, False),
        ({"Resource": "arn:aws:s3:::bkt/*"}, True),
        ({"Resource": "arn:aws:s3:::bkt"}, False),
        ({"Resource": "arn:aws:s3:::bkt/home/${aws:username}/*"}, True),
        ({"Resource": "arn:aws:s3:::bkt/home/${AWS:UserName}/*"}, True),
        ({"Resource": "arn:aws:s3:::bkt/home/${aws:referer}/*"}, False),
        ({"Resource": "arn:aws:s3:::bkt/home/${aws:referer, 'ann'}/*"}, True),
        ({"Resource": "arn:aws:s3:::bkt/home/${*}"}, False),
        ({"Resource": None, "NotResource": "arn:aws:s3:::bkt/home/bob/*"}, True),
        ({"Resource": None, "NotResource": "arn:aws:s3:::bkt/${aws:referer}"}, False),
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": "ann"}}, True),
        ({"Principal": {"AWS": ["bob", "arn:aws:iam::000000000000:user/ann"]}}, True),
        ({"Principal": {"AWS": "arn:aws:iam::000000000000:user/ann2"}}, False),
        ({"Principal": {"AWS": "arn:aws:iam::000000000000:root"}}, False),
        ({"Principal": {"AWS": "000000000000"}}, False),
        ({"Principal": {"AWS": "AKIA1"}}, True),
    ],
)
def test_a_statement_allows_what_it_names(fields: dict[str, object], *, expected: bool) -> None:
    found = verdict(asking("s3:GetObject", OBJECT, "ann", "AKIA1"), **fields)

    assert found == ("allow" if expected else "")


@pytest.mark.parametrize(
    ("operator", "key", "value", "holds"),
    [
        ("StringEquals", "s3:prefix", "home/ann/", True),
        ("StringEquals", "S3:PREFIX", ["x", "home/${aws:username}/"], True),
        ("StringEquals", "s3:prefix", "home/*", False),
        ("StringEquals", "s3:delimiter", "/", False),
        ("StringEqualsIfExists", "s3:delimiter", "/", True),
        ("StringNotEquals", "s3:prefix", ["a", "home/ann/"], False),
        ("StringNotEquals", "s3:delimiter", "/", True),
        ("StringEqualsIgnoreCase", "s3:prefix", "HOME/Ann/", True),
        ("StringNotEqualsIgnoreCase", "s3:prefix", "HOME/Ann/", False),
        ("StringLike", "s3:prefix", "home/???/", True),
        ("StringLike", "s3:prefix", "home/${*}", False),
        ("StringNotLike", "s3:prefix", "home/*", False),
        ("NumericLessThanEquals", "s3:max-keys", 100, True),
        ("NumericLessThan", "s3:max-keys", "100", False),
        ("NumericEquals", "s3:max-keys", "100.0", True),
        ("NumericNotEquals", "s3:max-keys", "100", False),
        ("NumericGreaterThan", "s3:max-keys", "99", True),
        ("DateLessThan", "aws:CurrentTime", "2026-06-02T00:00:00Z", True),
        ("DateGreaterThan", "aws:CurrentTime", "2026-06-01", False),
        ("DateGreaterThanEquals", "aws:EpochTime", "2026-06-01", True),
        ("NumericGreaterThan", "aws:EpochTime", "1780271999", True),
        ("Bool", "aws:SecureTransport", False, True),
        ("Bool", "aws:SecureTransport", "true", False),
        ("IpAddress", "aws:SourceIp", ["192.168.0.0/16", "10.0.0.0/8"], True),
        ("IpAddress", "aws:SourceIp", "2001:db8::/32", False),
        ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", False),
        ("Null", "s3:delimiter", "true", True),
        ("Null", "s3:prefix", "true", False),
        ("Null", "s3:prefix", "false", True),
        ("Null", "s3:delimiter", False, False),
        ("StringEquals", "s3:ExistingObjectTag/Team", "red", True),
        ("StringEquals", "s3:ExistingObjectTag/team", "red", False),
        ("ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["a", "b", "c"], True),
        ("ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["a"], False),
        ("ForAllValues:StringEquals", "s3:delimiter", "/", True),
        ("ForAnyValue:StringLike", "s3:RequestObjectTagKeys", ["a*", "x"], True),
        ("ForAnyValue:StringEquals", "s3:delimiter", "/", False),
        ("ForAnyValue:StringNotEquals", "s3:RequestObjectTagKeys", "a", True),
    ],
)
def test_conditions_hold_as_in_iam(operator: str, key: str, value: object, *, holds: bool) -> None:
    found = verdict(asking(), Condition={operator: {key: value}})

    assert found == ("allow" if holds else "")


@pytest.mark.parametrize(
    "fields",
    [
        {"Effect": "allow"}, {"Effect": None}, {"Action": None}, {"Resource": None},
        {"NotAction": "s3:*"}, {"Action": []}, {"Action": [""]}, {"Action": "GetObject"},
        {"Action": "s3:Get Object"}, {"Action": 1}, {"Resource": "bkt/*"}, {"Resource": {}},
        {"Resource": "arn:aws:s3:::bkt/${aws:nothing}"}, {"Resource": "arn:aws:s3:::bkt/${x"},
        {"Resource": "arn:" + "*" * 2050}, {"Sid": 1}, {"Sid": "é"}, {"Other": 1},
        {"Principal": "ann"}, {"Principal": {}}, {"Principal": {"Service": "x"}},
        {"Principal": {"AWS": []}}, {"Principal": {"AWS": "arn:aws:iam::1:role/x"}},
        {"Principal": {"AWS": "arn:aws:iam::123456789012:user/ann"}},
        {"Principal": {"AWS": "123456789012"}},
        {"Principal": None, "NotPrincipal": {"AWS": "ann"}},
        {"Condition": []}, {"Condition": {"StringEquals": {}}},
        {"Condition": {"StringIs": {"s3:prefix": "a"}}},
        {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "a"}}},
        {"Condition": {"StringEquals": {"s3:ExistingObjectTag/": "a"}}},
        {"Condition": {"StringEquals": {"s3:prefix": []}}},
        {"Condition": {"StringEquals": {"s3:prefix": {}}}},
        {"Condition": {"StringEquals": {"s3:prefix": "${aws:nothing}"}}},
        {"Condition": {"NumericEquals": {"s3:max-keys": "many"}}},
        {"Condition": {"DateLessThan": {"aws:CurrentTime": "soon"}}},
        {"Condition": {"Bool": {"aws:SecureTransport": "maybe"}}},
        {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/99"}}},
        {"Condition": {"NullIfExists": {"s3:prefix": "true"}}},
        {"Condition": {"ForNoValue:StringEquals": {"s3:prefix": "a"}}},
        {"Action": ["s3:GetObject"] * 1001},
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(Invalid) as refused:
        read_policy(policy(**fields))
    assert refused.value.code == "bad_policy"


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"Statement": []}', b'{"Statement": [1]}',
        b'{"Statement": {}, "Statement": {}}', b"[" * 9000, b'{"Statement": NaN}', b"\xff",
        b'{"Version": "2013-01-01", "Statement": {"Effect":"Allow","Action":"*","Resource":"*"}}',
        b'{"Statement": ' + b" " * 20_480 + b"{}}", b'{"Id": 1, "Statement": {}}',
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused(document: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        read_policy(document)
    assert refused.value.code == "bad_policy"


def test_a_denial_wins_whatever_its_place() -> None:
    allow = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}

    for statements in ([allow, deny], [deny, allow]):
        read = read_policy(json.dumps({"Statement": statements}).encode())
        assert read.verdict(asking()) == "deny"
        assert read.verdict(asking("s3:PutObject")) == "allow"


def test_an_account_keeps_its_users_out_but_lets_none_in() -> None:
    root = {"AWS": "arn:aws:iam::000000000000:root"}

    assert verdict(asking("s3:GetObject", OBJECT, "ann"), Principal=root, Effect="Deny") == "deny"
    assert verdict(asking(), Principal=root, Effect="Deny") == ""


@pytest.mark.parametrize(("name", "expected"), [("ann", ""), ("bob", "deny"), ("", "deny")])
def test_all_but_some_are_kept_out(name: str, expected: str) -> None:
    names = [name] if name else []
    found = verdict(
        asking("s3:GetObject", OBJECT, *names), Effect="Deny", NotPrincipal={"AWS": ["ann"]}
    )
    assert found == expected


def test_variables_mean_nothing_in_the_old_version() -> None:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::bkt/${aws:username}"}
    old = read_policy(json.dumps({"Statement": statement}).encode())

    assert old.verdict(asking("s3:GetObject", "arn:aws:s3:::bkt/ann")) == ""
    assert old.verdict(asking("s3:GetObject", "arn:aws:s3:::bkt/${aws:username}")) == "allow"


def test_wildcards_in_a_value_are_no_wildcards() -> None:
    read = read_policy(policy(Resource="arn:aws:s3:::bkt/${aws:username}"))
    star = Asking(frozenset(), "s3:GetObject", "arn:aws:s3:::bkt/bob", lambda _: ["*"])

    assert read.verdict(star) == ""


@pytest.mark.parametrize(
    ("resource", "is_taken"),
    [
        ("arn:aws:s3:::bkt", True), ("arn:aws:s3:::bkt/*", True), ("arn:aws:s3:::bkt*", True),
        ("*", True), ("arn:aws:s3:::bkt2/*", False), ("arn:aws:s3:::*", False),
        ("arn:aws:s3:::other", False),
    ],
)  # fmt: skip
def test_a_bucket_speaks_of_itself(resource: str, *, is_taken: bool) -> None:
    document = policy(Principal="*", Resource=resource)
    if is_taken:
        assert bucket_policy(document, "bkt").is_public
        return
    with pytest.raises(Invalid, match="not of this bucket"):
        bucket_policy(document, "bkt")


def test_principals_belong_into_the_policies_of_buckets() -> None:
    with pytest.raises(Invalid, match="has no Principal"):
        identity_policy(policy(Principal="*"))
    with pytest.raises(Invalid, match="has a Principal"):
        bucket_policy(policy(), "bkt")


def slowly(pattern: str, text: str) -> bool:
    """Tell whether a text fits, the plain way."""

    @functools.cache
    def fits(p: int, t: int) -> bool:
        if p == len(pattern):
            return t == len(text)
        if pattern[p] == "*":
            return fits(p + 1, t) or (t < len(text) and fits(p, t + 1))
        return t < len(text) and pattern[p] in ("?", text[t]) and fits(p + 1, t + 1)

    return fits(0, 0)


@given(st.text("ab*?\n", max_size=12), st.text("ab*\n", max_size=14))
def test_wildcards_match_as_the_plain_way_does(pattern: str, text: str) -> None:
    assert wildcards(pattern).matches(text, lambda _: []) == slowly(pattern, text)


def test_a_pattern_that_would_have_to_go_back_does_not() -> None:
    bad = wildcards("*a" * 1000 + "b")

    assert not bad.matches("a" * 4096, lambda _: [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["Version", "Statement", "Effect", "Action", "Resource", "Principal",
                         "AWS", "Condition", "StringLike", "s3:prefix", "Bool"]), inner, max_size=4,
    ), max_leaves=12,
)  # fmt: skip


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_noise_is_refused_and_nothing_else(document: bytes) -> None:
    with contextlib.suppress(Invalid):
        read_policy(document).verdict(asking())
