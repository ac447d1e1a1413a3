"""Signatures of AWS, version 2, which boto3 still presigns URLs with. Pure.

Source: "Signing and authenticating REST requests (signature version 2)" in the S3 user guide. It
signs no more of a query than what names a sub-resource. So a query may have nothing beside that
but what cannot make another call of it: who has a URL could add it.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import TYPE_CHECKING

from skerry.base import Denied, Invalid, NotBuilt
from skerry.s3.call import seconds_of
from skerry.s3.signature import (
    SKEW_S_MAX,
    STREAMING,
    STREAMING_TRAILER,
    UNSIGNED,
    Claim,
    mismatch,
    payload_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skerry.s3.signature import Asked

ALGORITHM = "AWS"
_HEADER = re.compile(r"AWS ([^:/\s]{1,128}):([A-Za-z0-9+/]{27}=)")
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{27}=")
_SIGNED = frozenset(
    {
        "accelerate", "acl", "analytics", "cors", "delete", "inventory", "lifecycle", "location",
        "logging", "metrics", "notification", "object-lock", "partNumber", "policy", "replication",
        "requestPayment", "response-cache-control", "response-content-disposition",
        "response-content-encoding", "response-content-language", "response-content-type",
        "response-expires", "restore", "select", "select-type", "storageClass", "tagging",
        "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
    }
)  # fmt: skip
_HARMLESS = frozenset(
    {
        "AWSAccessKeyId", "Signature", "Expires", "prefix", "delimiter", "marker", "max-keys",
        "encoding-type", "list-type", "continuation-token", "start-after", "fetch-owner",
        "key-marker", "version-id-marker", "upload-id-marker", "max-uploads", "max-parts",
        "part-number-marker", "x-id", "content-type", "content-md5",
    }
)  # fmt: skip


def speaks(asked: Asked) -> bool:
    """Tell whether a request is signed by version 2."""
    header = asked.headers.get("authorization")
    if header is not None:
        return header.startswith("AWS ")
    return any(name == "AWSAccessKeyId" for name, _ in asked.query)


def claim_of(asked: Asked) -> Claim:
    """Return what a request says of its sender. Raises Invalid, Denied(no_date), NotBuilt."""
    query = dict(asked.query)
    if len(query) < len(asked.query):
        raise Invalid("bad_query_authorization", "The query names something twice.")
    payload = asked.headers.get("x-amz-content-sha256", UNSIGNED)
    if payload in (STREAMING, STREAMING_TRAILER):
        raise NotBuilt("signature_version", "Chunks are signed by version 4 alone.")
    token = asked.headers.get("x-amz-security-token", query.get("x-amz-security-token"))
    if "authorization" in asked.headers:
        match = _HEADER.fullmatch(asked.headers["authorization"].strip())
        if match is None:
            raise Invalid("bad_authorization", "Authorization is AWS KEY:SIGNATURE, or version 4.")
        said = asked.headers.get("x-amz-date") or asked.headers.get("date", "")
        at_s, expires_s = seconds_of(said), None
        if at_s is None:
            raise Denied("no_date", "Send the header Date or x-amz-date.")
        access_key, signature = match[1], match[2]
    else:
        access_key, signature = query["AWSAccessKeyId"], query.get("Signature", "")
        expires = query.get("Expires", "")
        if not expires.isdecimal() or len(expires) > 12 or not _SIGNATURE.fullmatch(signature):
            raise Invalid(
                "bad_query_authorization", "AWSAccessKeyId comes with Signature and Expires."
            )
        at_s, expires_s = 0, int(expires)
    return Claim(
        access_key=access_key, date="", region="", service="s3", moment="", at_s=at_s, signed=(),
        signature=signature, payload=payload_of(payload), session_token=token,
        expires_s=expires_s, algorithm=ALGORITHM,
    )  # fmt: skip


def check(claim: Claim, asked: Asked, target: bytes, bucket: str, secret: str, now_s: int) -> None:
    """Return if a request is from who knows secret, and of now.

    target: as it was sent. bucket: where the host names it. Raises Denied(signature_mismatch,
    clock_skew, request_expired), NotBuilt(signature_version).
    """
    if claim.expires_s is not None:
        if now_s > claim.expires_s:
            raise Denied("request_expired", "The URL has expired. Ask for a new one.")
    elif abs(now_s - claim.at_s) > SKEW_S_MAX:
        raise Denied(
            "clock_skew", "The request's time is too far from this machine's. Set your clock."
        )
    for name, _ in asked.query:
        if name not in _SIGNED and name not in _HARMLESS and not name.startswith("x-amz-"):
            raise NotBuilt("signature_version", f"Version 2 signs no {name[:60]!r}. Use version 4.")
    # Clients write a bucket in the path with a slash after it, or without.
    path = target.partition(b"?")[0]
    paths = [path, path + b"/"] if path.count(b"/") == 1 and len(path) > 1 else [path]
    signatures = [sign(secret, text_to_sign(claim, asked, each, bucket)) for each in paths]
    if not any([hmac.compare_digest(each, claim.signature) for each in signatures]):  # noqa: C419 - all of them
        raise mismatch()


def text_to_sign(claim: Claim, asked: Asked, path: bytes, bucket: str) -> str:
    """Return what of a request is signed, as one text. path: as it was sent."""
    query = dict(asked.query)
    # Headers were read as Latin-1, whatever bytes they are.
    headers = {
        name: value.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
        for name, value in asked.headers.items()
    }
    fields = {**{name.lower(): value for name, value in asked.query}, **headers}
    date = "" if "x-amz-date" in asked.headers else asked.headers.get("date", "")
    if claim.expires_s is not None:
        date = query["Expires"]
    amz = "".join(
        f"{name}:{fields[name].strip()}\n" for name in sorted(fields) if name.startswith("x-amz-")
    )
    return (
        f"{asked.method}\n{fields.get('content-md5', '')}\n{fields.get('content-type', '')}\n"
        f"{date}\n{amz}{_resource(query, path, bucket)}"
    )


def sign(secret: str, text: str) -> str:
    """Return the signature of a text."""
    digest = hmac.digest(secret.encode(), text.encode("utf-8", "surrogateescape"), "sha1")
    return base64.b64encode(digest).decode()


def _resource(query: Mapping[str, str], path: bytes, bucket: str) -> str:
    named = [
        f"{name}={query[name]}" if query[name] else name for name in sorted(_SIGNED & query.keys())
    ]
    text = path.decode("latin-1")
    whole = f"/{bucket}{text}" if bucket else text
    return f"{whole}?{'&'.join(named)}" if named else whole
