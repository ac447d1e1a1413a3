"""The rules as text; what they do to packets is in test_network."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from skerry.host.firewall import CLOSED_RANGES, removal, ruleset
from skerry.host.network_plan import network_plan

PLAN = network_plan("skerry", "10.213.0.0/16", ["192.168.7.0/24"], 100)


def test_the_rules_replace_earlier_ones_in_the_same_step():
    first, second, third, *_ = ruleset(PLAN, limit_connections=True).splitlines()

    assert first == "add table inet skerry-skerry"
    assert second == "delete table inet skerry-skerry"
    assert third == "table inet skerry-skerry {"
    assert removal(PLAN).splitlines() == [first, second]


def test_the_limit_on_connections_can_be_left_out():
    assert "ct count over 100" in ruleset(PLAN, limit_connections=True)
    assert "ct count" not in ruleset(PLAN, limit_connections=False)


@pytest.mark.parametrize(
    ("address", "closed"),
    [
        ("10.0.0.1", True),
        ("127.0.0.1", True),
        ("169.254.169.254", True),
        ("172.31.255.255", True),
        ("192.168.1.1", True),
        ("100.100.100.100", True),
        ("224.0.0.1", True),
        ("255.255.255.255", True),
        ("0.0.0.0", True),
        ("1.1.1.1", False),
        ("172.32.0.1", False),
        ("192.0.2.1", False),
        ("198.51.100.1", False),
        ("203.0.113.1", False),
    ],
)
def test_what_is_closed(address: str, *, closed: bool):
    ranges = [IPv4Network(text) for text in CLOSED_RANGES]

    assert any(IPv4Address(address) in found for found in ranges) is closed
