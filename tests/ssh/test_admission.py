"""Who may stand at the door."""

import pytest

from skerry.ssh.admission import Admission, origin_of


def admission() -> Admission:
    return Admission(connections_max=6, strangers_max=4, strangers_of_one_max=2)


def test_no_address_takes_all_the_room() -> None:
    door = admission()

    assert [door.enter("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert [door.enter("10.0.0.2") for _ in range(3)] == [True, True, False]
    assert not door.enter("10.0.0.3")


def test_one_of_the_most_from_one_place_makes_way() -> None:
    door = admission()
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.2"):
        door.enter(address)
    assert door.crowd() is None

    door.enter("10.0.0.3")
    assert door.crowd() == "10.0.0.2"
    door.recognise("10.0.0.2")
    door.enter("10.0.0.4")
    assert door.crowd() == "10.0.0.1"


def test_who_is_recognised_makes_room_for_strangers() -> None:
    door = admission()
    for _ in range(6):
        assert door.enter("10.0.0.1")
        door.recognise("10.0.0.1")

    assert not door.enter("10.0.0.1")
    door.leave()
    assert door.enter("10.0.0.1")


def test_a_stranger_who_leaves_makes_room() -> None:
    door = admission()
    for _ in range(100):
        assert door.enter("10.0.0.1")
        door.recognise("10.0.0.1")
        door.leave()

    assert (door.connections, door.strangers) == (0, {})


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_where_one_is_from(address: str, origin: str) -> None:
    assert origin_of(address) == origin
