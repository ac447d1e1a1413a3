"""Which addresses an answer gives."""

import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.host.dns_message import Query, read_query
from skerry.host.policy_answers import (
    PASSED_TYPES,
    Malformed,
    asked_name,
    asked_type,
    read_answer,
    shown_name,
)
from tests.host.names import AAAA, ANY, CNAME, HTTPS, A, answer, encoded, question, record

ONE, TWO = IPv4Address("203.0.113.1"), IPv4Address("203.0.113.2")


def query_of(name: str, kind: int = A) -> Query:
    query = read_query(question(name, kind))
    assert query is not None
    return query


def given_by(*records: bytes, asked: str = "a.org") -> tuple[tuple[IPv4Address, int], ...]:
    return read_answer(query_of(asked), answer(question(asked), list(records))).addresses


def test_the_name_and_the_type_of_a_question_are_read():
    assert asked_name(query_of("WWW.Example.org", 28)) == "www.example.org"
    assert asked_type(query_of("a.org", 28)) == 28


def test_a_name_is_shown_with_its_odd_letters_as_numbers():
    sent = question("a").replace(b"\1a\0", b"\4A b.\3org\0")
    query = read_query(sent)
    assert query is not None

    assert asked_name(query) is None
    assert shown_name(query) == r"a\032b\046.org"


@pytest.mark.parametrize("target", [23, 25])
def test_a_name_that_points_to_itself_or_further_is_malformed(target: int):
    # The record begins at 23; at 25 its type, of which the first byte could be the end of a name.
    odd = b"\xc0" + bytes([target]) + struct.pack(">HHIH", 0, 1, 300, 0)

    with pytest.raises(Malformed):
        given_by(odd)


def test_a_question_of_another_class_has_no_type():
    query = read_query(question("a.org")[:-1] + b"\x03")

    assert query is not None
    assert asked_type(query) is None


@pytest.mark.parametrize("label", [b"a.org", b"*", b"a b", b"\xc3\xa9", b"\0", b"a\\b"])
def test_a_name_with_letters_that_no_host_has_is_none(label: bytes):
    name = bytes([len(label)]) + label + b"\x03org\0"
    query = read_query(question("")[:12] + name + b"\0\1\0\1")

    assert query is not None
    assert asked_name(query) is None


def test_what_could_lead_around_a_policy_is_not_passed_on():
    assert not PASSED_TYPES & {AAAA, HTTPS, ANY, 64, 41, 249, 250}


def test_addresses_come_with_their_time():
    records = [record("a.org", A, ONE.packed, 60), record("A.ORG", A, TWO.packed, 10**9)]

    assert given_by(*records) == ((ONE, 60), (TWO, 3600))


def test_a_time_above_the_limit_is_cut_in_the_answer_and_nothing_else_is_changed():
    long, cut = (
        answer(question("a.org"), [record("a.org", A, ONE.packed, t)]) for t in (86400, 3600)
    )

    assert read_answer(query_of("a.org"), long).message == cut
    assert read_answer(query_of("a.org"), cut).message == cut


def test_a_time_with_a_sign_is_none_at_all():
    assert given_by(record("a.org", A, ONE.packed, 1 << 31)) == ((ONE, 0),)


def test_the_chain_from_the_name_asked_for_is_followed():
    records = [
        record("a.org", CNAME, encoded("b.org")),
        record("b.org", CNAME, encoded("c.org")),
        record("c.org", A, ONE.packed),
        record("d.org", A, TWO.packed),
    ]

    assert given_by(*records) == ((ONE, 300),)


def test_names_that_point_back_are_read():
    pointed = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 9, 4) + ONE.packed

    assert given_by(pointed) == ((ONE, 9),)


@pytest.mark.parametrize(
    "bad",
    [
        b"\xc0\xff",  # points outside
        b"\x80" + bytes(12),  # of no known kind
        b"\x3fabc",
        record("a.org", A, b"\1\2\3"),
        record("a.org", A, b"\1\2\3\4\5"),
        record("a.org", A, ONE.packed)[:-1],
        (b"\x3f" + b"a" * 63) * 5 + b"\0" + bytes(10),
    ],
)
def test_an_answer_that_is_none_is_told_from_one(bad: bytes):
    with pytest.raises(Malformed):
        given_by(bad)


@given(st.binary(max_size=200), st.integers(0, 5), st.integers(0, 5))
def test_whatever_a_server_sends_is_read_or_malformed(body: bytes, questions: int, answers: int):
    header = struct.pack(">HHHHHH", 7, 0x8180, questions, answers, 0, 0)

    try:
        found = read_answer(query_of("a.org"), header + body)
    except Malformed:
        return
    assert len(found.message) == len(header + body)
