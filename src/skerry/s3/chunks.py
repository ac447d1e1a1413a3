"""Bodies in `aws-chunked`: pieces of data, each with a signature or without, then trailers. Pure.

Source: "Signature Calculations for the Authorization Header: Transferring Payload in Multiple
Chunks", with and without trailers, in the S3 API reference.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

from skerry.base import Denied, Invalid
from skerry.s3.signature import EMPTY_SHA256, sign

_HEAD = re.compile(rb"([0-9a-fA-F]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?\r\n")
_HEAD_BYTES_MAX = 8 + len(";chunk-signature=") + 64 + 2
_TRAILERS_BYTES_MAX = 4096
_TRAILERS_MAX = 8
_IN_HEAD, _IN_TRAILERS = -1, -2
_SIGNATURE = "x-amz-trailer-signature"


@dataclass(slots=True)
class Chain:
    """What each piece is signed with. signature: of the piece before, first that of the request."""

    key: bytes
    moment: str
    scope: str
    signature: str

    def check(self, kind: str, digests: str, signature: str) -> None:
        """Go on to the next piece. Raises Denied(signature_mismatch)."""
        text = f"AWS4-HMAC-SHA256-{kind}\n{self.moment}\n{self.scope}\n{self.signature}\n{digests}"
        if not hmac.compare_digest(sign(self.key, text), signature):
            raise Denied("signature_mismatch", "The signature of a chunk does not fit it.")
        self.signature = signature


class Chunks:
    """A decoder. chain: of the signatures, None where there are none. size: of all data.

    has_trailers: trailers follow the data, and are in `trailers` when `done`.
    """

    def __init__(self, chain: Chain | None, size: int, *, has_trailers: bool) -> None:
        self._chain = chain
        self._has_trailers = has_trailers
        self._buffer = bytearray()
        self._left = _IN_HEAD  # else the bytes of a piece that are missing
        self._to_come = size
        self._digest = hashlib.sha256()
        self._claimed = ""
        self._is_last = False
        self.trailers: dict[str, str] = {}
        self.done = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the data that is in what came.

        Raises Invalid(bad_chunk, body_size), Denied(signature_mismatch).
        """
        self._buffer += data
        found: list[bytes] = []
        while not self.done and self._step(found):
            pass
        if self.done and self._buffer:
            raise Invalid("bad_chunk", "Something comes after the last chunk.")
        return found

    def _step(self, found: list[bytes]) -> bool:
        """Take one thing from the buffer, if it is whole; tell whether there was one."""
        if self._left == _IN_TRAILERS:
            return self._take_trailers()
        if self._left == _IN_HEAD:
            return self._take_head()
        if self._left == 0:
            return self._take_end()
        piece = bytes(self._buffer[: self._left])
        if not piece:
            return False
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        if self._chain is not None:
            self._digest.update(piece)
        found.append(piece)
        return True

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\n", 0, _HEAD_BYTES_MAX)
        if end < 0:
            if len(self._buffer) >= _HEAD_BYTES_MAX:
                raise Invalid("bad_chunk", "A chunk begins with its size and signature.")
            return False
        match = _HEAD.fullmatch(bytes(self._buffer[: end + 1]))
        if match is None or (self._chain is not None) != (match[2] is not None):
            raise Invalid("bad_chunk", "A chunk begins with its size and signature.")
        del self._buffer[: end + 1]
        size = int(match[1], 16)
        self._claimed = (match[2] or b"").decode()
        self._to_come -= size
        if self._to_come < 0 or (size == 0 and self._to_come):
            raise Invalid("body_size", "The chunks hold more or less than the request says.")
        self._is_last = size == 0
        self._left = size
        if self._is_last and self._has_trailers:
            self._end_piece()
            self._left = _IN_TRAILERS
        return True

    def _take_end(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if not self._buffer.startswith(b"\r\n"):
            raise Invalid("bad_chunk", "A chunk ends with CR and LF.")
        del self._buffer[:2]
        self._end_piece()
        self.done = self._is_last
        self._left = _IN_HEAD
        return True

    def _end_piece(self) -> None:
        if self._chain is not None:
            self._chain.check(
                "PAYLOAD", f"{EMPTY_SHA256}\n{self._digest.hexdigest()}", self._claimed
            )
            self._digest = hashlib.sha256()

    def _take_trailers(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if self._buffer.startswith(b"\r\n"):
            end = -2
        elif end < 0:
            if len(self._buffer) > _TRAILERS_BYTES_MAX:
                raise Invalid("bad_chunk", "The trailers are too long.")
            return False
        lines = (
            bytes(self._buffer[: max(0, end)]).decode("latin-1").split("\r\n") if end > 0 else []
        )
        del self._buffer[: end + 4]
        if len(lines) > _TRAILERS_MAX:
            raise Invalid("bad_chunk", "There are too many trailers.")
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise Invalid("bad_chunk", "A trailer is NAME:VALUE.")
            self.trailers[name.strip().lower()] = value.strip()
        self._check_trailers()
        self.done = True
        return True

    def _check_trailers(self) -> None:
        signature = self.trailers.pop(_SIGNATURE, "")
        if self._chain is None:
            return
        text = "".join(f"{name}:{value}\n" for name, value in sorted(self.trailers.items()))
        digest = hashlib.sha256(text.encode("latin-1")).hexdigest()
        self._chain.check("TRAILER", digest, signature)
