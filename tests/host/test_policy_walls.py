"""Network policies on real packets: what a box may reach, what is cut, and what is told of it.

The machine, its boxes and the internet are network namespaces (`places`); the internet has two
servers and one of names (`names`). Something that needs the kernel's time to pass is tried until it
has passed.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

import pytest

from skerry.host import nftables
from skerry.host.dns_message import read_query
from skerry.host.network import Network
from skerry.host.policy_rules import NetworkPolicy, parse
from skerry.host.policy_sets import SetSocket, elements_of
from skerry.host.policy_walls import GivenTime
from tests.host import names
from tests.host.names import Told, addresses_of, answering, ask, ask_by_connection, record
from tests.host.places import GATEWAY, INTERNET, MACHINE, Machine, Place, new_machine, port_of

pytestmark = pytest.mark.machine

CODE, PACKAGES = "203.0.113.10", "203.0.113.20"
NAMES = addresses_of(code_example=CODE, packages_example=PACKAGES, evil_example=INTERNET)
REFUSED = Told(names.REFUSED)


@pytest.fixture
def machine(own_network: int) -> Iterator[Machine]:
    with new_machine(own_network) as made:
        with made.internet.netlink() as internet:
            down = made.internet.link_index("down")
            for address in (CODE, PACKAGES):
                internet.add_address(down, IPv4Address(address))
        yield made


def allowing(*domains: str) -> NetworkPolicy:
    return parse({"rules": [{"domain": name, "action": "allow"} for name in domains]})


def denying(*domains: str) -> NetworkPolicy:
    return parse({"rules": [{"domain": name, "action": "deny"} for name in domains]})


def held_box(machine: Machine, *domains: str, slot: int = 2) -> Place:
    machine.network.set_policy(f"box_{slot}", slot, allowing(*domains))
    return machine.box(slot)


def refused(machine: Machine, kind: str, box_id: str = "box_2") -> list[tuple[object, ...]]:
    """Return what the log says once it says something of that kind."""
    found: list[tuple[object, ...]] = []
    while not found:
        found = [
            (each.name, each.address, each.protocol, each.port, each.rule_text)
            for each in machine.network.refusals(box_id)
            if each.kind == kind
        ]
    return found


# -- names and addresses --


def test_an_allowed_name_can_be_asked_for_and_reached(machine: Machine):
    server = machine.internet.listen(CODE)
    box = held_box(machine, "code.example")

    with answering(machine, NAMES):
        assert ask(box, "CODE.example") == Told(names.NO_ERROR, (CODE,), (300,))

    box.connect(CODE, port_of(server))


def test_a_name_that_is_not_allowed_is_refused_and_noted(machine: Machine):
    box = held_box(machine, "code.example")

    with answering(machine, NAMES) as zone:
        assert ask(box, "evil.example") == REFUSED
        assert ask_by_connection(box, "evil.example") == REFUSED

    (found,) = machine.network.refusals("box_2")
    assert (found.kind, found.name, found.count) == ("name", "evil.example", 2)
    assert zone.asked == []


def test_the_rule_that_denied_a_name_is_noted(machine: Machine):
    rules = [{"domain": "*", "action": "allow"}, {"domain": "*.example", "action": "deny"}]
    machine.network.set_policy("box_2", 2, parse({"rules": rules}))

    with answering(machine, NAMES):
        assert ask(machine.box(2), "evil.example") == REFUSED

    (found,) = machine.network.refusals("box_2")
    assert (found.rule, found.rule_text) == (1, "deny *.example")
    assert machine.network.refusals("box_2", found.last_at_ns) == []


def test_an_address_that_no_name_led_to_is_refused_and_noted(machine: Machine):
    server = machine.internet.listen(INTERNET)
    box = held_box(machine, "code.example")

    with answering(machine, NAMES):
        assert box.refusal(INTERNET, port_of(server)) == errno.EHOSTUNREACH

        noted = refused(machine, "packet")
    why = "no allowed name led to this address"
    assert noted == [(None, INTERNET, "tcp", port_of(server), why)]


def test_other_resolvers_are_refused_even_at_an_allowed_address(machine: Machine):
    doors = [machine.internet.listen(CODE, port) for port in (53, 853)]
    box = held_box(machine, "code.example")

    with answering(machine, NAMES):
        ask(box, "code.example")

        assert [box.refusal(CODE, port_of(door)) for door in doors] == [errno.EHOSTUNREACH] * 2
        with pytest.raises(OSError, match="No route to host"):
            asked_directly(box, CODE)


def test_it_is_told_why_a_resolver_at_an_allowed_address_is_closed(machine: Machine):
    box = held_box(machine, "code.example")

    with answering(machine, NAMES):
        ask(box, "code.example")
        box.refusal(CODE, 853)

        noted = refused(machine, "packet")
    why = "other resolvers are closed to boxes with a policy"
    assert noted == [("code.example", CODE, "tcp", 853, why)]


def test_a_name_that_no_host_has_is_refused_and_noted(machine: Machine):
    machine.network.set_policy("box_2", 2, denying("evil.example"))
    odd = names.question("x").replace(b"\1x\0", b"\4a b.\0")
    query = read_query(odd)
    assert query is not None

    assert machine.network.walls.screen("10.213.0.2", query) is not None

    (found,) = machine.network.refusals("box_2")
    assert (found.name, found.rule) == (r"a\032b\046", None)


def test_pings_reach_only_what_a_name_led_to(machine: Machine):
    box = held_box(machine, "code.example")
    ping = box.socket(socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    echo = b"\x08\0\0\0\0\0\0\1"

    with answering(machine, NAMES):
        ask(box, "code.example")
        ping.sendto(echo, (INTERNET, 0))
        ping.sendto(echo, (CODE, 0))

        assert ping.recvfrom(100)[1][0] == CODE
        assert refused(machine, "packet")[0][1:4] == (INTERNET, "icmp", None)


def test_what_an_allowed_name_leads_to_by_another_can_be_reached(machine: Machine):
    server = machine.internet.listen(CODE)
    box = held_box(machine, "www.example")
    chain = [
        record("www.example", names.CNAME, names.encoded("edge.cdn.example")),
        record("edge.cdn.example", names.A, IPv4Address(CODE).packed),
        record("stranger.example", names.A, IPv4Address(PACKAGES).packed),
    ]

    with answering(machine, {("www.example", names.A): chain}):
        ask(box, "www.example")

    box.connect(CODE, port_of(server))
    assert box.refusal(PACKAGES, port_of(server)) == errno.EHOSTUNREACH


@pytest.mark.parametrize("kind", [names.AAAA, names.HTTPS, names.ANY])
def test_kinds_of_records_that_lead_around_a_policy_are_empty(machine: Machine, kind: int):
    box = held_box(machine, "code.example")

    with answering(machine, {("code.example", kind): [record("code.example", kind, bytes(16))]}):
        assert ask(box, "code.example", kind) == Told(names.NO_ERROR)
        assert ask(box, "evil.example", kind) == REFUSED


def test_other_kinds_of_records_are_passed_on(machine: Machine):
    box = held_box(machine, "code.example")

    with answering(machine, {}) as zone:
        assert ask(box, "code.example", names.MX) == Told(names.NO_SUCH_NAME)

    assert zone.asked == ["code.example"]


@pytest.mark.parametrize("closed", ["10.1.2.3", "127.0.0.1", "169.254.169.254", MACHINE, GATEWAY])
def test_a_name_that_leads_to_a_closed_address_is_refused(machine: Machine, closed: str):
    box = held_box(machine, "code.example")

    with answering(machine, addresses_of(code_example=[CODE, closed])):
        assert ask(box, "code.example") == REFUSED

    (noted,) = refused(machine, "answer")
    assert noted[:2] == ("code.example", closed)
    assert elements_of(machine.network.plan.policy_table, "allowed_2") == []


def test_a_private_address_that_the_owner_opened_can_be_told(machine: Machine):
    machine.open(allowed_private=["192.168.7.0/24"])
    server = machine.internet.listen("192.168.7.7")
    box = held_box(machine, "code.example")

    with answering(machine, addresses_of(code_example="192.168.7.7")):
        ask(box, "code.example")

    box.connect("192.168.7.7", port_of(server))


def test_times_to_live_are_cut_to_what_a_box_may_rely_on(machine: Machine):
    box = held_box(machine, "code.example")
    long = {("code.example", names.A): [record("code.example", names.A, b"\xcb\0\x71\x0a", 86_400)]}

    with answering(machine, long):
        assert ask(box, "code.example").ttls == (3600,)

    (element,) = elements_of(machine.network.plan.policy_table, "allowed_2")
    assert 3600_000 < element.lifetime_ms <= 3660_000
    assert element.comment == "code.example"


def test_an_address_is_open_for_its_time_and_connections_outlive_it(machine: Machine):
    machine.open(given_time=GivenTime(least_seconds=1, extra_seconds=0))
    server = machine.internet.listen(CODE)
    box = held_box(machine, "code.example")
    short = {("code.example", names.A): [record("code.example", names.A, b"\xcb\0\x71\x0a", 0)]}

    with answering(machine, short):
        ask(box, "code.example")
        connection = box.connect(CODE, port_of(server))
        wait_until(lambda: box.refusal(CODE, port_of(server)) == errno.EHOSTUNREACH)

        noted = refused(machine, "packet")[0]
    assert noted[0] == "code.example"
    assert str(noted[4]).startswith("the time for which")
    connection.send(b"still here")
    assert machine.accept(server).recv(100) == b"still here"


def test_asking_again_keeps_an_address_open(machine: Machine):
    machine.open(given_time=GivenTime(least_seconds=2, extra_seconds=0))
    server = machine.internet.listen(CODE)
    box = held_box(machine, "code.example")
    short = {("code.example", names.A): [record("code.example", names.A, b"\xcb\0\x71\x0a", 0)]}

    with answering(machine, short) as zone:
        ask(box, "code.example")
        (first,) = elements_of(machine.network.plan.policy_table, "allowed_2")
        wait_until(lambda: remaining_ms(machine) < first.lifetime_ms - 100)
        ask(box, "code.example")

        assert remaining_ms(machine) > first.lifetime_ms - 100
        box.connect(CODE, port_of(server))
        assert len(zone.asked) == 2


def test_an_answer_that_comes_after_its_name_was_denied_opens_nothing(machine: Machine):
    held_box(machine, "code.example")
    sent = names.question("code.example")
    query = read_query(sent)
    assert query is not None
    machine.network.set_policy("box_2", 2, allowing("packages.example"))

    with SetSocket(machine.network.plan.policy_table) as sets:
        late = names.answer(sent, NAMES["code.example", names.A])
        answer = machine.network.walls.admit(sets, "10.213.0.2", query, late)

    assert names.told(answer) == REFUSED
    assert elements_of(machine.network.plan.policy_table, "allowed_2") == []


@pytest.mark.parametrize("cut_at", [13, 35, 45])
def test_an_answer_that_is_cut_short_opens_nothing(machine: Machine, cut_at: int):
    held_box(machine, "code.example")
    sent = names.question("code.example")
    query = read_query(sent)
    assert query is not None

    with SetSocket(machine.network.plan.policy_table) as sets:
        half = names.answer(sent, NAMES["code.example", names.A])[:cut_at]
        answer = machine.network.walls.admit(sets, "10.213.0.2", query, half)

    assert names.told(answer) == Told(names.SERVER_FAILURE)


# -- policies that come, change and go --


def test_without_a_policy_nothing_is_held_back(machine: Machine):
    server = machine.internet.listen(INTERNET)
    machine.network.set_policy("box_2", 2, parse({"rules": []}))
    box = machine.box(2)

    with answering(machine, {("evil.example", names.AAAA): NAMES["evil.example", names.A]}):
        assert ask(box, "evil.example", names.AAAA).addresses == (INTERNET,)

    box.connect(INTERNET, port_of(server))


def test_the_policy_of_one_box_holds_no_other(machine: Machine):
    server = machine.internet.listen(INTERNET)
    held_box(machine, "code.example", slot=3)

    machine.box(2).connect(INTERNET, port_of(server))


def test_a_new_policy_cuts_what_it_denies_and_nothing_else(machine: Machine):
    server = machine.internet.listen("0.0.0.0")
    box = held_box(machine, "*.example")

    with answering(machine, NAMES):
        ends: dict[str, tuple[socket.socket, socket.socket]] = {}
        for name, address in (("code.example", CODE), ("packages.example", PACKAGES)):
            ask(box, name)
            ends[name] = box.connect(address, port_of(server)), machine.accept(server)
        machine.network.set_policy("box_2", 2, allowing("packages.example"))

        with pytest.raises(ConnectionResetError):
            exchange(*ends["code.example"])
        assert exchange(*ends["packages.example"]) == b"answer"
        box.connect(PACKAGES, port_of(server))
        assert box.refusal(CODE, port_of(server)) == errno.EHOSTUNREACH
        assert refused(machine, "packet")[0][:2] == (None, CODE)


def test_datagrams_on_the_way_are_cut_too(machine: Machine):
    box = held_box(machine, "code.example")
    server = machine.internet.socket(socket.SOCK_DGRAM)
    server.bind((CODE, 4000))
    client = box.socket(socket.SOCK_DGRAM)

    with answering(machine, NAMES):
        ask(box, "code.example")
        client.connect((CODE, 4000))
        client.send(b"one")
        server.sendto(b"two", server.recvfrom(100)[1])
        assert client.recv(100) == b"two"
        machine.network.set_policy("box_2", 2, denying("code.example"))

        with pytest.raises(OSError, match="No route to host"):
            exchange(client, server)


def test_the_first_policy_of_a_box_cuts_what_it_opened_before(machine: Machine):
    server = machine.internet.listen(CODE)
    box = machine.box(2)
    ends = box.connect(CODE, port_of(server)), machine.accept(server)

    machine.network.set_policy("box_2", 2, allowing("code.example"))

    with pytest.raises(ConnectionResetError):
        exchange(*ends)


def test_the_same_policy_again_changes_nothing(machine: Machine):
    server = machine.internet.listen(CODE)
    box = machine.box(2)
    machine.network.set_policy("box_2", 2, allowing("code.example"))

    with answering(machine, NAMES):
        ask(box, "code.example")
        before = nftables.run("list chain inet skerry-test-policy box_2\n")
        ends = box.connect(CODE, port_of(server)), machine.accept(server)
        machine.network.set_policy("box_2", 2, allowing("code.example"))

        assert exchange(*ends) == b"answer"
        assert nftables.run("list chain inet skerry-test-policy box_2\n") == before


def test_a_policy_without_rules_opens_the_box_and_leaves_nothing(machine: Machine):
    empty = nftables.run("list table inet skerry-test-policy\n")
    server = machine.internet.listen(INTERNET)
    box = held_box(machine, "code.example")

    machine.network.set_policy("box_2", 2, NetworkPolicy())
    machine.network.set_policy("box_2", 2, None)

    box.connect(INTERNET, port_of(server))
    assert nftables.run("list table inet skerry-test-policy\n") == empty


def test_the_next_box_of_a_slot_has_not_the_policy_of_the_former(machine: Machine):
    server = machine.internet.listen(INTERNET)
    machine.network.set_policy("box_gone", 2, allowing("code.example"))

    machine.box(2).connect(INTERNET, port_of(server))


def test_sweeping_removes_the_policies_of_boxes_that_are_gone(machine: Machine):
    for slot in (2, 3):
        held_box(machine, "code.example", slot=slot)

    machine.network.sweep({3})

    listing = nftables.run("list table inet skerry-test-policy\n")
    assert "box_3" in listing
    assert "box_2" not in listing


# -- a daemon that dies --


def test_a_policy_holds_while_no_daemon_is_there(machine: Machine):
    server = machine.internet.listen("0.0.0.0")
    box = held_box(machine, "code.example")
    with answering(machine, NAMES):
        ask(box, "code.example")

    box.connect(CODE, port_of(server))
    assert box.refusal(INTERNET, port_of(server)) == errno.EHOSTUNREACH


def test_a_new_daemon_goes_on_where_the_former_stopped(machine: Machine):
    server = machine.internet.listen("0.0.0.0")
    box = held_box(machine, "*.example")
    with answering(machine, NAMES):
        ends: dict[str, tuple[socket.socket, socket.socket]] = {}
        for name, address in (("code.example", CODE), ("packages.example", PACKAGES)):
            ask(box, name)
            ends[name] = box.connect(address, port_of(server)), machine.accept(server)

    machine.open()
    assert box.refusal(INTERNET, port_of(server)) == errno.EHOSTUNREACH
    with answering(machine, NAMES):
        assert ask(box, "code.example") == Told(names.SERVER_FAILURE)
        machine.network.set_policy("box_2", 2, allowing("*.example"))
        assert exchange(*ends["code.example"]) == b"answer"
        machine.network.set_policy("box_2", 2, allowing("packages.example"))

        assert exchange(*ends["packages.example"]) == b"answer"
        with pytest.raises(ConnectionResetError):
            exchange(*ends["code.example"])


def test_what_a_daemon_died_over_is_cut_by_the_next(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    server = machine.internet.listen(CODE)
    box = machine.box(2)
    ends = box.connect(CODE, port_of(server)), machine.accept(server)

    def die(_wall: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(machine.network.walls, "_cut", die)
    with pytest.raises(KeyboardInterrupt):
        machine.network.set_policy("box_2", 2, allowing("code.example"))
    machine.open()
    machine.network.set_policy("box_2", 2, allowing("code.example"))

    with pytest.raises(ConnectionResetError):
        exchange(*ends)


def test_walls_that_somebody_removed_are_put_back(machine: Machine):
    server = machine.internet.listen("0.0.0.0")
    box = held_box(machine, "code.example")
    with answering(machine, NAMES):
        ask(box, "code.example")
        nftables.run("flush ruleset\n")
        assert ask(box, "packages.example") == REFUSED

        assert machine.network.repair()

        box.connect(CODE, port_of(server))
        assert box.refusal(INTERNET, port_of(server)) == errno.EHOSTUNREACH
        assert not machine.network.repair()


def test_two_instances_hold_their_own(machine: Machine):
    server = machine.internet.listen(INTERNET)
    other = Network.open(instance="testb", network="10.214.0.0/16")
    other.set_policy("box_2", 2, allowing("code.example"))
    place = machine.place()
    other.attach(place.pid, 2, "box_2")

    assert place.refusal(INTERNET, port_of(server)) == errno.EHOSTUNREACH
    machine.box(2).connect(INTERNET, port_of(server))


# -- a box that does not stop --


def test_a_flood_of_refused_packets_is_noted_now_and_then(machine: Machine):
    box = held_box(machine, "code.example")
    flood = box.socket(socket.SOCK_DGRAM)

    with answering(machine, NAMES):
        for _ in range(3000):
            flood.sendto(b"", (INTERNET, 9))
        refused(machine, "packet")

        assert ask(box, "code.example").addresses == (CODE,)
        (found,) = machine.network.refusals("box_2")
    assert found.count < 1000


def test_a_box_that_is_given_very_many_addresses_loses_the_oldest(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("skerry.host.policy_walls.ADDRESSES_MAX", 3)
    box = held_box(machine, "*.example")
    first = [f"203.0.113.{number}" for number in (1, 2)]
    then = [f"203.0.113.{number}" for number in (3, 4)]

    with answering(machine, addresses_of(a_example=first, b_example=then)):
        ask(box, "a.example")
        ask(box, "b.example")

    left = {str(e.address) for e in elements_of(machine.network.plan.policy_table, "allowed_2")}
    assert left == {first[1], *then}


def wait_until(happens: Callable[[], bool]) -> None:
    while not happens():
        pass


def remaining_ms(machine: Machine) -> int:
    found = elements_of(machine.network.plan.policy_table, "allowed_2")
    return found[0].lifetime_ms if found else 0


def asked_directly(box: Place, resolver: str) -> bytes:
    client = box.socket(socket.SOCK_DGRAM)
    client.connect((resolver, 53))
    while True:
        client.send(names.question("evil.example"))


def exchange(client: socket.socket, server: socket.socket) -> bytes:
    """Send a question and an answer, again and again until an error of the sender has come back."""
    client.settimeout(0.05)
    for _ in range(20):
        client.send(b"question")
        try:
            server.settimeout(0.05)
            server.recv(100)
            server.send(b"answer")
            return client.recv(100)
        except TimeoutError:
            continue
    raise AssertionError("neither an answer nor an error")
