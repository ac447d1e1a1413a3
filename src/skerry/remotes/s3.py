"""A client of any S3, made of botocore and nothing that lies around on this machine.

botocore is an extra (docs/decisions) and slow to import, so it is imported here, late.
"""

import base64
import hashlib
import html
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias, cast
from urllib.parse import quote, urlsplit

from skerry.base import (
    Conflict,
    Denied,
    Failed,
    Invalid,
    NotAvailable,
    NotBuilt,
    NotFound,
    SkerryError,
)
from skerry.remotes.model import Remote

S3: TypeAlias = Any
"""A client of botocore, which makes its methods when it runs: no type tells them."""

AT_ONCE = 8  # requests; more do not move a byte sooner over one network, but hold more memory

_CONNECT_WAIT_S = 10
_READ_WAIT_S = 60
_ATTEMPTS = 6  # the waits between them double, to 20 s at most
_DOCUMENT_BYTES_MAX = 1 << 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def connect(remote: Remote) -> S3:
    """Return a client of a remote. Raises NotAvailable(remotes_not_installed, wrong_kind)."""
    return _client(remote, "s3")


def connect_iam(remote: Remote) -> S3:
    """Return a client of the calls about users and keys, at the same endpoint."""
    return _client(remote, "iam")


def _client(remote: Remote, service: str) -> S3:
    if remote.kind != "s3":
        raise NotAvailable(
            "wrong_kind",
            "This remote is spoken to by Backblaze's own API, which only `skerry clean` uses. "
            "Add its S3 endpoint as another remote.",
        )
    with _installed():
        import botocore.session  # noqa: PLC0415
        from botocore import UNSIGNED, auth  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
    # Where awscrt is, as it is here for checksums, botocore signs by it; and that prints tracebacks
    # on stderr when a body ends early, as it does when a copy is given up.
    signers: Any = auth.AUTH_TYPE_MAPS
    signers |= {
        "v4": auth.SigV4Auth, "v4-query": auth.SigV4QueryAuth,
        "s3v4": auth.S3SigV4Auth, "s3v4-query": auth.S3SigV4QueryAuth,
    }  # fmt: skip
    session: Any = botocore.session.Session()
    # What a user has set for AWS is not about this remote.
    for variable in ("profile", "config_file", "credentials_file"):
        session.set_config_variable(variable, "/dev/null" if variable != "profile" else None)
    is_here = urlsplit(remote.endpoint).hostname in _LOOPBACK
    how: dict[str, Any] = {
        "signature_version": ("s3v4" if service == "s3" else "v4")
        if remote.access_key
        else UNSIGNED,
        "connect_timeout": _CONNECT_WAIT_S,
        "read_timeout": _READ_WAIT_S,
        "max_pool_connections": AT_ONCE + 4,
        "retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS},
        "s3": {"addressing_style": "virtual" if remote.is_virtual_hosted else "path"},
        "proxies": {} if is_here else None,
        "ignore_configured_endpoint_urls": True,
    }
    if not remote.has_checksums:
        how["request_checksum_calculation"] = "when_required"
        how["response_checksum_validation"] = "when_required"
    made: S3 = session.create_client(
        service,
        region_name=remote.region,
        endpoint_url=remote.endpoint or None,
        aws_access_key_id=remote.access_key or None,
        aws_secret_access_key=remote.secret or None,
        aws_session_token=remote.session_token or None,
        config=Config(**how),
    )
    made.meta.events.register("before-call.s3.DeleteObjects", _add_digest)
    return made


def _add_digest(params: Mapping[str, Any], **_: object) -> None:
    """Send the MD5 that stores wanted of this call before AWS took other checksums as well."""
    params["headers"]["Content-MD5"] = _md5(params["body"])


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@contextmanager
def _installed() -> Generator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise NotAvailable(
            "remotes_not_installed",
            f"This needs {error.name}, which is not installed: `pip install 'skerry[remotes]'` "
            "brings it.",
        ) from None


