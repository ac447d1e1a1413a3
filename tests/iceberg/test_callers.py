import base64
from pathlib import Path
from typing import Any

import pytest

from skerry.base import Unauthorized
from skerry.iceberg import tokens
from tests.iceberg.door import KEYS, NOW_S, Door, tell
from tests.tables.warehouse import SCHEMA

NEW = {"namespace": ["a"]}


def test_everybody_may_what_the_bucket_lets_everybody(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        assert (await door.call("POST", "lake/namespaces", NEW)).status == 200
        assert (await door.call("GET", "shop/namespaces")).status == 200
        for method, path in (("POST", "shop/namespaces"), ("GET", "private/namespaces"),
                             ("GET", "none/namespaces"), ("GET", "config?warehouse=private")):  # fmt: skip
            told = await door.call(method, path, NEW if method == "POST" else None)
            assert told.error == (401, "NotAuthorizedException"), path
            assert told.headers["WWW-Authenticate"].startswith("Bearer")

    tell(tmp_path, story)


def test_a_token_tells_who_asks(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        ann, bob = await door.token("ann"), await door.token("bob")
        for path in ("private/namespaces", "shop/namespaces"):
            assert (await door.call("POST", path, NEW, authorization=ann)).status == 200
            assert (await door.call("GET", path, authorization=bob)).status == 200
            refused = await door.call("POST", path, NEW, authorization=bob)
            assert refused.error == (403, "ForbiddenException")

    tell(tmp_path, story)


def test_a_key_that_may_write_at_one_place_writes_nowhere_else(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        ann, carl = await door.token("ann"), await door.token("carl")
        for name in ("c", "d"):
            new = {"namespace": [name]}
            await door.call("POST", "private/namespaces", new, authorization=ann)
            table = {"name": "t", "schema": SCHEMA}
            path = f"private/namespaces/{name}/tables"
            told = await door.call("POST", path, table, authorization=ann)
            elsewhere = told.document["metadata-location"]
        own, other = "private/namespaces/c", "private/namespaces/d"
        named = [{"namespace": [each], "name": "t"} for each in "cd"]
        here = {"action": "set-location", "location": "s3://private/c/x"}
        there = {"action": "set-location", "location": "s3://private/d/x"}
        rows: list[tuple[str, str, Any, int]] = [
            ("GET", f"{own}/tables/t", None, 200), ("GET", f"{other}/tables/t", None, 403),
            ("HEAD", f"{other}/tables/t", None, 403), ("GET", f"{other}/tables/t/credentials", None, 403),
            ("POST", f"{other}/tables/t", {"updates": []}, 403),
            ("POST", f"{own}/tables/t", {"updates": [there]}, 403),
            ("POST", f"{own}/tables/t", {"updates": [here]}, 200),
            ("POST", "private/transactions/commit", {"table-changes": [{"identifier": named[1]}]}, 403),
            ("POST", "private/tables/rename", {"source": named[0], "destination": named[1]}, 403),
            ("POST", "private/tables/rename", {"source": named[1], "destination": named[0]}, 403),
            ("POST", f"{own}/tables", {**table, "name": "u", "location": "s3://private/d/u"}, 403),
            ("POST", f"{own}/register", {"name": "r", "metadata-location": elsewhere}, 403),
            ("POST", f"{other}/tables", {**table, "name": "u"}, 403),
            ("POST", "private/namespaces", {"namespace": ["d", "e"]}, 403),
            ("DELETE", other, None, 403), ("DELETE", f"{other}/tables/t", None, 403),
            ("DELETE", f"{own}/tables/t?purgeRequested=true", None, 204),
        ]  # fmt: skip
        for method, path, document, status in rows:
            told = await door.call(method, path, document, authorization=carl)
            assert told.status == status, (method, path, document)

    tell(tmp_path, story)


def test_a_token_ends(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        ann = await door.token("ann")
        door.now_s += tokens.LIFETIME_S - 1
        assert (await door.call("GET", "private/namespaces", authorization=ann)).status == 200
        door.now_s += 1
        told = await door.call("GET", "private/namespaces", authorization=ann)
        assert told.error == (401, "NotAuthorizedException")

    tell(tmp_path, story)


def test_tokens_that_are_none_are_refused(tmp_path: Path) -> None:
    good = tokens.issued("ann", "ann-secret", NOW_S + 10)
    data = base64.urlsafe_b64decode(good)
    others = [
        tokens.issued("ann", "another", NOW_S + 10), tokens.issued("eve", "eve", NOW_S + 10),
        base64.urlsafe_b64encode(data[:32] + data[32:].replace(b"ann", b"bob")).decode(),
        base64.urlsafe_b64encode(data[:32]).decode(), good[:-4], "x", "é", "=" * 5000,
    ]  # fmt: skip

    assert tokens.caller_of(good, KEYS.get, NOW_S).account == "a"
    for token in others:
        with pytest.raises(Unauthorized):
            tokens.caller_of(token, KEYS.get, NOW_S)


def test_other_kinds_of_authorization_are_refused(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        for text in ("Basic YTpi", "AWS4-HMAC-SHA256 Credential=x", "Bearer nonsense"):
            told = await door.call("GET", "lake/namespaces", authorization=text)
            assert told.error == (401, "NotAuthorizedException"), text
        none = await door.call("GET", "lake/namespaces", authorization="Bearer None")
        assert none.status == 200  # as pyiceberg says that it has none

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ("grant_type=client_credentials&client_id=ann&client_secret=wrong", "invalid_client"),
        ("grant_type=client_credentials&client_id=eve&client_secret=", "invalid_client"),
        ("grant_type=client_credentials", "invalid_client"),
        ("grant_type=password", "unsupported_grant_type"),
        ("", "unsupported_grant_type"),
        ("&".join(f"a{n}=1" for n in range(50)), "invalid_request"),
    ],
)
def test_who_does_not_know_the_secret_gets_no_token(tmp_path: Path, form: str, error: str) -> None:
    async def story(door: Door) -> None:
        kind = "application/x-www-form-urlencoded"
        told = await door.raw("POST", "oauth/tokens", form.encode(), content_type=kind)
        assert (told.document["error"], told.status in (400, 401)) == (error, True)

    tell(tmp_path, story)


def test_the_secret_may_come_in_a_header(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        basic = base64.b64encode(b"ann:ann-secret").decode()
        told = await door.raw(
            "POST", "oauth/tokens", b"grant_type=client_credentials", authorization=f"Basic {basic}",
            content_type="application/x-www-form-urlencoded",
        )  # fmt: skip
        assert (told.status, told.document["expires_in"]) == (200, 3600)
        assert told.headers["Cache-Control"] == "no-store"

    tell(tmp_path, story)


def test_a_web_page_needs_a_token(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        marks = ({"origin": "http://evil.test"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"},
                 {"origin": "http://lake.test:9000", "host": "lake.test:9000"})  # fmt: skip
        ann = await door.token("ann")
        for mark in marks:
            for method, path in (("GET", "lake/namespaces"), ("GET", "config?warehouse=lake")):
                assert (await door.call(method, path, **mark)).error == (403, "ForbiddenException")
            assert (await door.call("POST", "lake/namespaces", NEW, **mark)).error[0] == 403
            allowed = await door.call("GET", "lake/namespaces", authorization=ann, **mark)
            assert allowed.status == 200
        typed = await door.call("GET", "lake/namespaces", sec_fetch_site="none")
        assert typed.status == 200

    tell(tmp_path, story)
