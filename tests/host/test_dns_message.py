"""What of a DNS message is read, and what is answered without asking anybody."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.host.dns_message import (
    Query,
    Rcode,
    failure,
    is_response,
    rcode,
    read_query,
    response_to,
    with_identifier,
)

NAME = b"\x07example\x03org\x00"
QUESTION = NAME + b"\x00\x01\x00\x01"


def message(
    *, identifier: int = 7, flags: int = 0x0100, questions: int = 1, body: bytes = QUESTION
) -> bytes:
    return struct.pack(">HHHHHH", identifier, flags, questions, 0, 0, 0) + body


def query_of(sent: bytes) -> Query:
    query = read_query(sent)
    assert query is not None
    return query


QUERY = query_of(message())


def test_a_query_is_read():
    assert (QUERY.identifier, QUERY.question, QUERY.verdict) == (7, QUESTION, Rcode.NO_ERROR)


@pytest.mark.parametrize("sent", [b"", message()[:11], message(flags=0x8100)])
def test_what_deserves_no_answer_gets_none(sent: bytes):
    assert read_query(sent) is None


@pytest.mark.parametrize(
    ("sent", "verdict"),
    [
        (message(questions=0, body=b""), Rcode.FORMAT_ERROR),
        (message(questions=2, body=QUESTION * 2), Rcode.FORMAT_ERROR),
        (message(body=QUESTION[:-1]), Rcode.FORMAT_ERROR),
        (message(body=b"\x07exam"), Rcode.FORMAT_ERROR),
        (message(body=b"\xc0\x0c\x00\x01\x00\x01"), Rcode.FORMAT_ERROR),
        (message(body=b"\x3f" + b"a" * 63 + b"\x00\x00\x01\x00\x01"), Rcode.NO_ERROR),
        (message(body=(b"\x3f" + b"a" * 63) * 4 + b"\x00\x00\x01\x00\x01"), Rcode.FORMAT_ERROR),
        (message(body=b"\x00\x00\x02\x00\x01"), Rcode.NO_ERROR),
        (message(flags=0x2800), Rcode.NOT_IMPLEMENTED),
        (message(body=NAME + b"\x00\xfc\x00\x01"), Rcode.REFUSED),
        (message(body=NAME + b"\x00\xfb\x00\x01"), Rcode.REFUSED),
    ],
)
def test_what_cannot_be_passed_on_is_known(sent: bytes, verdict: Rcode):
    assert query_of(sent).verdict == verdict


def test_a_failure_repeats_number_wish_and_question():
    assert failure(QUERY, Rcode.SERVER_FAILURE) == message(flags=0x8182)


@pytest.mark.parametrize(
    ("sent", "accepted"),
    [
        (message(identifier=99, flags=0x8180), True),
        (message(identifier=99, flags=0x8180, body=QUESTION + b"\xc0\x0c records"), True),
        (message(identifier=99, flags=0x8180, body=b"\x07eXAMple\x03ORG\x00\0\1\0\1"), True),
        (message(identifier=99, flags=0x8181, questions=0, body=b""), True),
        (message(identifier=99, flags=0x8180, questions=0, body=b""), False),
        (message(identifier=98, flags=0x8180), False),
        (message(identifier=99, flags=0x0100), False),
        (message(identifier=99, flags=0x8180, body=NAME + b"\x00\x1c\x00\x01"), False),
        (message(identifier=99, flags=0x8180, body=b"\x07another\x03org\x00\0\1\0\1"), False),
        (message(identifier=99, flags=0x8180, questions=2, body=QUESTION * 2), False),
        (message(identifier=99, flags=0x8180)[:-1], False),
        (b"", False),
    ],
)
def test_a_response_has_the_number_and_the_question(sent: bytes, *, accepted: bool):
    assert is_response(sent, QUERY, 99) is accepted


def test_a_response_reaches_the_client_as_it_asked():
    upper = message(identifier=99, flags=0x8180, body=QUESTION.upper() + b"records")

    assert response_to(QUERY, upper) == message(flags=0x8180, body=QUESTION + b"records")


def test_a_response_without_question_keeps_its_length():
    bare = message(identifier=99, flags=0x8181, questions=0, body=b"rest")

    assert response_to(QUERY, bare) == message(flags=0x8181, questions=0, body=b"rest")


def test_a_query_goes_out_under_another_number():
    assert with_identifier(QUERY, 0x1234) == message(identifier=0x1234)


@given(st.binary(max_size=600) | st.binary(max_size=80).map(lambda body: message(body=body)))
def test_any_bytes_are_read_without_an_error(sent: bytes):
    query = read_query(sent)

    if query is not None:
        answer = failure(query, Rcode.REFUSED)
        assert answer[:2] == sent[:2]
        assert rcode(answer) == Rcode.REFUSED
        assert is_response(answer, query, query.identifier)
        assert read_query(answer) is None


@given(st.binary(max_size=200))
def test_any_answer_is_judged_without_an_error(sent: bytes):
    for answer in (sent, message(identifier=99, flags=0x8180, body=sent)):
        if is_response(answer, QUERY, 99):
            assert response_to(QUERY, answer)[:2] == QUERY.message[:2]
