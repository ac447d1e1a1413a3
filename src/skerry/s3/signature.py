"""Signatures of AWS, version 4: who sent a request, and that nobody changed it. Pure.

Source: "Authenticating Requests (AWS Signature Version 4)" in the S3 API reference. Secrets are
compared in constant time. What a sender may do is not known here.
"""

import datetime as dt
import functools
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from skerry.base import Denied, Invalid, NotBuilt

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA256 = hashlib.sha256().hexdigest()
SKEW_S_MAX = 15 * 60
EXPIRES_S_MAX = 7 * 86400

_HEADER = re.compile(
    ALGORITHM + r"\s+Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)
_CREDENTIAL = re.compile(r"([^/]{1,128})/([0-9]{8})/([A-Za-z0-9-]{1,64})/(s3|sts|iam)/aws4_request")
_MOMENT = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_HEXADECIMAL = re.compile(r"[0-9a-f]{64}")
_SPACES = re.compile(r" +")
# Such as proxies change on the way, and what is sent along with no meaning.
_MAY_BE_UNSIGNED = ("x-amz-trailer",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it is signed. path: decoded; query: names and values, decoded, in their order.

    headers: names in lower case; of several of one name the values are joined by commas.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a request says of its sender, not proven yet.

    signed: names of the headers that are signed. at_s: when it was signed, in seconds since 1970;
    expires_s: how long it holds, if it is a presigned URL. payload: what is signed of the body;
    empty where it is the body's SHA-256, which other services than S3 do not send.
    """

    access_key: str
    date: str
    region: str
    service: str
    moment: str
    at_s: int
    signed: tuple[str, ...]
    signature: str
    payload: str
    session_token: str | None
    expires_s: int | None = None
    algorithm: str = ALGORITHM

    @property
    def scope(self) -> str:
        """The credential scope, which is signed too."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def claim_of(asked: Asked) -> Claim | None:
    """Return what a request says of its sender, None if it says nothing.

    Raises Invalid(bad_authorization, bad_query_authorization), NotBuilt(signature_version).
    """
    header = asked.headers.get("authorization")
    query = dict(asked.query)
    if header is not None:
        return _by_header(asked, header)
    if "X-Amz-Signature" in query or "X-Amz-Algorithm" in query:
        return _by_query(asked, query)
    return None


def _by_header(asked: Asked, header: str) -> Claim:
    match = _HEADER.fullmatch(header.strip())
    if match is None:
        raise _bad_header("The Authorization header is not that of signature version 4.")
    moment = asked.headers.get("x-amz-date")
    if moment is None:
        raise Denied("no_date", "Send the header x-amz-date, and sign it.")
    access_key, date, region, service = _credential(match[1], _bad_header)
    payload = asked.headers.get("x-amz-content-sha256")
    if payload is None and service == "s3":
        raise Invalid("no_content_sha256", "Send the header x-amz-content-sha256.")
    return Claim(
        access_key=access_key, date=date, region=region, service=service, moment=moment,
        at_s=_seconds(moment, _bad_header), signed=_names(match[2], _bad_header),
        signature=match[3], payload=payload_of(payload) if payload is not None else "",
        session_token=asked.headers.get("x-amz-security-token"),
    )  # fmt: skip


def _by_query(asked: Asked, query: Mapping[str, str]) -> Claim:
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise _bad_query("X-Amz-Algorithm is not that of signature version 4.")
    signature, expires = query.get("X-Amz-Signature", ""), query.get("X-Amz-Expires", "")
    if _HEXADECIMAL.fullmatch(signature) is None or not query.get("X-Amz-SignedHeaders"):
        raise _bad_query("X-Amz-Signature and X-Amz-SignedHeaders must be there.")
    if not expires.isdecimal() or not 1 <= int(expires[:7]) <= EXPIRES_S_MAX or len(expires) > 7:
        raise _bad_query(f"X-Amz-Expires is a number of seconds, at most {EXPIRES_S_MAX}.")
    moment = query.get("X-Amz-Date", "")
    access_key, date, region, service = _credential(query.get("X-Amz-Credential", ""), _bad_query)
    signed = _names(query["X-Amz-SignedHeaders"], _bad_query)
    is_body_signed = "x-amz-content-sha256" in signed
    payload = asked.headers.get("x-amz-content-sha256", "") if is_body_signed else UNSIGNED
    return Claim(
        access_key=access_key, date=date, region=region, service=service, moment=moment,
        at_s=_seconds(moment, _bad_query),
        signed=signed, signature=signature,
        payload=payload_of(query.get("X-Amz-Content-Sha256", payload)),
        session_token=query.get("X-Amz-Security-Token"), expires_s=int(expires),
    )  # fmt: skip


def claim_of_form(fields: Mapping[str, str]) -> Claim:
    """Return what the fields of a POST form say of who signed its policy, which is all they sign.

    Raises Invalid(bad_query_authorization).
    """
    if fields.get("x-amz-algorithm") != ALGORITHM:
        raise _bad_query("x-amz-algorithm is not that of signature version 4.")
    access_key, date, region, service = _credential(fields.get("x-amz-credential", ""), _bad_query)
    moment, signature = fields.get("x-amz-date", ""), fields.get("x-amz-signature", "")
    at_s = _seconds(moment, _bad_query)
    if moment[:8] != date or service != "s3" or _HEXADECIMAL.fullmatch(signature) is None:
        raise _bad_query("x-amz-signature, and the same date in both fields, must be there.")
    return Claim(
        access_key=access_key, date=date, region=region, service=service, moment=moment,
        at_s=at_s, signed=(), signature=signature, payload=UNSIGNED,
        session_token=fields.get("x-amz-security-token"),
    )  # fmt: skip


def check(claim: Claim, asked: Asked, secret: str, now_s: int) -> None:
    """Return if a request is from who knows secret, and of now.

    Raises Denied(signature_mismatch, clock_skew, request_expired, unsigned_header).
    """
    if claim.moment[:8] != claim.date:
        raise Denied("signature_mismatch", "The dates of the credential and of the request differ.")
    if claim.expires_s is None:
        if abs(now_s - claim.at_s) > SKEW_S_MAX:
            raise Denied(
                "clock_skew", "The request's time is too far from this machine's. Set your clock."
            )
    elif now_s > claim.at_s + claim.expires_s:
        raise Denied("request_expired", "The URL has expired. Ask for a new one.")
    elif claim.at_s > now_s + SKEW_S_MAX:
        raise Denied("request_expired", "The URL does not hold yet. Set your clock.")
    _check_signed(claim, asked)
    key = signing_key(secret, claim.date, claim.region, claim.service)
    if not hmac.compare_digest(_signature(claim, asked, key), claim.signature):
        raise mismatch()


def mismatch() -> Denied:
    """Return the error of a signature that is another one."""
    return Denied(
        "signature_mismatch",
        "The signature does not fit the request. Check the secret key, and that nothing on the "
        "way changes path, query or headers.",
    )


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Return the key that a secret gives for a day, a region and a service."""
    return _signing_key(secret, date, region, service)


@functools.lru_cache(maxsize=256)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(key: bytes, text: str) -> str:
    """Return the signature of a text."""
    return hmac.digest(key, text.encode(), "sha256").hex()


def _signature(claim: Claim, asked: Asked, key: bytes) -> str:
    canonical = canonical_request(
        asked, claim.signed, claim.payload, is_presigned=claim.expires_s is not None
    )
    # Headers were read as Latin-1, whatever bytes they are; all else here is ASCII.
    digest = hashlib.sha256(canonical.encode("latin-1", "replace")).hexdigest()
    return sign(key, f"{ALGORITHM}\n{claim.moment}\n{claim.scope}\n{digest}")


def canonical_request(
    asked: Asked, signed: Sequence[str], payload: str, *, is_presigned: bool = False
) -> str:
    """Return what of a request is signed, as one text."""
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in asked.query
        if not (is_presigned and name == "X-Amz-Signature")
    )
    query = "&".join(f"{name}={value}" for name, value in pairs)
    headers = "".join(
        f"{name}:{_SPACES.sub(' ', asked.headers.get(name, '').strip())}\n" for name in signed
    )
    path = quote(asked.path, safe="-_.~/")
    return f"{asked.method}\n{path}\n{query}\n{headers}\n{';'.join(signed)}\n{payload}"


def _check_signed(claim: Claim, asked: Asked) -> None:
    if "host" not in claim.signed:
        raise Denied("unsigned_header", "The header host must be signed.")
    for name in asked.headers:
        if name.startswith("x-amz-") and name not in claim.signed and name not in _MAY_BE_UNSIGNED:
            if claim.expires_s is not None and name == "x-amz-content-sha256":
                continue
            raise Denied("unsigned_header", f"The header {name[:80]} must be signed.")


def _names(text: str, wrong: Callable[[str], Invalid]) -> tuple[str, ...]:
    names = tuple(text.lower().split(";"))
    if len(set(names)) < len(names):
        raise wrong("A header is signed once.")  # else a small request would make a huge text
    return names


def _credential(text: str, wrong: Callable[[str], Invalid]) -> tuple[str, str, str, str]:
    match = _CREDENTIAL.fullmatch(text)
    if match is None:
        raise wrong("The credential is KEY/DATE/REGION/s3/aws4_request.")
    return match[1], match[2], match[3], match[4]


def _seconds(moment: str, wrong: Callable[[str], Invalid]) -> int:
    at_s = _parsed(moment)
    if at_s is None:
        raise wrong("The date is written as 20260131T120000Z.")
    return at_s


@functools.lru_cache(maxsize=256)  # many requests are of one second
def _parsed(moment: str) -> int | None:
    if _MOMENT.fullmatch(moment) is None:
        return None
    try:
        parsed = dt.datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    return int(parsed.timestamp())


def payload_of(text: str) -> str:
    """Return what x-amz-content-sha256 says. Raises Invalid(bad_content_sha256), NotBuilt."""
    if text in (UNSIGNED, STREAMING, STREAMING_TRAILER, UNSIGNED_TRAILER):
        return text
    if text.startswith("STREAMING-AWS4-ECDSA"):
        raise NotBuilt("signature_version", "Signatures of version 4A are not understood here.")
    if _HEXADECIMAL.fullmatch(text) is None:
        raise Invalid(
            "bad_content_sha256",
            "x-amz-content-sha256 is a SHA-256 in hexadecimal, or a known word.",
        )
    return text


def _bad_header(message: str) -> Invalid:
    return Invalid("bad_authorization", message)


def _bad_query(message: str) -> Invalid:
    return Invalid("bad_query_authorization", message)
