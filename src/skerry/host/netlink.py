"""A netlink socket and the messages on it (`man 7 netlink`): requests, dumps, attributes, errors.

A netlink socket belongs to the network namespace that its thread was in when it was made, whoever
uses it later. Every request is answered before the call returns. What the messages mean is the
business of `rtnetlink` and `conntrack`; this file does not know.
"""

import errno
import itertools
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Self

FLAG_REPLACE, FLAG_EXCLUSIVE, FLAG_CREATE = 0x100, 0x200, 0x400
_FLAG_REQUEST, _FLAG_ACK, _FLAG_DUMP = 0x1, 0x4, 0x300
_FLAG_DUMP_INTERRUPTED = 0x10
_FLAG_ACK_ATTRIBUTES = 0x200

_SOL_NETLINK = 270
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 10, 11
_TYPE_ERROR, _TYPE_DONE = 2, 3
_ERROR_TEXT = 1  # NLMSGERR_ATTR_MSG
_NESTED = 0x8000
_ATTRIBUTE_KIND = 0x3FFF

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, kind
_ERRNO = struct.Struct("=i")

# The kernel holds one lock over all links of the machine, for seconds while many boxes end.
_WAIT_SECONDS_MAX = 30.0
_REPLY_BYTES_MAX = 256 * 1024
# A list that changed while it was read is read again; boxes that come and go do change it.
_DUMP_ATTEMPTS_MAX = 20


class KernelSocket:
    """A netlink socket of the network namespace of the thread that makes it, and its numbering."""

    def __init__(self, protocol: int, *, wait_seconds: float) -> None:
        """Open it; wait_seconds: how long an answer may take. Raises OSError."""
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._socket.settimeout(wait_seconds)
        self._sequence = itertools.count(1)

    def close(self) -> None:
        """Close the socket, which also kept its namespace alive."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


class Netlink(KernelSocket):
    """One netlink socket, of the network namespace of the thread that makes it.

    Not to be used by two threads at once. Raises OSError if the kernel lacks the protocol.
    """

    def __init__(self, protocol: int) -> None:
        super().__init__(protocol, wait_seconds=_WAIT_SECONDS_MAX)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)

    def request(self, message_type: int, payload: bytes, flags: int = 0) -> list[bytes]:
        """Have the kernel carry out one message; return the payloads that it answers with.

        Raises OSError with the kernel's errno and explanation, TimeoutError after 30 s.
        """
        answers, _ = self._exchange(message_type, payload, flags | _FLAG_ACK)
        return answers

    def dump(self, message_type: int, payload: bytes) -> list[bytes]:
        """Return the payloads of a whole list, as it was at one moment.

        Raises OSError as request() does, and with EAGAIN for a list that never holds still.
        """
        for _ in range(_DUMP_ATTEMPTS_MAX):
            answers, interrupted = self._exchange(message_type, payload, _FLAG_DUMP)
            if not interrupted:
                return answers
        raise OSError(errno.EAGAIN, "The list kept changing while it was read. Try again.")

    def _exchange(self, message_type: int, payload: bytes, flags: int) -> tuple[list[bytes], bool]:
        sequence = next(self._sequence)
        length = _HEADER.size + len(payload)
        header = _HEADER.pack(length, message_type, flags | _FLAG_REQUEST, sequence, 0)
        self._socket.send(header + payload)
        answers: list[bytes] = []
        interrupted = False
        while True:
            for kind, answer_flags, answered, body in self._received():
                if answered != sequence:
                    continue  # it answers a request whose caller ran out of time
                interrupted = interrupted or bool(answer_flags & _FLAG_DUMP_INTERRUPTED)
                if kind == _TYPE_ERROR:
                    _raise_unless_success(answer_flags, body)
                if kind in (_TYPE_ERROR, _TYPE_DONE):
                    return answers, interrupted
                answers.append(body)

    def _received(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._socket.recv(_REPLY_BYTES_MAX)
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
            assert _HEADER.size <= length <= len(data) - offset, "the kernel cut a message short"
            yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
            offset += length + -length % 4


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded to 4 bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def text_attribute(kind: int, text: str) -> bytes:
    """Return one attribute that holds text, which ends in a NUL as the kernel wants it."""
    return attribute(kind, text.encode() + b"\0")


def number_attribute(kind: int, number: int) -> bytes:
    """Return one attribute that holds 32 bits in this machine's order."""
    return attribute(kind, struct.pack("=I", number))


def nested_attribute(kind: int, *attributes: bytes) -> bytes:
    """Return one attribute that holds others."""
    return attribute(kind | _NESTED, b"".join(attributes))


def attributes_in(body: bytes, offset: int) -> dict[int, bytes]:
    """Return the attributes that stand in body from offset on, by kind."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        assert length >= _ATTRIBUTE.size, "an attribute is shorter than its own header"
        found[kind & _ATTRIBUTE_KIND] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += length + -length % 4
    return found


def text_in(attributes: dict[int, bytes], kind: int) -> str:
    """Return the text of an attribute, empty where there is none."""
    return attributes.get(kind, b"").rstrip(b"\0").decode(errors="replace")


def number_in(attributes: dict[int, bytes], kind: int) -> int:
    """Return the 32 bit number of an attribute, 0 where there is none."""
    (number,) = struct.unpack("=I", attributes.get(kind, bytes(4)))
    return number


def _raise_unless_success(flags: int, body: bytes) -> None:
    (negative,) = _ERRNO.unpack_from(body)
    if negative == 0:
        return
    explanation = ""
    if flags & _FLAG_ACK_ATTRIBUTES:
        # The answer repeats the header of the request before its own attributes.
        explanation = text_in(attributes_in(body, _ERRNO.size + _HEADER.size), _ERROR_TEXT)
    raise OSError(-negative, explanation or os.strerror(-negative))
