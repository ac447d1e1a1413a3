"""Users and access keys: kept as everything is, and known again after a restart."""

import asyncio
import stat
from pathlib import Path

import pytest

from skerry.base import LimitReached, SkerryError
from skerry.objects import Objects, compaction, keys
from tests.objects.place import Ground, run


async def made(objects: Objects, name: str = "ann") -> str:
    """Make a user with a key; return the latter."""
    await keys.create_user(objects, name)
    return (await keys.create_key(objects, name)).access_key


def test_users_and_keys_outlive_a_restart_and_the_index(tmp_path: Path) -> None:
    found: list[str] = []

    async def first(objects: Objects, ground: Ground) -> None:
        found.append(await made(objects))
        await keys.put_policy(objects, "ann", "p", b"{}")
        await keys.set_active(objects, "ann", found[0], is_active=False)

    async def second(objects: Objects, ground: Ground) -> None:
        held = keys.holder(objects, found[0])
        assert held is not None
        assert (held.user.policies, held.key.is_active) == ({"p": b"{}"}, False)
        assert [user.name for user in keys.page(objects, "", 9)] == ["ann"]

    ground = run(tmp_path, first, second)
    ground.forget_index()

    async def again() -> None:
        async with ground.open() as objects:
            await second(objects, ground)

    asyncio.run(again())


def test_a_change_holds_at_once(tmp_path: Path) -> None:
    async def story(objects: Objects, ground: Ground) -> None:
        access_key = await made(objects)
        assert keys.holder(objects, access_key)
        await keys.set_active(objects, "ann", access_key, is_active=False)
        held = keys.holder(objects, access_key)
        assert held is not None
        assert not held.key.is_active
        await keys.put_policy(objects, "ann", "p", b"{}")
        held = keys.holder(objects, access_key)
        assert held is not None
        assert held.user.policies == {"p": b"{}"}
        await keys.delete_key(objects, "ann", access_key)
        assert keys.holder(objects, access_key) is None

    run(tmp_path, story)


def test_a_change_whose_caller_went_away_is_known_too(tmp_path: Path) -> None:
    async def story(objects: Objects, ground: Ground) -> None:
        access_key = await made(objects)
        assert keys.holder(objects, access_key)
        going = asyncio.ensure_future(keys.delete_key(objects, "ann", access_key))
        await asyncio.sleep(0)
        going.cancel()
        while objects.holders:
            await asyncio.sleep(0)
        assert keys.holder(objects, access_key) is None

    run(tmp_path, story)


def test_what_is_wrong_is_refused(tmp_path: Path) -> None:
    async def refused(doing: object) -> str:
        with pytest.raises(SkerryError) as caught:
            await doing  # type: ignore[misc]
        return caught.value.code

    async def story(objects: Objects, ground: Ground) -> None:
        access_key = await made(objects)
        await keys.create_user(objects, "bob")
        assert await refused(keys.create_user(objects, "ann")) == "user_exists"
        assert await refused(keys.create_user(objects, "root")) == "bad_user_name"
        for name in ("a b", access_key):
            assert await refused(keys.create_user(objects, name)) == "bad_user_name"
        assert await refused(keys.delete_user(objects, "ann")) == "user_in_use"
        assert await refused(keys.delete_user(objects, "eve")) == "no_such_user"
        assert await refused(keys.create_key(objects, "eve")) == "no_such_user"
        assert await refused(keys.delete_key(objects, "bob", access_key)) == "no_such_key_id"
        assert await refused(keys.put_policy(objects, "ann", "p", None)) == "no_such_user_policy"
        assert await refused(keys.put_policy(objects, "ann", "/", b"")) == "bad_policy_name"

    run(tmp_path, story)


def test_a_user_has_so_many_keys_and_policies(tmp_path: Path) -> None:
    async def story(objects: Objects, ground: Ground) -> None:
        await made(objects)
        for _ in range(keys.KEYS_MAX - 1):
            await keys.create_key(objects, "ann")
        with pytest.raises(LimitReached):
            await keys.create_key(objects, "ann")
        for number in range(3):
            await keys.put_policy(objects, "ann", f"p{number}", b" " * 20_000)
        with pytest.raises(LimitReached):
            await keys.put_policy(objects, "ann", "p3", b" " * 20_000)

    run(tmp_path, story)


def test_a_key_is_ended_on_a_full_disk_too(tmp_path: Path) -> None:
    async def story(objects: Objects, ground: Ground) -> None:
        access_key = await made(objects)

        def full(name: str) -> None:
            if name == "check room":
                raise LimitReached("data_full", "full")

        ground.disk.before = full
        with pytest.raises(LimitReached):
            await keys.create_key(objects, "ann")
        await keys.set_active(objects, "ann", access_key, is_active=False)
        await keys.delete_key(objects, "ann", access_key)
        assert keys.holder(objects, access_key) is None

    run(tmp_path, story)


def test_users_and_keys_are_kept_when_room_is_made(tmp_path: Path) -> None:
    ground, found = Ground(tmp_path), list[str]()

    async def story() -> None:
        async with ground.open(400) as objects:
            found.extend([await made(objects), await made(objects, "bob")])
            await keys.set_active(objects, "bob", found[1], is_active=False)
            for _ in range(20):
                await keys.put_policy(objects, "ann", "p", b" " * 200)
            while compaction.is_wanted(objects):
                await compaction.compact(objects)
            assert objects.disk.segments()[0] > 1
        ground.forget_index()
        async with ground.open(400) as objects:
            held = [keys.holder(objects, access_key) for access_key in found]
            assert [each.key.is_active for each in held if each] == [True, False]
            assert keys.find_user(objects, "ann").policies == {"p": b" " * 200}

    asyncio.run(story())


def test_secrets_are_for_the_owner_of_the_store_alone(tmp_path: Path) -> None:
    (tmp_path / "index.db").touch(0o644)  # as an older Skerry left it

    async def story(objects: Objects, ground: Ground) -> None:
        await made(objects)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("index.db*")}
        assert modes == {0o600}

    run(tmp_path, story)


def test_what_was_replaced_counts_as_dead(tmp_path: Path) -> None:
    async def story(objects: Objects, ground: Ground) -> None:
        access_key = await made(objects)
        await keys.set_active(objects, "ann", access_key, is_active=False)
        await keys.delete_key(objects, "ann", access_key)
        await keys.delete_user(objects, "ann")
        end, dead = objects.reader.execute(
            "SELECT place.offset, dead_bytes FROM place JOIN segments USING (segment)"
        ).fetchone()
        assert end == dead

    run(tmp_path, story)
