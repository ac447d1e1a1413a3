"""Web addresses of boxes: access, domains, share links, published ports."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from skerry import boxes
from skerry.base import Conflict, Invalid, LimitReached, NotFound, SkerryError
from skerry.base.share_links import share_end_ns
from skerry.boxes import BoxChange, Boxes, CreateSpec
from skerry.testing import House


@asynccontextmanager
async def two_boxes(folder: Path) -> AsyncGenerator[Boxes]:
    """A house with the boxes `one` and `two`."""
    async with House(folder).open() as b:
        await boxes.build_image(b, "base", "base", lambda _: None)
        await boxes.create(b, CreateSpec(name="one", access="public"))
        await boxes.create(b, CreateSpec(name="two"))
        yield b


def story(folder: Path, tell: Callable[[Boxes], Awaitable[None]]) -> None:
    async def run() -> None:
        async with two_boxes(folder) as b:
            await tell(b)

    asyncio.run(run())


def test_a_box_is_private_unless_somebody_says_so_and_so_are_its_copies(tmp_path: Path) -> None:
    async def tell(b: Boxes) -> None:
        assert [b.find(name).access for name in ("one", "two")] == ["public", "private"]
        (fork,) = await boxes.fork(b, "one", None, ["copy"])
        assert fork.box.access == "private"
        await boxes.update(b, "two", BoxChange(access="public"))
        await boxes.update(b, "two", BoxChange(labels=("x",)))
        assert b.find("two").access == "public"

    story(tmp_path, tell)


def test_a_domain_is_one_boxs_alone(tmp_path: Path) -> None:
    async def tell(b: Boxes) -> None:
        named = await boxes.set_domains(b, "one", ["Shop.Example.com.", "a.example.com"])
        assert named == ("a.example.com", "shop.example.com")
        with pytest.raises(Conflict, match="one"):
            await boxes.set_domains(b, "two", ["shop.example.com"])
        await boxes.set_domains(b, "one", ["a.example.com"])
        assert await boxes.set_domains(b, "two", ["shop.example.com"]) == ("shop.example.com",)

    story(tmp_path, tell)


def test_a_domain_of_a_destroyed_box_can_be_had(tmp_path: Path) -> None:
    async def tell(b: Boxes) -> None:
        await boxes.set_domains(b, "one", ["shop.example.com"])
        await boxes.destroy(b, "one")
        await boxes.set_domains(b, "two", ["shop.example.com"])
        back = await boxes.undo(b, "one")
        assert boxes.domains_of(b, back.box.box_id) == ()

    story(tmp_path, tell)


def test_of_two_who_want_a_domain_at_once_one_gets_it(tmp_path: Path) -> None:
    async def tell(b: Boxes) -> None:
        wishes = [boxes.set_domains(b, name, ["shop.example.com"]) for name in ("one", "two")]
        outcomes = await asyncio.gather(*wishes, return_exceptions=True)
        assert sum(isinstance(each, Conflict) for each in outcomes) == 1

    story(tmp_path, tell)


@pytest.mark.parametrize(
    "domain",
    ["", "nodot", "two.localhost", "localhost", "a..b.c", "-a.example.com", "a_b.example.com",
     "1.2.3.4", "a.example.com:80", "*.example.com", "a/b.example.com", "x" * 64 + ".example.com",
     "bücher.example"],
)  # fmt: skip
def test_what_is_no_domain_of_ones_own_is_refused(tmp_path: Path, domain: str) -> None:
    async def tell(b: Boxes) -> None:
        with pytest.raises(Invalid):
            await boxes.set_domains(b, "one", [domain])

    story(tmp_path, tell)


def test_a_box_has_so_many_domains_and_no_more(tmp_path: Path) -> None:
    async def tell(b: Boxes) -> None:
        with pytest.raises(LimitReached):
            await boxes.set_domains(b, "one", [f"a{n}.example.com" for n in range(33)])

    story(tmp_path, tell)


def test_a_share_link_holds_until_its_end_or_until_all_are_ended(tmp_path: Path) -> None:
    async def tell(b: Boxes) -> None:
        text, end_ns = await boxes.share(b, "two", 3600 * 10**9)
        key, box = await boxes.signing_key(b), b.find("two")

        def holds(epoch: int, now_ns: int) -> bool:
            return share_end_ns(key, box.box_id, epoch, text, now_ns) == end_ns

        assert holds(box.share_epoch, end_ns - 1)
        assert not holds(box.share_epoch, end_ns)
        await boxes.end_shares(b, "two")
        assert not holds(b.find("two").share_epoch, end_ns - 1)
        assert await boxes.signing_key(b) == key
        for lasts_ns in (0, 400 * 86400 * 10**9):
            with pytest.raises(Invalid):
                await boxes.share(b, "two", lasts_ns)

    story(tmp_path, tell)


def test_the_key_of_links_outlives_the_daemon(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def key() -> bytes:
        async with house.open() as b:
            return await boxes.signing_key(b)

    first = asyncio.run(key())
    assert len(first) == 32
    assert asyncio.run(key()) == first


def test_a_port_of_the_machine_is_published_for_one_box(tmp_path: Path) -> None:
    async def tell(b: Boxes) -> None:
        await boxes.publish(b, "one", "0.0.0.0:5432", 5432)
        await boxes.publish(b, "one", "0.0.0.0:5432", 5433)
        assert [each.port for each in boxes.list_published(b, "one")] == [5433]
        with pytest.raises(Conflict):
            await boxes.publish(b, "two", "0.0.0.0:5432", 1)
        with pytest.raises(Conflict, match="in use"):
            await boxes.publish(b, "two", "127.0.0.1:80", 80)
        with pytest.raises(NotFound):
            await boxes.unpublish(b, "two", "0.0.0.0:5432")
        await boxes.unpublish(b, "one", "0.0.0.0:5432")
        assert (await boxes.publish(b, "two", "[::1]:5432", 1)).listen == "[::1]:5432"

    story(tmp_path, tell)


@pytest.mark.parametrize(
    "listen", ["5432", ":5432", "host:5432", "1.2.3.4:0", "1.2.3.4:65536", "::1:x"]
)
def test_what_is_no_address_is_refused(tmp_path: Path, listen: str) -> None:
    async def tell(b: Boxes) -> None:
        with pytest.raises(SkerryError):
            await boxes.publish(b, "one", listen, 1)

    story(tmp_path, tell)
