"""The daemon's side of the gateway, on a simulated machine; the test plays the gateway."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from skerry import accounts, boxes
from skerry.base import new_id
from skerry.boxes import BoxChange, Boxes, CreateSpec
from skerry.doors.steering import Steering, Terms
from skerry.gateway import control
from skerry.host.database import Database
from skerry.host.listener import listen_unix
from skerry.services import Services
from skerry.testing import House
from tests.gateway.place import run

_T = TypeVar("_T")
KEY = b"k" * 32


@dataclass
class Place:
    """A daemon with one box called dev, and the gateway that is connected to it."""

    boxes: Boxes
    tokens: accounts.Accounts
    services: Services
    house: House
    steering: Steering
    path: Path
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def connect(self) -> control.Table:
        """Connect as a new gateway; return what it is told first."""
        if self.writer is not None:
            self.writer.close()
        self.reader, self.writer = await opened(self.path)
        self.say(control.Hello())
        return await self.told(control.Table)

    def say(self, message: control.FromGateway) -> None:
        assert self.writer is not None
        self.writer.write(control.line_of(message))

    async def told(self, kind: type[_T]) -> _T:
        """Return the next message of a kind; others are passed over."""
        assert self.reader is not None
        while True:
            message = control.from_daemon(await self.reader.readuntil(b"\n"))
            if isinstance(message, kind):
                return message

    async def all_told(self) -> list[control.FromDaemon]:
        """Return all that was told until now."""
        assert self.reader is not None
        await accounts.create(self.tokens, "mark", ("read",))
        messages: list[control.FromDaemon] = []
        while not isinstance(
            message := control.from_daemon(await self.reader.readuntil(b"\n")), control.Tokens
        ):
            messages.append(message)
        return messages

    async def leave(self) -> None:
        assert self.writer is not None
        self.writer.close()
        await self.writer.wait_closed()


async def opened(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a socket that listens soon."""
    while True:
        try:
            return await asyncio.open_unix_connection(path)
        except ConnectionRefusedError:
            await asyncio.sleep(0)


def story(folder: Path, tell: Callable[[Place], Awaitable[None]]) -> None:
    """Run a test on a place, on which a gateway may connect."""

    async def on_it() -> None:
        async with place(folder) as made:
            await tell(made)

    run(on_it())


@asynccontextmanager
async def place(folder: Path) -> AsyncGenerator[Place]:
    house = House(folder)
    database = Database.open(folder / "accounts.db", {"accounts": accounts.MIGRATIONS})
    with tempfile.TemporaryDirectory() as short:
        async with house.open() as context:
            await boxes.build_image(context, "base", "base", lambda _: None)
            await boxes.create(context, CreateSpec(name="dev"))
            tokens = accounts.Accounts(
                database=database, clock=context.clock, entropy=context.entropy
            )
            services = Services(boxes=context, log_bytes_max=1 << 20, log_files_max=1)
            path = Path(short) / "sock"
            steering = Steering(context, services, tokens, Terms(), KEY)
            serving = asyncio.create_task(steering.serve(listen_unix(path)))
            made = Place(context, tokens, services, house, steering, path)
            try:
                yield made
            finally:
                if made.writer is not None:
                    made.writer.close()
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
                database.close()


def dev(made: Place) -> str:
    return made.boxes.find("dev").box_id


