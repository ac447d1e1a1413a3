"""Calls of IAM and STS, on the same port: a form that is signed, an answer in XML.

Source: "Making query requests" in the IAM user guide. They are told from S3's by the service that
their signature names, so that a signature for one is none for the other.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from skerry.base import Denied, Invalid, SkerryError, TooLarge
from skerry.s3 import iam_calls, sts_calls
from skerry.s3.call import xml
from skerry.s3.errors import iam_told, xml_text
from skerry.s3.signature import check

if TYPE_CHECKING:
    from skerry.s3.call import Call
    from skerry.s3.connection import Request, Response
    from skerry.s3.signature import Asked, Claim

_BODY_BYTES_MAX = 128 << 10  # a policy of 20 KiB, encoded for a form
_FIELDS_MAX = 32
_NAMESPACES = {
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}
_VERBS = {"iam": iam_calls.VERBS, "sts": sts_calls.VERBS}


async def answer(call: Call, asked: Asked, claim: Claim, now_s: int) -> Response:
    """Return the answer to a call of IAM or STS, an error too. call: of whom is not proven yet."""
    try:
        return await _answer(call, asked, claim, now_s)
    except SkerryError as error:
        told = iam_told(error)
        kind = "Sender" if told.status < 500 else "Receiver"
        return xml(
            f'<ErrorResponse xmlns="{_NAMESPACES[claim.service]}"><Error><Type>{kind}</Type>'
            f"<Code>{told.code}</Code><Message>{xml_text(error.message)}</Message></Error>"
            f"<RequestId>{call.request_id}</RequestId></ErrorResponse>",
            told.status,
        )


async def _answer(call: Call, asked: Asked, claim: Claim, now_s: int) -> Response:
    if asked.method != "POST" or asked.path != "/" or asked.query:
        raise Invalid("bad_argument", "A call of IAM or STS is POST /, with a form.")
    body = await _body(call.request)
    digest = hashlib.sha256(body).hexdigest()
    if claim.payload and not hmac.compare_digest(claim.payload, digest):
        raise Denied("signature_mismatch", "The body is not the one that was signed.")
    identity, secret = call.keyring.find(claim.access_key, claim.session_token)
    check(replace(claim, payload=digest), asked, secret, now_s)
    fields = _fields(body)
    name = fields.pop("Action", "")
    fields.pop("Version", None)
    verb = _VERBS[claim.service].get(name)
    if verb is None:
        raise Invalid("no_such_action", f"There is no {name[:60]!r} in this {claim.service}.")
    call.request.operation = name
    if unknown := fields.keys() - verb.fields:
        raise Invalid("bad_argument", f"{name} takes no {min(unknown)[:60]} here.")
    proven = replace(call, query=fields, identity=identity, secret=secret)
    result = await verb.handler(proven)
    told = f"<{name}Result>{result}</{name}Result>" if result else ""
    return xml(
        f'<{name}Response xmlns="{_NAMESPACES[claim.service]}">{told}<ResponseMetadata>'
        f"<RequestId>{call.request_id}</RequestId></ResponseMetadata></{name}Response>",
        headers=[("x-amzn-RequestId", call.request_id)],
    )


async def _body(request: Request) -> bytes:
    pieces: list[bytes] = []
    size = request.size or 0
    if size <= _BODY_BYTES_MAX:
        size = 0
        async for piece in request.body.pieces():
            size += len(piece)
            if size > _BODY_BYTES_MAX:
                break
            pieces.append(piece)
    if size > _BODY_BYTES_MAX:
        raise TooLarge("document_too_large", f"A form has at most {_BODY_BYTES_MAX} bytes.")
    return b"".join(pieces)


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=_FIELDS_MAX
        )
    except ValueError as error:
        raise Invalid("bad_argument", f"The body is no form: {error}.") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise Invalid("bad_argument", "The form names a field twice.")
    return fields
