"""The list of what a box was refused."""

from skerry.host.policy_log import Refusal, RefusalLog


def name(text: str) -> Refusal:
    return Refusal(kind="name", name=text, rule=1, rule_text="deny *")


def test_repeats_are_counted_with_their_first_and_last_time():
    log = RefusalLog()

    for at_ns, text in enumerate(["a.org", "b.org", "a.org"], start=10):
        log.note(name(text), at_ns)

    told = [(each.name, each.count, each.first_at_ns, each.last_at_ns) for each in log.since(0)]
    assert told == [("b.org", 1, 11, 11), ("a.org", 2, 10, 12)]


def test_what_differs_in_anything_stands_for_itself():
    log = RefusalLog()
    packets = [("192.0.2.1", "tcp", 443), ("192.0.2.1", "udp", 443), ("192.0.2.1", "icmp", None)]

    for address, protocol, port in packets:
        log.note(Refusal(kind="packet", address=address, protocol=protocol, port=port), 1)

    assert [(each.address, each.protocol, each.port) for each in log.since(0)] == packets


def test_only_what_happened_since_is_told():
    log = RefusalLog()
    log.note(name("a.org"), 1)
    log.note(name("b.org"), 2)

    assert [each.name for each in log.since(1)] == ["b.org"]
    assert log.since(2) == []


def test_the_oldest_give_way():
    log = RefusalLog(entries_max=2)

    for at_ns, text in enumerate(["a.org", "b.org", "a.org", "c.org"]):
        log.note(name(text), at_ns)

    assert [each.name for each in log.since(-1)] == ["a.org", "c.org"]
