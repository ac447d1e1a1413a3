"""PostObject: an object that a browser sends by a form, with a policy that somebody signed.

The form becomes the call that a PUT with the same headers would have been.
"""

from __future__ import annotations

import hmac
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlencode, urlsplit

from skerry.base import Denied, Invalid
from skerry.objects.model import PART_BYTES_MAX
from skerry.s3 import signature_v2
from skerry.s3.access import authorize
from skerry.s3.call import Call, bucket_of, header_of, is_header, xml
from skerry.s3.connection import Response
from skerry.s3.errors import xml_text
from skerry.s3.form_policy import FormPolicy, form_policy
from skerry.s3.forms import FIELDS_BYTES_MAX, Form
from skerry.s3.identity import Identity
from skerry.s3.object_calls import put_object
from skerry.s3.router import Operation
from skerry.s3.signature import UNSIGNED, Claim, claim_of_form, sign, signing_key
from skerry.s3.xml_in import parsed, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skerry.s3.connection import Body

_MESSAGE_BYTES_MAX = FIELDS_BYTES_MAX + (1 << 20)  # of a form beside its file
# Fields that say of the object what headers of a PUT say.
_HEADERS = frozenset(
    {"cache-control", "content-type", "content-disposition", "content-encoding",
     "content-language", "content-md5", "expires", "x-amz-storage-class", "x-amz-tagging",
     "x-amz-website-redirect-location", "x-amz-sdk-checksum-algorithm"}
)  # fmt: skip
_HEADER_PREFIXES = (
    "x-amz-meta-", "x-amz-checksum-", "x-amz-object-lock-", "x-amz-server-side-encryption",
)  # fmt: skip
_KEPT = ("host", "origin", "user-agent", "referer")  # of the request itself, for what may be


async def post_object(call: Call) -> Response:
    """Put an object that comes in a form."""
    size = call.request.size
    if size is None:
        raise Invalid("no_length", "Send Content-Length.")
    if size > PART_BYTES_MAX + _MESSAGE_BYTES_MAX:
        raise Invalid("too_large", "A form takes a file of at most 5 GiB.")
    bucket_of(call)
    async with aclosing(call.request.body.pieces()) as body:
        form = Form(body, call.header("content-type") or "")
        await form.read_fields()
        for name, value in form.fields.items():
            if not is_header(name, "" if name == "tagging" else value):
                raise Invalid("bad_argument", f"The field {name[:80]!r} can not be a header.")
        filename = form.filename.replace("\\", "/").rpartition("/")[2]
        key = form.fields.get("key", "").replace("${filename}", filename)
        if not key:
            raise Invalid("bad_argument", "The form lacks the field key.")
        identity, claim, policy = _signed(call, form.fields)
        if policy is not None:
            policy.check({**form.fields, "bucket": call.bucket, "key": key}, _now_s(call))
        least, most = policy.sizes if policy is not None else (0, PART_BYTES_MAX)
        request = replace(
            call.request, headers=_headers(call, form.fields), size=min(size, most),
            size_min=least, body=cast("Body", form),  # of which a put only takes pieces
        )  # fmt: skip
        put = replace(call, request=request, key=key, query={}, identity=identity, claim=claim)
        authorize(put, "s3:PutObject")
        done = await put_object(put)
    return _answer(put, form.fields, done)


def _now_s(call: Call) -> int:
    return call.keyring.sessions.now_s()


def _signed(
    call: Call, fields: Mapping[str, str]
) -> tuple[Identity, Claim | None, FormPolicy | None]:
    """Return who signed a form, and the policy, where there is one.

    Raises Denied(access_denied, signature_mismatch, ...), Invalid(bad_form_policy, ...).
    """
    text, token = fields.get("policy", ""), fields.get("x-amz-security-token")
    claim: Claim | None = None
    if "x-amz-signature" in fields or "x-amz-algorithm" in fields:
        claim = claim_of_form(fields)
        identity, secret = call.keyring.find(claim.access_key, token)
        wanted = sign(signing_key(secret, claim.date, claim.region, claim.service), text)
    elif "awsaccesskeyid" in fields or "signature" in fields:
        claim = _old_claim(fields)
        identity, secret = call.keyring.find(claim.access_key, token)
        wanted = signature_v2.sign(secret, text)
    else:
        if text:
            raise Denied("access_denied", "A form's policy must be signed.")
        return call.identity, call.claim, None
    if not hmac.compare_digest(wanted.encode(), claim.signature.encode()):
        raise Denied("signature_mismatch", "The signature does not fit the form's policy.")
    return identity, claim, form_policy(text)


def _old_claim(fields: Mapping[str, str]) -> Claim:
    access_key, signature = fields.get("awsaccesskeyid", ""), fields.get("signature", "")
    return Claim(
        access_key=access_key, date="", region="", service="s3", moment="", at_s=0, signed=(),
        signature=signature, payload=UNSIGNED, session_token=None,
        algorithm=signature_v2.ALGORITHM,
    )  # fmt: skip


def _headers(call: Call, fields: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that a PUT of the same would have. Raises Invalid."""
    headers = {name: value for name in _KEPT if (value := call.header(name)) is not None}
    for name, value in fields.items():
        if name in _HEADERS or name.startswith(_HEADER_PREFIXES):
            headers[name] = header_of(value)
    if acl := fields.get("acl") or fields.get("x-amz-acl"):
        headers["x-amz-acl"] = header_of(acl)
    if tagging := fields.get("tagging"):
        document = parsed(tagging.encode(), "Tagging")
        pairs = [(text_of(e, "Key"), text_of(e, "Value")) for e in document.iterfind("TagSet/Tag")]
        headers["x-amz-tagging"] = urlencode(pairs)
    return headers


def _answer(call: Call, fields: Mapping[str, str], done: Response) -> Response:
    """Return what a browser gets for what was put."""
    headers = list(done.headers)
    etag = next((value for name, value in headers if name == "ETag"), "")
    redirect = fields.get("success_action_redirect") or fields.get("redirect") or ""
    place = _redirected(redirect, {"bucket": call.bucket, "key": call.key, "etag": etag})
    if place is not None:
        return Response(303, [*headers, ("Location", place)])
    location = f"http://{call.header('host') or ''}/{call.bucket}/{quote(call.key)}"
    headers.append(("Location", location))
    match fields.get("success_action_status"):
        case "200":
            return Response(200, headers)
        case "201":
            return xml(
                f"<PostResponse><Location>{xml_text(location)}</Location>"
                f"<Bucket>{call.bucket}</Bucket><Key>{xml_text(call.key)}</Key>"
                f"<ETag>{xml_text(etag)}</ETag></PostResponse>", 201, headers,
            )  # fmt: skip
        case _:
            return Response(204, headers)


def _redirected(url: str, said: Mapping[str, str]) -> str | None:
    """Return a URL with what was done, None if it is none that a browser should go to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc or not url.isascii():
        return None
    query = f"{parts.query}&{urlencode(said)}" if parts.query else urlencode(said)
    return parts._replace(query=query).geturl()


OPERATIONS = (
    Operation(
        name="PostObject", method="POST", on="bucket", handler=post_object,
        action="s3:PutObject", checks_itself=True,
    ),
)  # fmt: skip
