"""Reports of refused packets, as the kernel writes them."""

import errno
import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.host.netlink import attribute
from skerry.host.policy_packets import RefusedPacket, open_packet_log, packets_in

SOURCE, ADDRESS = IPv4Address("10.213.0.2"), IPv4Address("203.0.113.9")


def packet(protocol: int, ports: bytes = b"", options: bytes = b"") -> bytes:
    words = 5 + len(options) // 4
    header = struct.pack(
        ">BBHHHBBH4s4s", 0x40 | words, 0, 0, 0, 0, 64, protocol, 0, SOURCE.packed, ADDRESS.packed
    )
    return header + options + ports


def report(payload: bytes, kind: int = 0x400) -> bytes:
    body = bytes(4) + attribute(10, b"\0") + attribute(9, payload)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


@pytest.mark.parametrize(
    ("payload", "protocol", "port"),
    [
        (packet(6, b"\x10\x00\x01\xbb"), "tcp", 443),
        (packet(17, b"\x10\x00\x00\x35"), "udp", 53),
        (packet(6, b"\x10\x00\x01\xbb", options=bytes(8)), "tcp", 443),
        (packet(6, b"\x10\x00"), "tcp", None),
        (packet(1, b"\x08\x00\x00\x00"), "icmp", None),
        (packet(47, b"\x08\x00\x00\x00"), "protocol 47", None),
    ],
)
def test_a_packet_is_told_by_protocol_and_port(payload: bytes, protocol: str, port: int | None):
    assert packets_in(report(payload)) == [RefusedPacket(SOURCE, ADDRESS, protocol, port)]


def test_many_reports_come_in_one_message():
    several = report(packet(6, b"\0\1\0\2")) + report(b"", kind=3) + report(packet(1))

    assert [found.protocol for found in packets_in(several)] == ["tcp", "icmp"]


@pytest.mark.parametrize("payload", [b"", packet(6)[:19], b"\x60" + bytes(63)])
def test_what_is_no_whole_packet_of_ipv4_is_left_out(payload: bytes):
    assert packets_in(report(payload)) == []


@given(st.binary(max_size=64))
def test_any_packet_can_be_reported(payload: bytes):
    assert len(packets_in(report(payload))) <= 1


@pytest.mark.machine
@pytest.mark.usefixtures("own_network")
def test_a_group_is_read_by_one_process():
    with open_packet_log(40_000):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its errno is looked at below
            open_packet_log(40_000)
        open_packet_log(40_001).close()

    assert caught.value.errno in (errno.EBUSY, errno.EPERM)
    open_packet_log(40_000).close()
