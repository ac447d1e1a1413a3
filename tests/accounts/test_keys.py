"""Keys stand for tokens, and passes for keys, as they are at each use."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from skerry import accounts
from skerry.accounts import LOCAL, Accounts, Token
from skerry.base import Conflict, Invalid, LimitReached, NotFound, Unauthorized
from skerry.host.database import Database
from skerry.testing import HandClock
from tests.accounts.test_public_key import line

Story: TypeAlias = Callable[[Accounts, HandClock], Awaitable[None]]


def tell(folder: Path, story: Story) -> None:
    database = Database.open(folder / "skerry.db", {"accounts": accounts.MIGRATIONS})
    clock = HandClock()
    known = Accounts(database=database, clock=clock, entropy=os.urandom)

    async def whole() -> None:
        await story(known, clock)

    try:
        asyncio.run(whole())
    finally:
        database.close()


def key(number: int = 0) -> str:
    return line("ssh-ed25519", number.to_bytes(32, "big"), comment=f"key {number}")


async def token(known: Accounts, name: str = "ci", scope: accounts.Scope = "write") -> Token:
    return (await accounts.create(known, name, (scope,)))[0]


def test_a_pass_has_the_rights_of_the_keys_token(tmp_path: Path) -> None:
    async def story(known: Accounts, clock: HandClock) -> None:
        owner = await token(known)
        await accounts.add_key(known, owner, key(), None)

        _, text, found = accounts.make_pass(known, key())

        assert found.name == "ci"
        judged = await accounts.verify(known, text)
        assert (judged.token_id, judged.scopes) == (owner.token_id, ("write",))

    tell(tmp_path, story)


def test_the_administrators_key_needs_no_token(tmp_path: Path) -> None:
    async def story(known: Accounts, clock: HandClock) -> None:
        await accounts.add_key(known, LOCAL, key(), "mine")

        _, text, _ = accounts.make_pass(known, key())

        assert await accounts.verify(known, text) is LOCAL
        assert [each.account for each in accounts.list_keys(known)] == ["local"]

    tell(tmp_path, story)


def test_a_pass_ends_with_its_hour_its_key_and_its_token(tmp_path: Path) -> None:
    async def story(known: Accounts, clock: HandClock) -> None:
        owner = await token(known)
        for number in range(3):
            await accounts.add_key(known, owner, key(number), None)
        passes = [accounts.make_pass(known, key(number))[1] for number in range(2)]
        await accounts.delete_key(known, owner, "key 0")
        with pytest.raises(Unauthorized):
            await accounts.verify(known, passes[0])

        clock.turn(accounts.PASS_NS)
        with pytest.raises(Unauthorized):
            await accounts.verify(known, passes[1])

        last = accounts.make_pass(known, key(2))[1]
        await accounts.revoke(known, owner.token_id)
        with pytest.raises(Unauthorized):
            await accounts.verify(known, last)
        assert accounts.list_keys(known) == []
        with pytest.raises(NotFound):
            accounts.make_pass(known, key(2))

    tell(tmp_path, story)


def test_a_text_that_is_not_quite_a_pass_is_wrong(tmp_path: Path) -> None:
    async def story(known: Accounts, clock: HandClock) -> None:
        await accounts.add_key(known, LOCAL, key(), None)
        made, text, _ = accounts.make_pass(known, key())
        zeros = f"skerry_{made.pass_id}_{'0' * 64}"
        for wrong in (text[:-1], text + "0", zeros, text.upper(), f"x{text}"):
            with pytest.raises(Unauthorized):
                await accounts.verify(known, wrong)

    tell(tmp_path, story)


def test_of_too_many_passes_the_oldest_go(tmp_path: Path) -> None:
    async def story(known: Accounts, clock: HandClock) -> None:
        await accounts.add_key(known, LOCAL, key(), None)
        first = accounts.make_pass(known, key())[1]
        for _number in range(accounts.PASSES_MAX - 1):
            accounts.make_pass(known, key())
        last = accounts.make_pass(known, key())[1]

        assert len(known.passes) == accounts.PASSES_MAX
        with pytest.raises(Unauthorized):
            await accounts.verify(known, first)
        await accounts.verify(known, last)

    tell(tmp_path, story)


def test_a_key_belongs_to_one_account(tmp_path: Path) -> None:
    async def story(known: Accounts, clock: HandClock) -> None:
        first, other = await token(known), await token(known, "other")
        made = await accounts.add_key(known, first, key(), None)

        assert await accounts.add_key(known, first, key(), None) == made
        with pytest.raises(Conflict, match="another account"):
            await accounts.add_key(known, other, key(), None)
        with pytest.raises(Conflict, match="already"):
            await accounts.add_key(known, first, key(), "again")

    tell(tmp_path, story)


def test_nobody_sees_or_deletes_what_belongs_to_others(tmp_path: Path) -> None:
    async def story(known: Accounts, clock: HandClock) -> None:
        first, namesake = await token(known), await token(known)
        made = await accounts.add_key(known, first, key(), None)

        assert accounts.list_keys(known, namesake) == []
        for name in (made.name, made.fingerprint):
            with pytest.raises(NotFound):
                await accounts.delete_key(known, namesake, name)
        with pytest.raises(NotFound):
            await accounts.delete_key(known, LOCAL, made.name)
        await accounts.delete_key(known, LOCAL, made.fingerprint)

    tell(tmp_path, story)


def test_names_and_numbers_have_limits(tmp_path: Path) -> None:
    async def story(known: Accounts, clock: HandClock) -> None:
        for name in ("a\n", " a", "a" * 64):
            with pytest.raises(Invalid, match="printable"):
                await accounts.add_key(known, LOCAL, key(), name)
        for number in range(accounts.KEYS_MAX):
            await accounts.add_key(known, LOCAL, key(number), None)
        with pytest.raises(Conflict, match="Choose another name"):
            await accounts.add_key(known, LOCAL, key(1000), "key 0")
        with pytest.raises(LimitReached):
            await accounts.add_key(known, LOCAL, key(1000), None)

    tell(tmp_path, story)


def test_a_key_without_a_comment_is_called_by_its_fingerprint(tmp_path: Path) -> None:
    async def story(known: Accounts, clock: HandClock) -> None:
        made = await accounts.add_key(known, LOCAL, key().rsplit(" ", 2)[0], None)

        assert made.fingerprint == f"SHA256:{made.name}"

    tell(tmp_path, story)


def test_a_use_of_a_pass_is_a_use_of_its_key(tmp_path: Path) -> None:
    async def story(known: Accounts, clock: HandClock) -> None:
        await accounts.add_key(known, LOCAL, key(), None)
        text = accounts.make_pass(known, key())[1]
        clock.turn(60 * 10**9 + 1)

        await accounts.verify(known, text)

        assert accounts.list_keys(known)[0].last_used_at_ns == clock.now_ns()

    tell(tmp_path, story)
