"""What else on a machine stops the packets of boxes."""

from pathlib import Path

import pytest

from skerry.host import nftables
from skerry.host.network import Network
from skerry.host.network_obstacles import closed_doors, network_obstacles

IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")

DOCKER = """\
table ip filter {
\tchain FORWARD {
\t\ttype filter hook forward priority filter; policy drop;
\t}

\tchain DOCKER-USER {
\t}

\tchain OUTPUT {
\t\ttype filter hook output priority filter; policy drop;
\t}
}
table ip6 filter {
\tchain INPUT {
\t\ttype filter hook input priority filter; policy accept;
\t}
}
"""


def test_a_chain_that_drops_by_default_is_named():
    (door,) = closed_doors(DOCKER)

    assert door.startswith("Chain FORWARD of table ip filter drops")
    assert door.endswith("See that it accepts packets to and from links named sk*.")


@pytest.mark.machine
@pytest.mark.usefixtures("own_network")
def test_a_machine_that_does_not_pass_packets_on_says_so_until_skerry_starts():
    IP_FORWARD.write_text("0")

    (obstacle,) = network_obstacles()
    Network.open(instance="test", network="10.213.0.0/16")

    assert "net.ipv4.ip_forward is 0" in obstacle
    assert IP_FORWARD.read_text() == "1\n"


@pytest.mark.machine
@pytest.mark.usefixtures("own_network")
def test_our_own_rules_are_no_obstacle():
    Network.open(instance="test", network="10.213.0.0/16")

    assert network_obstacles() == []


@pytest.mark.machine
@pytest.mark.usefixtures("own_network")
def test_another_firewall_is_found():
    Network.open(instance="test", network="10.213.0.0/16")
    nftables.run(
        "table inet other {\nchain doorman {\n"
        "type filter hook input priority 0; policy drop;\n}\n}\n"
    )

    (obstacle,) = network_obstacles()

    assert "Chain doorman of table inet other" in obstacle
    assert "port 53" in obstacle
