"""DNS messages (RFC 1035, section 4), as far as one that passes them on must read them. Pure.

Only the header and the one question are looked at; records are passed on unread, so that a box can
ask for types that this file has never heard of.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

MESSAGE_BYTES_MAX = 65_535

_HEADER = struct.Struct(">HHHHHH")  # id, flags, questions, answers, authorities, additional
_ANSWER, _RECURSION_DESIRED = 0x8000, 0x0100
_LABEL_BYTES_MAX = 63
_NAME_BYTES_MAX = 255
# Whole zones, which answer in many messages: a box has no business with the host's resolver there.
_TYPES_OF_ZONES = {251, 252}  # IXFR, AXFR


class Rcode(IntEnum):
    """What a response says of how the question fared."""

    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NO_SUCH_NAME = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5


@dataclass(frozen=True, slots=True)
class Query:
    """A message of a client. question: its bytes as sent, empty if they could not be read.

    verdict: NO_ERROR if it can be passed on, else what to answer at once.
    """

    message: bytes
    question: bytes
    verdict: Rcode

    @property
    def identifier(self) -> int:
        """The number by which the client knows the answer again."""
        return int.from_bytes(self.message[:2], "big")


def read_query(message: bytes) -> Query | None:
    """Return the query that message is, None if it deserves no answer: too short, or an answer."""
    if len(message) < _HEADER.size:
        return None
    _, flags, questions, *_ = _HEADER.unpack_from(message)
    if flags & _ANSWER:
        return None  # whoever answers answers may do so for ever
    if flags >> 11 & 0xF:
        return Query(message, b"", Rcode.NOT_IMPLEMENTED)
    question = _question(message) if questions == 1 else b""
    if not question:
        return Query(message, b"", Rcode.FORMAT_ERROR)
    if int.from_bytes(question[-4:-2], "big") in _TYPES_OF_ZONES:
        return Query(message, question, Rcode.REFUSED)
    return Query(message, question, Rcode.NO_ERROR)


def with_identifier(query: Query, identifier: int) -> bytes:
    """Return the query's message under another number."""
    return identifier.to_bytes(2, "big") + query.message[2:]


def is_response(message: bytes, query: Query, identifier: int) -> bool:
    """Return whether message answers the query that was sent under that number.

    Not more than a number and a question can tell: that it comes from whom it was asked of is
    the socket's business. Some servers change the case of names, some leave the question out
    when they fail.
    """
    if len(message) < _HEADER.size:
        return False
    answered, flags, questions, *_ = _HEADER.unpack_from(message)
    if answered != identifier or not flags & _ANSWER:
        return False
    if questions == 0:
        return rcode(message) != Rcode.NO_ERROR
    repeated = message[_HEADER.size : _HEADER.size + len(query.question)]
    return (
        questions == 1
        and repeated[-4:] == query.question[-4:]
        and repeated[:-4].lower() == query.question[:-4].lower()
    )


def response_to(query: Query, message: bytes) -> bytes:
    """Return message, which answers the query, as its client expects it: number, case of names."""
    head = query.message[:2] + message[2 : _HEADER.size]
    if int.from_bytes(message[4:6], "big") == 0:
        return head + message[_HEADER.size :]
    return head + query.question + message[_HEADER.size + len(query.question) :]


def failure(query: Query, code: Rcode) -> bytes:
    """Return the response that says no more than code."""
    flags = int.from_bytes(query.message[2:4], "big")
    # The kind of query and the wish for recursion are repeated, recursion is offered (0x80).
    kept = flags & (0x7800 | _RECURSION_DESIRED)
    questions = 1 if query.question else 0
    header = _HEADER.pack(query.identifier, _ANSWER | kept | 0x80 | code, questions, 0, 0, 0)
    return header + query.question


def rcode(message: bytes) -> int:
    """Return the lower 4 bits of how a question fared, of a message with a whole header."""
    return message[3] & 0xF


def _question(message: bytes) -> bytes:
    """Return the question's bytes, empty if it is cut short or no plain name."""
    position = _HEADER.size
    while position < len(message) and (length := message[position]):
        if length > _LABEL_BYTES_MAX:  # a pointer, which has nothing to point at yet
            return b""
        position += 1 + length
    end = position + 5  # the root's empty label, type and class
    if end > len(message) or position + 1 - _HEADER.size > _NAME_BYTES_MAX:
        return b""
    return message[_HEADER.size : end]
