"""Sealed versions: how their bytes are encrypted, and with which keys.

Each has a random *data key*, which lies with what is said of it, *wrapped* by another key: a *master*
key of the store, or one that a client brings with each request and that is kept nowhere.
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from skerry.base import Denied, Failed, Invalid
from skerry.objects.masters import KEY_BYTES, Masters
from skerry.objects.packages import Packer

if TYPE_CHECKING:
    from skerry.objects.blocks import FileWriter
    from skerry.objects.context import Objects
    from skerry.objects.model import Bucket, Piece
    from skerry.objects.records import Buffer

SETTING = "encryption"
"""The setting of a bucket that says how its new objects are encrypted: `AES256`."""

_SALT_BYTES = 32
_NONCE = bytes(12)  # a wrapping key, made of a random salt, wraps one thing only


class Sealed(Struct, frozen=True, array_like=True):
    """What a version says of its encryption. wrapped: salt, and the data key with its tag.

    master: which of the store's keys wraps it, empty where a client's does.
    """

    wrapped: bytes
    master: str = ""


@dataclass(frozen=True, slots=True)
class Sealing:
    """The keys for the bytes of one version. said: what it keeps of them, see `Sealed`.

    salt: of a part, so that no two have the same key. is_clients: the wrapping key is a client's.
    """

    said: bytes
    data_key: bytes = field(repr=False)
    is_clients: bool
    salt: bytes = b""

    @property
    def key(self) -> bytes:
        """The key for packages."""
        return hmac.digest(self.data_key, b"bytes" + self.salt, "sha256")

    def salted(self, salt: bytes) -> Sealing:
        """Return the keys for a part with that salt."""
        return dataclasses.replace(self, salt=salt)

    def new_part(self, entropy: Callable[[int], bytes]) -> Sealing:
        """Return the keys for a part that is new."""
        return self.salted(entropy(_SALT_BYTES))

    def etag(self, md5: bytes) -> bytes:
        """Return what is told in place of an MD5, which says something of bytes that others know."""
        if not self.is_clients:
            return md5  # as AWS tells it
        return hmac.digest(self.data_key, b"etag" + md5, "sha256")[:16]


class SealedFile:
    """A file that is being written, encrypted; otherwise as a FileWriter."""

    def __init__(self, file: FileWriter, key: bytes) -> None:
        self._file = file
        self._packer = Packer(key)

    def write(self, data: Buffer) -> None:
        """Append data. Raises LimitReached(data_full), NotAvailable(data_unwritable)."""
        self._file.write(self._packer.update(data))

    def keep(self, file_id: str) -> Piece:
        """Have it on disk for good; return the piece that names it. Raises as `write` does."""
        self._file.write(self._packer.end())
        return self._file.keep(file_id)

    def discard(self) -> None:
        """Let go of it. After `keep` nothing happens."""
        self._file.discard()


def scratch(objects: Objects, sealing: Sealing | None) -> FileWriter | SealedFile:
    """Begin a file for the bytes of a big object. Raises as writing does."""
    file = objects.scratch()
    return file if sealing is None else SealedFile(file, sealing.key)


def seal(objects: Objects, bucket: str, key: str, client_key: bytes | None) -> Sealing:
    """Return keys for a new version of an object. client_key: wraps them, if there is one."""
    data_key, salt = objects.entropy(KEY_BYTES), objects.entropy(_SALT_BYTES)
    master = ""
    if client_key is None:
        master = _masters(objects).current
    wrapping = client_key if client_key is not None else _masters(objects).keys[master]
    wrapped = salt + _cipher(wrapping, salt).encrypt(_NONCE, data_key, _context(bucket, key))
    said = msgspec.msgpack.encode(Sealed(wrapped, master))
    return Sealing(said, data_key, is_clients=not master)


def default_sealing(objects: Objects, bucket: Bucket, key: str) -> Sealing | None:
    """Return keys for a new version in a bucket that wants all encrypted, None in others."""
    return seal(objects, bucket.name, key, None) if SETTING in bucket.settings else None


def is_clients(said: bytes) -> bool:
    """Tell whether a version can be read only with the key of a client. Raises Failed."""
    return bool(said) and not _heard(said).master


def unseal(
    objects: Objects, bucket: str, key: str, said: bytes, client_key: bytes | None
) -> Sealing | None:
    """Return the keys for the bytes of an object's version, None if these are not encrypted.

    Raises Invalid(key_needed, key_not_needed), Denied(wrong_key), Failed(master_key_gone,
    data_changed).
    """
    sealed = _heard(said) if said else None
    if client_key is not None and (sealed is None or sealed.master):
        raise Invalid("key_not_needed", "It is not encrypted with a key of yours: send none.")
    if sealed is None:
        return None
    wrapping = client_key
    if sealed.master:
        wrapping = _masters(objects).keys.get(sealed.master)
        if wrapping is None:
            raise Failed(
                "master_key_gone",
                f"It is encrypted with the master key {sealed.master}, which the store has no "
                "more. Bring its line of the file master-keys back, beside those that are there.",
            )
    if wrapping is None:
        raise Invalid("key_needed", "It is encrypted with a key of yours: send that key.")
    salt, wrapped = sealed.wrapped[:_SALT_BYTES], sealed.wrapped[_SALT_BYTES:]
    try:
        data_key = _cipher(wrapping, salt).decrypt(_NONCE, wrapped, _context(bucket, key))
    except InvalidTag:
        if sealed.master:
            raise _changed() from None
        raise Denied("wrong_key", "It is encrypted with another key.") from None
    return Sealing(said, data_key, is_clients=not sealed.master)


def _heard(said: bytes) -> Sealed:
    try:
        return msgspec.msgpack.decode(said, type=Sealed)
    except msgspec.DecodeError:
        raise _changed() from None


def _changed() -> Failed:
    return Failed("data_changed", "What is said of the object's encryption has changed.")


def _masters(objects: Objects) -> Masters:
    assert objects.masters is not None, "who opens a store for clients gives it its keys"
    return objects.masters


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(hmac.digest(key, b"wrap" + salt, "sha256"))


def _context(bucket: str, key: str) -> bytes:
    """Return of what a data key is: it cannot be taken for that of another object."""
    return f"{bucket}/{key}".encode()