@contextmanager
def told(what: object = "") -> Generator[None]:
    """Raise what botocore raises as errors of ours. what: the thing that a call is about."""
    from botocore.exceptions import (  # noqa: PLC0415
        BotoCoreError,
        ClientError,
        ConnectionError,  # noqa: A004 - botocore's
        HTTPClientError,
        ParamValidationError,
    )

    try:
        yield
    except ClientError as error:
        raise _error(cast("Mapping[str, Any]", error.response), str(what)) from None
    except ParamValidationError as error:
        raise Invalid("bad_argument", f"{_about(str(what))}{error}") from None
    except (ConnectionError, HTTPClientError) as error:
        raise NotAvailable(
            "remote_unreachable", f"{_about(str(what))}{error} Try again later."
        ) from None
    except BotoCoreError as error:
        raise Failed("remote_failed", f"{_about(str(what))}{error}") from None


_KINDS: dict[int, type[SkerryError]] = {
    401: Denied, 403: Denied, 404: NotFound, 409: Conflict, 412: Conflict, 501: NotBuilt,
}  # fmt: skip


def _error(answer: Mapping[str, Any], what: str) -> SkerryError:
    code = str(answer.get("Error", {}).get("Code", "")) or "Unknown"
    message = str(answer.get("Error", {}).get("Message", ""))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return error_of(code, message, status, what)


def error_of(code: str, message: str, status: int, what: str) -> SkerryError:
    """Return an S3's error as one of ours: the same code, in our spelling."""
    kind = _KINDS.get(status) or (Invalid if 400 <= status < 500 else NotAvailable)
    if code.isdecimal():  # an answer to HEAD has no body, so the status is all there is
        code = {404: "NotFound", 403: "AccessDenied"}.get(status, f"Status{code}")
        message = {404: "It is not there.", 403: "This key may not."}.get(status, message)
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", code).lower()
    return kind(spelled, f"{_about(what)}{message or code}", {"remote_code": code})


def _about(what: str) -> str:
    return f"{what}: " if what else ""


def pages(client: S3, operation: str, **asked: object) -> Iterator[Mapping[str, Any]]:
    """Yield the answers of a listing, page by page. Raises as `told`."""
    found = iter(client.get_paginator(operation).paginate(**asked))
    while True:
        with told(asked.get("Bucket", "")):
            page = next(found, None)
        if page is None:
            return
        yield page


def document(client: S3, method: str, bucket: str, name: str, body: bytes | None = None) -> bytes:
    """Send or fetch what `?name` of a bucket holds, as it is. Raises as `told`.

    Not by botocore's own calls: their shapes know nothing of what is Skerry's alone.
    """
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415

    headers = {"x-amz-content-sha256": hashlib.sha256(body or b"").hexdigest()}
    if body is not None:
        headers["Content-MD5"] = _md5(body)
    config, endpoint = client.meta.config, client.meta.endpoint_url
    url = f"{endpoint}/{quote(bucket)}?{name}"
    if config.s3["addressing_style"] == "virtual":
        url = endpoint.replace("://", f"://{quote(bucket)}.", 1) + f"/?{name}"
    request = AWSRequest(method=method, url=url, data=body or b"", headers=headers)
    with told(bucket):
        client._request_signer.sign(name, request)  # noqa: SLF001 - botocore has no other way in
        answer = client._endpoint.http_session.send(request.prepare())  # noqa: SLF001
        content: bytes = answer.content
    if len(content) > _DOCUMENT_BYTES_MAX:
        raise Failed("bad_answer", f"{bucket}: the remote's answer is too long.")
    if answer.status_code >= 300:
        code = re.search(rb"<Code>([^<]*)</Code>", content)
        message = re.search(rb"<Message>([^<]*)</Message>", content)
        raise error_of(
            _text(code[1]) if code else str(answer.status_code),
            _text(message[1]) if message else "",
            answer.status_code,
            bucket,
        )
    return content


def _text(xml: bytes) -> str:
    return html.unescape(xml.decode(errors="replace"))
