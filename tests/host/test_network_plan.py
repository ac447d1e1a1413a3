"""Names and addresses of the boxes' network."""

import pytest

from skerry.base import Invalid
from skerry.host.network_plan import NetworkPlan, network_plan


def plan(instance: str = "skerry", network: str = "10.213.0.0/16") -> NetworkPlan:
    return network_plan(instance, network, [], 4096)


def test_names_and_addresses_follow_from_the_slot():
    assert str(plan().address(2)) == "10.213.0.2"
    assert str(plan().address(0xFFFE)) == "10.213.255.254"
    assert plan().link_name(0xFFFE) == "skskerry-fffe"
    assert plan().resolv_conf == "nameserver 10.213.0.1\n"


def test_the_longest_names_fit_the_kernel():
    longest = plan("abcdefgh")

    assert len(longest.link_name(0xFFFF)) == 15
    assert len(longest.gateway_label) <= 15


def test_links_of_another_instance_are_not_taken_for_ours():
    assert plan("a").link_slot("ska-1f") == 0x1F
    for name in ("skab-1f", "ska-1g", "ska-", "ska-12345", "eth0", "1f"):
        assert plan("a").link_slot(name) is None


@pytest.mark.parametrize("slot", [0xFFFF, 0x10000])
def test_a_full_network_says_so(slot: int):
    with pytest.raises((Invalid, AssertionError)):
        plan().address(slot)


@pytest.mark.parametrize("instance", ["", "Skerry", "my-cloud", "9lives", "abcdefghi", 'a";drop'])
def test_bad_instance_names_are_refused(instance: str):
    with pytest.raises(Invalid) as caught:
        plan(instance)

    assert caught.value.code == "bad_instance"


@pytest.mark.parametrize(
    "network", ["", "10.213.0.1/16", "8.8.8.0/24", "10.0.0.0/30", "fd00::/64", "10.213.0.0/16 }"]
)
def test_bad_ranges_are_refused(network: str):
    with pytest.raises(Invalid) as caught:
        plan(network=network)

    assert caught.value.code == "bad_network"


@pytest.mark.parametrize(("allowed", "connections_max"), [(["lan"], 10), ([], 0)])
def test_bad_settings_are_refused(allowed: list[str], connections_max: int):
    with pytest.raises(Invalid):
        network_plan("skerry", "10.213.0.0/16", allowed, connections_max)