def test_a_gateway_is_told_all_when_it_comes(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        await accounts.create(made.tokens, "me", ("write",))
        await boxes.set_domains(made.boxes, "dev", ["shop.example.com"])
        table = await made.connect()
        (box,) = table.boxes
        assert (box.name, box.awake, box.access) == ("dev", True, "private")
        assert box.domains == ("shop.example.com",)
        assert box.http_port == 8080
        assert [token.scopes for token in table.tokens] == [("write",)]
        assert table.cookie_key == KEY

    story(tmp_path, tell)


def test_it_is_told_what_changes_and_nothing_else(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        await made.connect()
        await boxes.update(made.boxes, "dev", BoxChange(labels=("quiet",)))
        await boxes.update(made.boxes, "dev", BoxChange(access="public"))
        assert (await made.told(control.BoxChanged)).box.access == "public"
        await boxes.stop(made.boxes, "dev")
        assert not (await made.told(control.BoxChanged)).box.awake
        await boxes.create(made.boxes, CreateSpec(name="new"))
        assert (await made.told(control.BoxChanged)).box.name == "new"
        box_id = dev(made)
        await boxes.destroy(made.boxes, "dev")
        assert (await made.told(control.Gone)).box_id == box_id
        token, _ = await accounts.create(made.tokens, "me", ("read",))
        assert len((await made.told(control.Tokens)).tokens) == 1
        await accounts.revoke(made.tokens, token.token_id)
        assert (await made.told(control.Tokens)).tokens == ()

    story(tmp_path, tell)


def test_a_token_for_own_boxes_opens_nothing_at_the_gateway(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        await accounts.create(made.tokens, "agent", ("own",))
        table = await made.connect()
        assert [token.scopes for token in table.tokens] == [()]

    story(tmp_path, tell)


def test_a_box_is_woken_for_those_who_wait(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        await boxes.stop(made.boxes, "dev")
        await made.connect()
        made.say(control.Wake(5, dev(made), 8080))
        woken = await made.told(control.Woken)
        assert (woken.id, woken.error, woken.was_started) == (5, None, True)
        assert woken.pid == made.boxes.running[dev(made)].init_pid

        await boxes.freeze(made.boxes, "dev", even_in_use=True)
        made.say(control.Wake(6, dev(made), 8080))
        assert not (await made.told(control.Woken)).was_started

    story(tmp_path, tell)


def test_a_box_that_ended_by_itself_is_started_for_who_finds_it_gone(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        (box,) = (await made.connect()).boxes
        made.house.world.running.clear()
        made.say(control.Wake(5, dev(made), 8080))
        woken = await made.told(control.Woken)
        assert woken.error is None
        assert woken.pid != box.pid

    story(tmp_path, tell)


def test_a_wake_that_fails_is_said(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        await made.connect()
        made.say(control.Wake(5, new_id("box", b"x" * 10), 8080))
        assert (await made.told(control.Woken)).error is not None

    story(tmp_path, tell)


async def asked(made: Place, *, answer: bool) -> bool:
    """Have a box frozen, to which the gateway says yes or no; return whether it sleeps."""
    freezing = asyncio.create_task(boxes.freeze(made.boxes, "dev"))
    question = await made.told(control.MaySleep)
    made.say(control.SleepAnswer(question.id, answer))
    return await freezing


def test_a_box_sleeps_only_if_the_gateway_lets_it(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        await made.connect()
        assert not await asked(made, answer=False)
        assert await asked(made, answer=True)
        assert made.boxes.status(dev(made)) == "warm"

    story(tmp_path, tell)


async def frozen_meanwhile(made: Place, during: Callable[[], Awaitable[object]]) -> bool:
    """Freeze a box that the gateway lets sleep; do something just before it is frozen."""

    async def gate(_: str) -> bool:
        await during()
        return True

    made.boxes.sleep_gates.append(gate)
    return await asked(made, answer=True)


def test_a_request_that_comes_before_the_box_is_frozen_keeps_it_awake(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        await made.connect()

        async def wake() -> None:
            made.say(control.Wake(5, dev(made), 8080))
            await made.told(control.Woken)

        assert not await frozen_meanwhile(made, wake)
        assert made.boxes.status(dev(made)) == "running"

    story(tmp_path, tell)


def test_a_box_that_is_about_to_be_frozen_is_not_called_awake(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        await made.connect()

        async def change() -> None:
            for told in made.services.changed:
                told(dev(made))

        async def come_back() -> None:
            assert not (await made.connect()).boxes[0].awake

        assert await frozen_meanwhile(made, change)
        assert await made.all_told() == []
        await boxes.start(made.boxes, "dev")
        made.boxes.sleep_gates.pop()
        assert await frozen_meanwhile(made, come_back)

    story(tmp_path, tell)


def test_who_asked_for_a_wake_counts_until_the_gateway_says_otherwise(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        await made.connect()
        uses = made.boxes.signs_of(dev(made)).uses
        made.say(control.Wake(5, dev(made), 8080))
        await made.told(control.Woken)
        assert uses["request"] == 1
        made.say(control.Traffic(box_id=dev(made), open=0, requests=1, bytes_in=1, bytes_out=1))
        while uses["request"]:
            await asyncio.sleep(0)

    story(tmp_path, tell)


def test_another_gateway_gets_no_answers_to_what_it_did_not_ask(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        await made.connect()
        await boxes.stop(made.boxes, "dev")
        async with made.boxes.turns.of(dev(made)):
            made.say(control.Wake(1, dev(made), 8080))
            while not made.boxes.signs_of(dev(made)).uses["request"]:
                await asyncio.sleep(0)
            await made.connect()
        while made.boxes.signs_of(dev(made)).uses["request"]:
            await asyncio.sleep(0)
        assert all(not isinstance(each, control.Woken) for each in await made.all_told())

    story(tmp_path, tell)


def test_a_gateway_that_is_gone_but_may_live_keeps_boxes_awake(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        assert await boxes.freeze(made.boxes, "dev"), "there is none yet"
        await boxes.start(made.boxes, "dev")
        await made.connect()
        await made.leave()
        assert not await boxes.freeze(made.boxes, "dev")
        made.steering.lost()
        assert await boxes.freeze(made.boxes, "dev")

    story(tmp_path, tell)


def test_what_is_open_counts_and_never_stays_behind(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        await made.connect()
        uses = made.boxes.signs_of(dev(made)).uses

        async def told(count: int) -> None:
            made.say(
                control.Traffic(box_id=dev(made), open=count, requests=1, bytes_in=1, bytes_out=1)
            )
            while uses["request"] != count:
                await asyncio.sleep(0)

        await told(2)
        assert not await boxes.freeze(made.boxes, "dev")
        await made.connect()  # another one, which has nothing open
        assert uses["request"] == 0
        await told(3)
        await boxes.stop(made.boxes, "dev")
        made.steering.lost()
        assert uses["request"] == 0

    story(tmp_path, tell)


def test_a_gateway_of_another_language_is_not_listened_to(tmp_path: Path) -> None:
    async def tell(made: Place) -> None:
        reader, writer = await opened(made.path)
        writer.write(control.line_of(control.Hello(protocol=99)))
        assert await reader.read() == b""
        writer.close()
        assert made.steering.is_alone

    story(tmp_path, tell)
