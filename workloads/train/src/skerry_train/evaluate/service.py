"""A conversation with a language model behind an OpenAI-compatible URL: one request, asked until answered.

Wire format: POST {url}/chat/completions with model and messages. Sizes, times and tries have limits;
redirects are not followed, since they would take the key along. It does not know what is asked.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, NoReturn, cast
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from skerry_train.errors import BadSettings, NotReachable

Pause = Callable[[float], bool]
"""Waits so many seconds; returns True if the wait is to be given up (as `Event.wait` does)."""

_REPLY_BYTES_MAX = 1 << 20
_TOLD_LETTERS_MAX = 300
_WAIT_S_MAX = 60.0
_ASKED_TO_WAIT_S_MAX = 600.0
_ITS_OWN_FAULT = (400, 413, 422)  # of this request: too long, or against a rule of the service
_HERE = ("localhost", "127.0.0.1", "::1")


class Refused(Exception):
    """The service takes this one request for wrong; another may do."""


class _Again(Exception):
    """The service did not answer this time. wait_s: how long it asked to be left alone."""

    def __init__(self, text: str, wait_s: float = 0.0) -> None:
        super().__init__(text)
        self.wait_s = wait_s


@dataclass(frozen=True, kw_only=True)
class Service:
    """Where a language model is asked. key: sent as a bearer token, never shown.

    timeout_s: for one try as a whole. extra: goes into each request, such as a temperature.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 180.0
    tries: int = 6
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as error:
            raise BadSettings(f"the judge's --url is none: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadSettings(
                "the judge's --url has to begin with https:// or http:// and name a host"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise BadSettings("the judge's --url has to be plain; a key comes from the environment")
        if self.key and parts.scheme == "http" and parts.hostname not in _HERE:
            raise BadSettings(
                f"a key would go to {parts.hostname} unencrypted; give an https:// URL, or no key"
            )
        if self.key and not (self.key.isascii() and self.key.isprintable()):
            raise BadSettings(
                "the judge's key has letters that no key has; is there a line end in it?"
            )

    @property
    def endpoint(self) -> str:
        """Return the URL that requests go to."""
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"


@dataclass(frozen=True)
class Reply:
    """What the model said, and the tokens that were counted, 0 where the service does not say."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0


def converse(service: Service, messages: Sequence[dict[str, str]], pause: Pause) -> Reply:
    """Return the model's reply to messages.

    Asks again after 429, 5xx, a hang-up or an answer that can not be read, with growing waits.
    Raises Refused if only this request is at fault, NotReachable if asking on makes no sense.
    """
    body = json.dumps(
        {**service.extra, "model": service.model, "messages": list(messages)}
    ).encode()
    reason = ""
    for attempt in range(1, service.tries + 1):
        try:
            return _read(_once(service, body))
        except _Again as again:
            reason, wait_s = str(again), max(again.wait_s, min(2.0 ** (attempt - 1), _WAIT_S_MAX))
        if attempt == service.tries or pause(wait_s):
            break
    raise NotReachable(
        f"the judge at {service.url} did not answer: {reason}; run it again to go on"
    )


def _once(service: Service, body: bytes) -> bytes:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if service.key:
        headers["Authorization"] = f"Bearer {service.key}"
    opener = request.build_opener(_StayHere)
    deadline = time.monotonic() + service.timeout_s
    asked = request.Request(service.endpoint, body, headers, method="POST")  # noqa: S310 - checked above
    try:
        with opener.open(asked, timeout=service.timeout_s) as answer:
            return _limited(answer, deadline)
    except HTTPError as error:
        with error:
            _sort_out(service, error, _limited(error, deadline))
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise NotReachable(f"the judge at {service.url} shows no valid certificate") from None
        raise _Again(f"{error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _Again(f"{error or type(error).__name__}") from None


def _limited(answer: IO[bytes], deadline: float) -> bytes:
    """Read an answer. A slow one counts as none: the limit of time holds for all of it."""
    read1 = cast("http.client.HTTPResponse", answer).read1
    data = bytearray()
    while part := read1(1 << 16):
        data += part
        if len(data) > _REPLY_BYTES_MAX:
            raise _Again("the answer is larger than 1 MiB")
        if time.monotonic() > deadline:
            raise _Again("the answer takes too long")
    return bytes(data)


def _sort_out(service: Service, error: HTTPError, body: bytes) -> NoReturn:
    """Raise what an answer other than 200 means."""
    told = " ".join(body.decode(errors="replace").split())
    if service.key:
        told = told.replace(service.key, "***")
    told = f"{error.code} {told[:_TOLD_LETTERS_MAX]}".strip()
    if error.code in (408, 429) or error.code >= 500:
        raise _Again(told, _asked_to_wait_s(error))
    if error.code in _ITS_OWN_FAULT:
        raise Refused(told)
    raise NotReachable(
        f"the judge at {service.url} refuses: {told}; check --url, --model and the key"
    )


def _asked_to_wait_s(error: HTTPError) -> float:
    text = error.headers.get("Retry-After", "")
    return min(float(text), _ASKED_TO_WAIT_S_MAX) if text.isascii() and text.isdigit() else 0.0


def _read(body: bytes) -> Reply:
    try:
        document = json.loads(body)
        text = document["choices"][0]["message"]["content"]
        usage = document.get("usage") or {}
        tokens = [usage.get(name) or 0 for name in ("prompt_tokens", "completion_tokens")]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise _Again("its answer is no chat completion") from None
    counts = [count if isinstance(count, int) else 0 for count in tokens]
    # Half a letter of UTF-16, which JSON can spell, could not be written down.
    said = text.encode(errors="replace").decode() if isinstance(text, str) else ""
    return Reply(said, *counts)


class _StayHere(request.HTTPRedirectHandler):
    """Takes a redirect for an error."""

    def redirect_request(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return no other request to make."""
