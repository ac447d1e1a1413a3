"""Packets that the kernel refused and tells of (nfnetlink_log, linux/netfilter/nfnetlink_log.h).

The rules decide what is reported and how often (`policy_table`); a report that nobody reads in time
is lost, which is as well. Whose packets they were, this file knows only by address.
"""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from skerry.host.netlink import attribute, attributes_in

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 4 << 8
_PACKET, _CONFIG = _SUBSYSTEM | 0, _SUBSYSTEM | 1
_TYPE_ERROR = 2
_FLAGS_REQUEST_ACK = 0x1 | 0x4

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_GENERAL = struct.Struct(">BBH")  # family, version, the number of the group
_ERRNO = struct.Struct("=i")

_CONFIG_COMMAND, _CONFIG_MODE, _CONFIG_PATIENCE = 1, 2, 4
_COMMAND_BIND = bytes((1,))
_MODE_PACKET = struct.Struct(">IBx")  # how many bytes of a packet, 2 for a copy of it
_COPY_PACKET = 2
_COPY_BYTES = 64
# Hundredths of a second for which the kernel gathers reports before it sends them.
_PATIENCE = struct.pack(">I", 10)
_PAYLOAD = 9

_WAIT_SECONDS_MAX = 30.0
_MESSAGE_BYTES_MAX = 128 * 1024
# How many messages are taken, each of many reports, before others get their turn.
_MESSAGES_PER_TURN = 8
_TRY_AGAIN_SECONDS = 10.0

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}
_WITH_PORTS = frozenset({6, 17, 33, 132, 136})
_IP_HEADER_BYTES_MIN = 20


@dataclass(frozen=True, slots=True)
class RefusedPacket:
    """Where a packet came from and was to go; port is None where the protocol has none."""

    source: IPv4Address
    address: IPv4Address
    protocol: str
    port: int | None


def open_packet_log(group: int) -> socket.socket:
    """Return a socket that the reports of that group come to, not blocking.

    Of the calling thread's network namespace. Raises OSError, with EBUSY if somebody has the group.
    """
    log = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
    )
    try:
        log.settimeout(_WAIT_SECONDS_MAX)
        _configure(log, group, _CONFIG_COMMAND, _COMMAND_BIND)
        _configure(log, group, _CONFIG_MODE, _MODE_PACKET.pack(_COPY_BYTES, _COPY_PACKET))
        _configure(log, group, _CONFIG_PATIENCE, _PATIENCE)
        log.settimeout(0)
    except BaseException:
        log.close()
        raise
    return log


async def watch_packets(group: int, note: Callable[[RefusedPacket], None]) -> None:
    """Call note with each packet that the rules report to that group, until cancelled.

    While another process has the group, which the former daemon may for a moment, tries again.
    Raises OSError if the kernel lacks the protocol.
    """
    while True:
        try:
            log = open_packet_log(group)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            await asyncio.sleep(_TRY_AGAIN_SECONDS)
            continue
        with log:
            await _watch(log, note)


def packets_in(data: bytes) -> list[RefusedPacket]:
    """Return what a message of the kernel reports; packets cut short or not of IPv4 are left out."""
    found: list[RefusedPacket] = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        assert length >= _HEADER.size, "the kernel cut a message short"
        if kind == _PACKET:
            body = data[offset + _HEADER.size : offset + length]
            attributes = attributes_in(body, _GENERAL.size)
            packet = _packet(attributes.get(_PAYLOAD, b""))
            if packet is not None:
                found.append(packet)
        offset += length + -length % 4
    return found


async def _watch(log: socket.socket, note: Callable[[RefusedPacket], None]) -> None:
    loop = asyncio.get_running_loop()
    broken = loop.create_future()

    def read() -> None:
        try:
            for _ in range(_MESSAGES_PER_TURN):
                for packet in packets_in(log.recv(_MESSAGE_BYTES_MAX)):
                    note(packet)
        except BlockingIOError:
            return
        except OSError as error:
            # That reports were lost is told once; what comes next is read as ever.
            if error.errno != errno.ENOBUFS and not broken.done():
                broken.set_exception(error)

    loop.add_reader(log, read)
    try:
        await broken
    finally:
        loop.remove_reader(log)


def _packet(payload: bytes) -> RefusedPacket | None:
    if len(payload) < _IP_HEADER_BYTES_MIN or payload[0] >> 4 != 4:
        return None
    number = payload[9]
    ports = payload[(payload[0] & 0xF) * 4 :]
    port = int.from_bytes(ports[2:4], "big") if number in _WITH_PORTS and len(ports) >= 4 else None
    protocol = _PROTOCOLS.get(number, f"protocol {number}")
    source, address = IPv4Address(payload[12:16]), IPv4Address(payload[16:20])
    return RefusedPacket(source, address, protocol, port)


def _configure(log: socket.socket, group: int, kind: int, value: bytes) -> None:
    payload = _GENERAL.pack(socket.AF_UNSPEC, 0, group) + attribute(kind, value)
    length = _HEADER.size + len(payload)
    log.send(_HEADER.pack(length, _CONFIG, _FLAGS_REQUEST_ACK, kind, 0) + payload)
    while True:
        answer = log.recv(_MESSAGE_BYTES_MAX)
        _, answered, _, sequence, _ = _HEADER.unpack_from(answer)
        # Reports may come as soon as the group is ours; those before it is set up are passed over.
        if answered == _TYPE_ERROR and sequence == kind:
            (negative,) = _ERRNO.unpack_from(answer, _HEADER.size)
            if negative:
                raise OSError(-negative, os.strerror(-negative))
            return
