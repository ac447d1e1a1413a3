"""A service is asked until it answers, within limits, and its key goes nowhere else."""

from typing import Any

import pytest

from skerry_train.errors import BadSettings, NotReachable
from skerry_train.evaluate import Refused, Service, converse
from tests.evaluate.judge_server import Answer, judge_server, said

HELLO = [{"role": "user", "content": "hello"}]
KEY = "sk-very-secret"


class Pauses:
    """Waits nowhere; notes how long it should have."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return False


def test_a_reply_is_read_with_its_tokens() -> None:
    with judge_server(lambda *_: said("hi")) as judge:
        service = Service(url=judge.url, model="m", key=KEY, extra={"temperature": 0})
        reply = converse(service, HELLO, Pauses())

    assert (reply.text, reply.tokens_in, reply.tokens_out) == ("hi", 100, 10)
    assert judge.asked == [
        {"model": "m", "messages": HELLO, "temperature": 0, "path": "/v1/chat/completions"}
    ]
    assert judge.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "trouble",
    [
        (429, b"slow down"),
        (500, b"oh"),
        (503, b""),
        (408, b""),
        None,
        (200, b"<html>"),
        (200, b"{}"),
        (200, b'{"choices": []}'),
        (200, b'{"choices": [{"message": null}]}'),
        (200, b"[" * 100_000),
        (200, b" " * (1 << 20) + b"  "),
        (200, b"short", {"Content-Length": "50"}),
    ],
)
def test_trouble_that_passes_is_waited_out(trouble: Answer) -> None:
    pauses = Pauses()
    with judge_server(lambda _, count: said("hi") if count == 3 else trouble) as judge:
        reply = converse(Service(url=judge.url, model="m"), HELLO, pauses)

    assert reply.text == "hi"
    assert pauses.waited == [1, 2, 4]


def test_a_reply_that_is_no_text_can_still_be_written_down() -> None:
    with judge_server(lambda *_: said("half \ud800 a letter")) as judge:
        assert (
            converse(Service(url=judge.url, model="m"), HELLO, Pauses()).text == "half ? a letter"
        )


def test_a_service_says_how_long_to_wait_within_reason() -> None:
    waits = ["7", "999999999", "-3", "soon"]

    def decide(_: dict[str, Any], count: int) -> Answer:
        return (429, b"", {"Retry-After": waits[count]}) if count < 4 else said("hi")

    pauses = Pauses()
    with judge_server(decide) as judge:
        converse(Service(url=judge.url, model="m"), HELLO, pauses)

    assert pauses.waited == [7, 600, 4, 8]


def test_trouble_that_does_not_pass_ends_after_the_tries() -> None:
    told = "did not answer: 502 no way; run it again"
    with (
        judge_server(lambda *_: (502, b"no way")) as judge,
        pytest.raises(NotReachable, match=told),
    ):
        converse(Service(url=judge.url, model="m", tries=3), HELLO, Pauses())

    assert len(judge.asked) == 3


def test_a_wait_that_is_given_up_ends_the_asking() -> None:
    with judge_server(lambda *_: (502, b"")) as judge, pytest.raises(NotReachable):
        converse(Service(url=judge.url, model="m"), HELLO, lambda _: True)

    assert len(judge.asked) == 1


def test_a_service_that_is_not_there_is_told() -> None:
    with judge_server(lambda *_: None) as judge:
        pass

    with pytest.raises(NotReachable, match="refused"):
        converse(Service(url=judge.url, model="m", tries=1), HELLO, Pauses())


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_at_fault_is_refused_alone(status: int) -> None:
    with (
        judge_server(lambda *_: (status, b"too long")) as judge,
        pytest.raises(Refused, match="too long"),
    ):
        converse(Service(url=judge.url, model="m"), HELLO, Pauses())


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_what_asking_again_does_not_mend_ends_at_once_and_tells_no_key(status: int) -> None:
    def decide(*_: object) -> Answer:
        return status, f"bad key {KEY}".encode(), {"Location": "http://127.0.0.1:9/elsewhere"}

    with judge_server(decide) as judge, pytest.raises(NotReachable) as caught:
        converse(Service(url=judge.url, model="m", key=KEY), HELLO, Pauses())

    assert len(judge.asked) == 1
    assert str(status) in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_key_is_not_shown_with_the_service() -> None:
    assert KEY not in repr(Service(url="https://judge.example/v1", model="m", key=KEY))


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("judge.example/v1", None),
        ("ftp://judge.example", None),
        ("http://[judge", None),
        ("http://judge:port/v1", None),
        ("https://user:pass@judge.example", None),
        ("https://judge.example/v1?key=x", None),
        ("http://judge.example/v1", KEY),
        ("https://judge.example/v1", "two\nlines"),
    ],
)
def test_urls_and_keys_that_would_give_a_key_away_are_refused(url: str, key: str | None) -> None:
    with pytest.raises(BadSettings):
        Service(url=url, model="m", key=key)
