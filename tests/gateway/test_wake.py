"""Boxes that sleep: one wake for all who wait, and what they get when it fails."""

from __future__ import annotations

import msgspec

from skerry.gateway.control import (
    BoxChanged,
    Gone,
    Limits,
    MaySleep,
    SleepAnswer,
    Traffic,
    Wake,
    Woken,
)
from tests.gateway.place import (
    ASLEEP,
    AWAKE,
    BOX_ID,
    HOST,
    MILLISECOND_NS,
    SECOND_NS,
    Peer,
    Place,
    gateway,
    run,
)

GET = b"GET / HTTP/1.1\r\nHOST\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHOST\r\nContent-Length: 5\r\n\r\nhello"


async def statuses(*clients: Peer) -> list[bytes]:
    return [(await client.head())[9:12] for client in clients]


def test_a_request_with_its_body_waits_for_the_box_and_its_port() -> None:
    async def story() -> tuple[bytes, bytes]:
        async with gateway(ASLEEP) as place:
            client = await place.ask(POST)
            await place.wake()
            while not place.knocks:  # nothing listens yet
                await place.settled()
            program = await place.program()
            box = await program.get()
            seen = await box.request()
            box.answer()
            return seen.body, (await client.head())[:12]

    assert run(story()) == (b"hello", b"HTTP/1.1 200")


def test_many_who_wait_cause_one_wake() -> None:
    async def story() -> tuple[list[bytes], int]:
        async with gateway(ASLEEP) as place:

            async def serve(program: Peer) -> None:
                while True:
                    await program.head()
                    program.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

            await place.answering(serve)
            clients = [await place.ask(GET) for _ in range(20)]
            first = await place.told(Wake)
            await place.settled()
            place.tell(Woken(id=first.id, box_id=first.box_id, pid=2, started_ticks=2))
            found = await statuses(*clients)
            place.tell(MaySleep(1, BOX_ID))
            others = 0
            while not isinstance(message := await next_message(place), SleepAnswer):
                others += isinstance(message, Wake)
            return found, others

    assert run(story()) == ([b"200"] * 20, 0)


async def next_message(place: Place) -> object:
    return await place.told(object)


def test_who_waits_is_told_when_the_box_does_not_wake() -> None:
    async def story() -> tuple[bytes, bytes]:
        async with gateway(ASLEEP) as place:
            client = await place.ask(GET)
            asked = await place.told(Wake)
            place.tell(
                Woken(id=asked.id, box_id=asked.box_id, error="The budget of $5 is used up.")
            )
            return await client.head(), await client.until(b"}\n")

    head, body = run(story())
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 5\r\n" in head
    assert b"budget" not in body, "that is for the owner, not for strangers"


def test_nobody_waits_for_ever_for_a_box_or_a_port() -> None:
    async def story(place: Place, *, wakes: bool) -> bytes:
        client = await place.ask(GET)
        if wakes:
            await place.wake()
        return await client.head() + await client.until(b"}\n")

    async def both() -> tuple[bytes, bytes]:
        limits = Limits(wake_wait_ns=50 * MILLISECOND_NS, listen_wait_ns=50 * MILLISECOND_NS)
        async with gateway(ASLEEP, limits=limits) as place:
            never = await story(place, wakes=False)
        limits = msgspec.structs.replace(limits, wake_wait_ns=10 * SECOND_NS)
        async with gateway(ASLEEP, limits=limits) as place:
            return never, await story(place, wakes=True)

    never, closed = run(both())
    assert (never[:13], b"wake_too_slow" in never) == (b"HTTP/1.1 503 ", True)
    assert (closed[:13], b"port_too_slow" in closed) == (b"HTTP/1.1 503 ", True)
    assert b"Retry-After: " in closed


def test_a_port_that_is_closed_in_a_box_that_ran_is_said_at_once() -> None:
    async def story() -> bytes:
        async with gateway(AWAKE) as place:
            client = await place.ask(GET)
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 502 ")


def test_a_box_that_ended_unseen_is_woken() -> None:
    async def story() -> bytes:
        async with gateway(AWAKE) as place:
            place.is_box_gone = True
            client = await place.ask(GET)
            asked = await place.told(Wake)
            place.is_box_gone = False
            program = await place.program()
            place.tell(Woken(id=asked.id, box_id=asked.box_id, pid=3, started_ticks=3))
            (await program.get()).answer()
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 200 ")


