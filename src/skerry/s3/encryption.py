"""What requests and answers say of encryption: SSE-S3, by keys of the store, and SSE-C, by a client's.

The key of a client is in a header of each request, and is kept and told nowhere. What the bytes
become is `objects/sealing.py`'s.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

from skerry.base import Denied, Invalid, NotBuilt
from skerry.objects.masters import KEY_BYTES
from skerry.objects.sealing import default_sealing, is_clients, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skerry.objects.model import Bucket, Upload, Version
    from skerry.objects.sealing import Sealing
    from skerry.s3.call import Call

ALGORITHM = "AES256"
HEADER = "x-amz-server-side-encryption"
SOURCE = "x-amz-copy-source-server-side-encryption"
"""What headers begin with that hold a client's key: of the object, and of the source of a copy."""

_CLIENT_KEY = frozenset(f"{HEADER}-customer-{name}" for name in ("algorithm", "key", "key-md5"))


def sealing_of(call: Call, bucket: Bucket) -> Sealing | None:
    """Return keys for the object that a request makes, None if it shall not be encrypted.

    Raises Invalid(bad_client_key, bad_encryption), NotBuilt.
    """
    client_key, wanted = client_key_of(call.request.headers), call.header(HEADER)
    if wanted is None and client_key is None:
        return default_sealing(call.objects, bucket, call.key)
    if wanted is not None and client_key is not None:
        raise Invalid("bad_client_key", f"Send {HEADER} or a key of yours, not both.")
    if wanted is not None:
        check_algorithm(wanted)
    return seal(call.objects, bucket.name, call.key, client_key)


def opened(call: Call, version: Version) -> Sealing | None:
    """Return the keys for the bytes of the object that is asked for; see `sealing.unseal`."""
    if not version.sealed and _CLIENT_KEY.isdisjoint(call.request.headers):
        return None  # said early: most are not encrypted
    client_key = client_key_of(call.request.headers)
    return unseal(call.objects, call.bucket, call.key, version.sealed, client_key)


def opened_source(call: Call, bucket: str, version: Version) -> Sealing | None:
    """Return the keys for the bytes of the source of a copy; see `sealing.unseal`."""
    client_key = client_key_of(call.request.headers, SOURCE)
    return unseal(call.objects, bucket, version.key, version.sealed, client_key)


def sealing_of_part(call: Call, upload: Upload) -> Sealing | None:
    """Return keys for a new part of an upload, None if that is not encrypted.

    Raises Invalid(key_needed, key_not_needed, other_key), and as `sealing.unseal`.
    """
    client_key = client_key_of(call.request.headers)
    try:
        sealing = unseal(call.objects, call.bucket, upload.key, upload.sealed, client_key)
    except Denied:
        raise Invalid("other_key", "The upload was begun with another key.") from None
    return None if sealing is None else sealing.new_part(call.objects.entropy)


def client_key_of(headers: Mapping[str, str], prefix: str = HEADER) -> bytes | None:
    """Return the key that a client has sent, None if there is none. Raises Invalid(bad_client_key)."""
    algorithm, text, digest = (
        headers.get(f"{prefix}-customer-{name}") for name in ("algorithm", "key", "key-md5")
    )
    if algorithm is None and text is None and digest is None:
        return None
    if algorithm != ALGORITHM:
        raise Invalid("bad_client_key", f"{prefix}-customer-algorithm is {ALGORITHM}.")
    key, md5 = _decoded(text), _decoded(digest)
    if len(key) != KEY_BYTES:
        raise Invalid("bad_client_key", f"{prefix}-customer-key is {KEY_BYTES} bytes, in base 64.")
    if not hmac.compare_digest(hashlib.md5(key, usedforsecurity=False).digest(), md5):
        raise Invalid(
            "bad_client_key", f"{prefix}-customer-key-MD5 is not the MD5 of the key, in base 64."
        )
    return key


def check_algorithm(text: str) -> None:
    """Return if it is the way in which things are encrypted. Raises Invalid(bad_encryption), NotBuilt."""
    if text.startswith("aws:"):
        raise NotBuilt(
            "not_implemented",
            "There is no key management service here: encrypt with AES256, or a key of yours.",
        )
    if text != ALGORITHM:
        raise Invalid("bad_encryption", f"An object is encrypted with {ALGORITHM}.")


def encryption_headers(call: Call, sealed: bytes) -> list[tuple[str, str]]:
    """Return the headers that tell how a version or upload is encrypted."""
    if not sealed:
        return []
    if not is_clients(sealed):
        return [(HEADER, ALGORITHM)]
    told = [(f"{HEADER}-customer-algorithm", ALGORITHM)]
    md5 = call.header(f"{HEADER}-customer-key-md5")  # only told again
    return told if md5 is None else [*told, (f"{HEADER}-customer-key-MD5", md5)]


def _decoded(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError):
        return b""
