"""Public keys of SSH as text: read strictly, named by their fingerprint. Pure.

The form is that of OpenSSH's `.pub` files (RFC 4253, section 6.6; RFC 5656; RFC 8709; OpenSSH's
PROTOCOL.u2f): the type, the key in base64, a comment. Signatures are not checked here.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from skerry.base import Invalid

LINE_BYTES_MAX = 16 * 1024
RSA_BITS = (2048, 16_384)
_TYPE = re.compile(r"[a-z0-9@.-]{1,64}")
_COMMENT_CHARACTERS_MAX = 63
_POINT_UNCOMPRESSED = 4  # the first byte of a point on a curve; SSH takes no other form


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key. text: type and base64, without a comment, the same for the same key always."""

    kind: str
    text: str
    fingerprint: str
    comment: str


def read_public_key(line: str) -> PublicKey:
    """Return the key that one line of a `.pub` file holds.

    Raises Invalid(bad_key): it is no such line, or one with options, a certificate, a private key,
    or of a kind that is weak or not known.
    """
    line = line.strip()
    if "PRIVATE KEY" in line:
        raise _bad("That is a private key, which nobody but you should have. Give its .pub file.")
    if len(line.encode("utf-8", "surrogatepass")) > LINE_BYTES_MAX or "\n" in line or "\r" in line:
        raise _bad("Give one public key, a single line as in ~/.ssh/id_ed25519.pub.")
    kind, _, rest = line.partition(" ")
    blob_text, _, comment = rest.strip().partition(" ")
    _check_kind(kind)
    blob = _decoded(blob_text)
    _check_parts(kind, blob)
    return PublicKey(
        kind=kind,
        text=f"{kind} {base64.b64encode(blob).decode()}",
        fingerprint=fingerprint_of(blob),
        comment="".join(c if c.isprintable() else "?" for c in comment.strip())[
            :_COMMENT_CHARACTERS_MAX
        ].strip(),
    )


def fingerprint_of(blob: bytes) -> str:
    """Return a key's name as OpenSSH writes it."""
    digest = hashlib.sha256(blob).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _check_kind(kind: str) -> None:
    if kind in _CHECKS:
        return
    if "-cert-v0" in kind:
        raise _bad("Certificates are not taken. Give the plain public key.")
    if not _TYPE.fullmatch(kind) or "=" in kind or "," in kind:
        raise _bad(
            "It does not begin with a key's type. Give the key alone, without options before it."
        )
    raise _bad(
        f"Keys of the type {kind} are not taken. Make one with `ssh-keygen -t ed25519`; ecdsa, "
        "rsa of 2048 bits and more, and security keys are taken too."
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise _bad("What stands after its type is no key. Copy the whole line again.") from None


def _check_parts(kind: str, blob: bytes) -> None:
    try:
        parts = _split(blob)
        if parts[0] != kind.encode():
            raise ValueError
        _CHECKS[kind](parts[1:])
    except (ValueError, IndexError):
        raise _bad("The key is damaged. Copy the whole line again.") from None


def _split(blob: bytes) -> list[bytes]:
    """Return the strings, each after its length, that blob is made of. Raises ValueError."""
    parts: list[bytes] = []
    position = 0
    while position < len(blob):
        size = int.from_bytes(blob[position : position + 4], "big")
        start, position = position + 4, position + 4 + size
        if position > len(blob):
            raise ValueError
        parts.append(blob[start:position])
    return parts


def _check_ed25519(parts: list[bytes]) -> None:
    (key,) = parts
    if len(key) != 32:
        raise ValueError


def _check_ecdsa(curve: bytes, size: int) -> Callable[[list[bytes]], None]:
    def check(parts: list[bytes]) -> None:
        name, point = parts
        if name != curve or len(point) != 1 + 2 * size or point[0] != _POINT_UNCOMPRESSED:
            raise ValueError

    return check


def _check_rsa(parts: list[bytes]) -> None:
    exponent, modulus = (_number(part) for part in parts)
    if not RSA_BITS[0] <= modulus.bit_length() <= RSA_BITS[1]:
        raise _bad(
            f"An RSA key has {RSA_BITS[0]} to {RSA_BITS[1]} bits here; this one has "
            f"{modulus.bit_length()}. Make one with `ssh-keygen -t ed25519`."
        )
    if exponent < 3 or exponent % 2 == 0 or modulus % 2 == 0:
        raise ValueError


def _number(part: bytes) -> int:
    """Return an mpint (RFC 4251, section 5), which has one form only. Raises ValueError."""
    value = int.from_bytes(part, "big", signed=True)
    if value <= 0 or len(part) != value.bit_length() // 8 + 1:
        raise ValueError
    return value


def _check_security_key(check: Callable[[list[bytes]], None]) -> Callable[[list[bytes]], None]:
    def both(parts: list[bytes]) -> None:
        application = parts[-1].decode("ascii")  # an UnicodeDecodeError is a ValueError
        if not application.startswith("ssh:") or not application.isprintable():
            raise ValueError
        check(parts[:-1])

    return both


_NISTP256 = _check_ecdsa(b"nistp256", 32)
_CHECKS: dict[str, Callable[[list[bytes]], None]] = {
    "ssh-ed25519": _check_ed25519,
    "ecdsa-sha2-nistp256": _NISTP256,
    "ecdsa-sha2-nistp384": _check_ecdsa(b"nistp384", 48),
    "ecdsa-sha2-nistp521": _check_ecdsa(b"nistp521", 66),
    "ssh-rsa": _check_rsa,
    "sk-ssh-ed25519@openssh.com": _check_security_key(_check_ed25519),
    "sk-ecdsa-sha2-nistp256@openssh.com": _check_security_key(_NISTP256),
}


def _bad(message: str) -> Invalid:
    return Invalid("bad_key", message)