def test_a_box_that_was_stopped_under_a_request_is_not_woken_by_it_again() -> None:
    async def story() -> tuple[bytes, bool]:
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            box.answer(b"")
            await client.head()
            client.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST)
            await box.request()
            place.is_box_gone = True
            box.close()
            head = await client.head()
            place.tell(MaySleep(1, BOX_ID))
            while not isinstance(message := await next_message(place), SleepAnswer):
                assert not isinstance(message, Wake)
            return head, message.ok

    head, may_sleep = run(story())
    assert head.startswith(b"HTTP/1.1 502 ")
    assert may_sleep


def test_a_box_that_is_destroyed_lets_nobody_wait() -> None:
    async def story() -> bytes:
        async with gateway(ASLEEP) as place:
            client = await place.ask(GET)
            await place.told(Wake)
            place.tell(Gone(BOX_ID))
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 502 ")


def test_a_box_with_something_open_may_not_sleep_and_one_without_may() -> None:
    async def asked(place: Place) -> bool:
        place.tell(MaySleep(7, BOX_ID))
        return (await place.told(SleepAnswer)).ok

    async def story() -> tuple[bool, bool]:
        async with gateway(AWAKE) as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            busy = await asked(place)
            box.answer()
            await client.head()
            await client.exactly(13)
            idle = await asked(place)
            assert await box.closed() is False, "unused connections are closed before"
            return busy, idle

    assert run(story()) == (False, True)


def test_after_it_may_sleep_the_next_request_wakes_it() -> None:
    async def story() -> bytes:
        async with gateway(AWAKE) as place:
            program = await place.program()
            place.tell(MaySleep(7, BOX_ID))
            assert (await place.told(SleepAnswer)).ok
            client = await place.ask(GET)
            await place.wake(was_started=False)
            (await program.get()).answer()
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 200 ")


def test_whoever_woke_the_box_those_who_wait_go_on() -> None:
    async def story() -> bytes:
        async with gateway(ASLEEP) as place:
            program = await place.program()
            client = await place.ask(GET)
            await place.told(Wake)
            place.tell(BoxChanged(AWAKE))
            (await program.get()).answer()
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 200 ")


def test_who_waits_while_the_daemon_restarts_is_asked_for_again() -> None:
    async def story() -> bytes:
        async with gateway(ASLEEP) as place:
            program = await place.program()
            client = await place.ask(GET)
            await place.told(Wake)
            assert place.daemon is not None
            place.daemon.close()
            await place.connect_daemon()
            await place.wake()
            (await program.get()).answer()
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 200 ")


def test_no_more_wait_than_may() -> None:
    async def story() -> list[bytes]:
        async with gateway(ASLEEP, limits=Limits(waiting_per_box_max=1)) as place:
            first = await place.ask(GET)
            await place.told(Wake)
            second = await place.ask(GET)
            refused = await statuses(second)
            first.close()
            return refused

    assert run(story()) == [b"503"]


def test_the_daemon_is_told_what_is_open_and_how_much_came() -> None:
    async def story() -> tuple[Traffic, Traffic]:
        async with gateway(AWAKE) as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            opened = await place.told(Traffic)
            box.answer()
            await client.head()
            return opened, await place.told(Traffic)

    opened, ended = run(story())
    assert (opened.open, opened.requests) == (1, 1)
    assert (ended.open, ended.requests) == (0, 0)
    assert ended.bytes_out > len(b"hello, world\n")
    assert ended.bytes_in > 0


def test_a_wake_that_nobody_answered_is_asked_for_again() -> None:
    async def story() -> tuple[bytes, Wake, Wake]:
        async with gateway(ASLEEP, limits=Limits(wake_wait_ns=50 * MILLISECOND_NS)) as place:
            first = await place.ask(GET)
            asked = await place.told(Wake)
            head = await first.head()
            await place.ask(GET)
            return head, asked, await place.told(Wake)

    head, asked, again = run(story())
    assert head.startswith(b"HTTP/1.1 503 ")
    assert asked == again


def test_after_a_wake_the_daemon_is_told_what_is_open_though_all_have_left() -> None:
    async def story() -> int:
        async with gateway(ASLEEP) as place:
            client = await place.ask(GET)
            asked = await place.told(Wake)
            client.reset()
            while (await place.told(Traffic)).open:
                pass
            place.tell(Woken(id=asked.id, box_id=BOX_ID, pid=2, started_ticks=2))
            return (await place.told(Traffic)).open

    assert run(story()) == 0


def test_an_answer_for_another_box_than_was_asked_for_wakes_none() -> None:
    async def story() -> bytes:
        async with gateway(ASLEEP, limits=Limits(wake_wait_ns=50 * MILLISECOND_NS)) as place:
            client = await place.ask(GET)
            asked = await place.told(Wake)
            place.tell(Woken(id=asked.id, box_id="box_0000000000000000", pid=2, started_ticks=2))
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 503 ")
