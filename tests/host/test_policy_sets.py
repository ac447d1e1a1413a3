"""Elements of nftables sets, put in and taken out in an empty network."""

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from skerry.host import nftables
from skerry.host.policy_sets import Element, SetSocket, elements_of

pytestmark = pytest.mark.machine

ONE, TWO = IPv4Address("203.0.113.1"), IPv4Address("203.0.113.2")


@pytest.fixture
def sets(own_network: int) -> Iterator[SetSocket]:
    nftables.run("table inet mine {\nset given {\ntype ipv4_addr\nsize 200\nflags timeout\n}\n}\n")
    with SetSocket("mine") as made:
        yield made


def given() -> dict[str, tuple[int, str]]:
    """Return what is in the set: tens of seconds left, rounded up, and the comment."""
    return {
        str(each.address): (-(-each.lifetime_ms // 10_000), each.comment)
        for each in elements_of("mine", "given")
    }


def test_elements_are_put_in_with_a_time_and_a_comment(sets: SetSocket):
    sets.put("given", [Element(ONE, 60_000, "a.example"), Element(TWO, 90_000, "b.example")], [])

    assert given() == {str(ONE): (6, "a.example"), str(TWO): (9, "b.example")}
    assert 'comment "a.example"' in nftables.run("list set inet mine given\n")


def test_a_known_element_gets_a_new_life(sets: SetSocket):
    sets.put("given", [Element(ONE, 60_000, "a.example")], [])

    sets.put("given", [Element(TWO, 10_000, "c.example")], [Element(ONE, 90_000, "b.example")])

    assert given() == {str(ONE): (9, "b.example"), str(TWO): (1, "c.example")}


def test_one_that_is_known_but_gone_is_put_in(sets: SetSocket):
    sets.put("given", [], [Element(ONE, 60_000, "a.example")])

    assert given() == {str(ONE): (6, "a.example")}


def test_elements_are_taken_out_whether_they_are_there_or_not(sets: SetSocket):
    sets.put("given", [Element(ONE, 60_000, "a.example")], [])

    sets.remove("given", [Element(ONE, 1, ""), Element(TWO, 1, "")])
    sets.remove("given", [])

    assert given() == {}


def test_the_longest_name_fits_as_often_as_an_answer_may_have_it(sets: SetSocket):
    name = ".".join(["a" * 62] * 4)
    many = [Element(ONE + number, 60_000, name) for number in range(128)]

    sets.put("given", [], many)

    assert set(given().values()) == {(6, name)}
    assert len(given()) == 128


def test_a_set_or_table_that_is_not_there_is_told(sets: SetSocket):
    with pytest.raises(FileNotFoundError):
        sets.put("taken", [Element(ONE, 60_000, "")], [])
    with SetSocket("theirs") as others, pytest.raises(FileNotFoundError):
        others.put("given", [Element(ONE, 60_000, "")], [])

    assert elements_of("mine", "taken") == []
    assert elements_of("theirs", "given") == []


def test_of_elements_that_do_not_fit_none_is_put_in(sets: SetSocket):
    many = [Element(ONE + number, 60_000, "") for number in range(201)]

    with pytest.raises(OSError, match="Too many open files in system"):
        sets.put("given", many, [])
    assert given() == {}
    sets.put("given", many[:1], [])


def test_elements_that_others_put_in_are_read(sets: SetSocket):
    nftables.run(f"add element inet mine given {{ {ONE} timeout 60s }}\n")

    assert given() == {str(ONE): (6, "")}
