"""What an answer of DNS gives a box: the addresses at the end of its chain of names. Pure.

Only questions for addresses are read this far; the other kinds that pass carry no address that
anybody would connect to (`PASSED_TYPES`).
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from skerry.host.dns_message import Query

TYPE_A = 1
_TYPE_CNAME = 5
_CLASS_INTERNET = 1

# What a box with a policy is told. All other kinds are answered with nothing: AAAA because boxes
# have no IPv6, HTTPS and SVCB because they carry addresses and keys that hide the name of whom one
# talks to, and what is invented later until somebody has thought about it.
PASSED_TYPES = frozenset(
    {
        TYPE_A,
        2,  # NS
        _TYPE_CNAME,
        6,  # SOA
        12,  # PTR
        15,  # MX
        16,  # TXT
        33,  # SRV
        35,  # NAPTR
        43,  # DS
        44,  # SSHFP
        46,  # RRSIG
        48,  # DNSKEY
        52,  # TLSA
        257,  # CAA
    }
)

# A program may keep an answer for as long as it says; for longer than this nobody shall rely on it.
TTL_SECONDS_MAX = 3600

_HEADER_BYTES = 12
_RECORD = struct.Struct(">HHIH")  # type, class, time to live, length of the data
_POINTER = 0xC0
_POINTERS_MAX = 16
_NAME_BYTES_MAX = 255
# Of a name that nobody asks for by accident; a dot inside a label would make one name look like
# another.
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")


class Malformed(ValueError):
    """A message is not what RFC 1035 says it should be."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's addresses with seconds to live each, and its bytes with no time above the limit."""

    addresses: tuple[tuple[IPv4Address, int], ...]
    message: bytes


def asked_name(query: Query) -> str | None:
    """Return the name of a question in lower case, None if it has letters that no host's name has."""
    labels = _labels(query.question, 0)[0]
    if not all(_PLAIN.issuperset(label) for label in labels):
        return None
    return b".".join(labels).decode("ascii")


def shown_name(query: Query) -> str:
    """Return the name of any question for a person to read, odd letters as numbers (RFC 1035, 5.1)."""
    labels = _labels(query.question, 0)[0]
    return ".".join("".join(map(_shown, label)) for label in labels)


def asked_type(query: Query) -> int | None:
    """Return the type of a question of the internet's class, None if it is of another."""
    kind, of_class = struct.unpack(">HH", query.question[-4:])
    return kind if of_class == _CLASS_INTERNET else None


def read_answer(query: Query, message: bytes) -> Answer:
    """Return what an answer to a question for addresses gives. Raises Malformed.

    Only addresses of the name that was asked for and of those it leads to count; servers put a
    CNAME before what it leads to (RFC 1034, 4.3.2).
    """
    try:
        return _read_answer(query, message)
    except (IndexError, struct.error) as error:
        raise Malformed("the message is cut short") from error


def _read_answer(query: Query, message: bytes) -> Answer:
    capped = bytearray(message)
    chain = {_labels(query.question, 0)[0]}
    addresses: list[tuple[IPv4Address, int]] = []
    questions, answers = struct.unpack_from(">HH", message, 4)
    position = _HEADER_BYTES
    for _ in range(questions):
        position = _labels(message, position)[1] + 4
    for _ in range(answers):
        owner, position = _labels(message, position)
        kind, of_class, ttl, length = _RECORD.unpack_from(message, position)
        ttl = min(ttl if ttl < 1 << 31 else 0, TTL_SECONDS_MAX)  # RFC 2181, 8: no sign
        struct.pack_into(">I", capped, position + 4, ttl)
        data, position = position + _RECORD.size, position + _RECORD.size + length
        if position > len(message) or (kind == TYPE_A and length != 4):
            raise Malformed("a record has not the length that it says")
        if owner not in chain or of_class != _CLASS_INTERNET:
            continue
        if kind == _TYPE_CNAME:
            chain.add(_labels(message, data)[0])
        elif kind == TYPE_A:
            addresses.append((IPv4Address(message[data:position]), ttl))
    return Answer(tuple(addresses), bytes(capped))


def _labels(message: bytes, position: int) -> tuple[tuple[bytes, ...], int]:
    """Return the parts of the name at position, in lower case, and where what follows it begins."""
    labels: list[bytes] = []
    after: int | None = None
    pointers = size = 0
    begin = position
    while length := message[position]:
        if length & _POINTER == _POINTER:
            after = position + 2 if after is None else after
            position = (length & 0x3F) << 8 | message[position + 1]
            if position >= begin:
                raise Malformed("a name points to what does not come before it")
            begin = position
            pointers += 1
        elif length & _POINTER:
            raise Malformed("a name has a part of an unknown kind")
        else:
            labels.append(message[position + 1 : position + 1 + length].lower())
            position += 1 + length
            size += 1 + length
        if pointers > _POINTERS_MAX or size > _NAME_BYTES_MAX:
            raise Malformed("a name has no end")
    return tuple(labels), position + 1 if after is None else after


def _shown(letter: int) -> str:
    return chr(letter) if letter in _PLAIN else f"\\{letter:03d}"
