"""The client of a remote: how its errors are told, and what it needs."""

import sys
from pathlib import Path
from typing import Any

import pytest

from skerry.base import Conflict, Denied, Invalid, NotAvailable, NotBuilt, NotFound, SkerryError
from skerry.remotes.b2_shelf import connect_b2
from skerry.remotes.model import Remote
from skerry.remotes.s3 import connect, document, error_of, told
from tests.remotes.place import shore


@pytest.mark.parametrize(
    ("code", "status", "kind", "ours"),
    [
        ("NoSuchKey", 404, NotFound, "no_such_key"),
        ("404", 404, NotFound, "not_found"),
        ("AccessDenied", 403, Denied, "access_denied"),
        ("403", 403, Denied, "access_denied"),
        ("PreconditionFailed", 412, Conflict, "precondition_failed"),
        ("BucketAlreadyExists", 409, Conflict, "bucket_already_exists"),
        ("InvalidArgument", 400, Invalid, "invalid_argument"),
        ("NotImplemented", 501, NotBuilt, "not_implemented"),
        ("SlowDown", 503, NotAvailable, "slow_down"),
        ("Weird", 0, NotAvailable, "weird"),
    ],
)
def test_an_error_keeps_its_code(
    code: str, status: int, kind: type[SkerryError], ours: str
) -> None:
    error = error_of(code, "It is so.", status, "bkt/k")

    assert (type(error), error.code) == (kind, ours)
    assert error.message.startswith("bkt/k: ")


@pytest.mark.parametrize("package", ["botocore", "b2sdk"])
def test_what_is_not_installed_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    if package == "b2sdk":
        monkeypatch.delitem(sys.modules, "b2sdk.v3", raising=False)

    with pytest.raises(NotAvailable, match="pip install"):
        connect(Remote()) if package == "botocore" else connect_b2(Remote(kind="b2"))


def test_a_wrong_key_is_denied_and_a_strange_name_invalid(tmp_path: Path) -> None:
    with shore(tmp_path) as store:
        stranger = connect(Remote(endpoint=store.remote.endpoint, access_key="x", secret="y" * 8))
        with pytest.raises(Denied), told("bkt"):
            stranger.list_objects_v2(Bucket="bkt")
        with pytest.raises(Denied):
            document(stranger, "GET", "bkt", "versioning")
        with pytest.raises(Invalid), told():
            store.client.list_objects_v2(Bucket="no such name")
        stranger.close()


def test_who_has_no_key_asks_as_nobody(tmp_path: Path) -> None:
    with shore(tmp_path) as store:
        store.bucket()
        policy = (
            '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",'
            ' "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bkt/*"}]}'
        )
        store.client.put_bucket_policy(Bucket="bkt", Policy=policy)
        store.put("k", b"hello")
        nobody = connect(Remote(endpoint=store.remote.endpoint))

        assert nobody.get_object(Bucket="bkt", Key="k")["Body"].read() == b"hello"
        with pytest.raises(Denied), told():
            nobody.put_object(Bucket="bkt", Key="k", Body=b"")
        nobody.close()


def test_a_store_that_takes_no_checksums_gets_none(tmp_path: Path) -> None:
    with shore(tmp_path) as store:
        plain = connect(
            Remote(
                endpoint=store.remote.endpoint, access_key=store.remote.access_key,
                secret=store.remote.secret, has_checksums=False,
            )
        )  # fmt: skip
        store.bucket()
        sent: list[str] = []

        def note(request: Any, **_: object) -> None:
            sent.extend(request.headers)

        plain.meta.events.register("before-send.s3.PutObject", note)
        plain.put_object(Bucket="bkt", Key="k", Body=b"x")

        assert sent
        assert not [name for name in sent if "checksum" in name.lower()]
        plain.close()
