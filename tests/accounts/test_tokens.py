"""Tokens: told once, kept as a hash, found by their text, worthless once revoked."""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from skerry import accounts
from skerry.accounts import Accounts
from skerry.base import Invalid, NotFound, Unauthorized
from skerry.host.database import Database
from skerry.testing import HandClock

Story: TypeAlias = Callable[[Accounts], Awaitable[None]]
MINUTE_NS = 60 * 10**9


def tell(folder: Path, story: Story, clock: HandClock | None = None) -> None:
    database = Database.open(folder / "skerry.db", {"accounts": accounts.MIGRATIONS})
    known = Accounts(database=database, clock=clock or HandClock(), entropy=os.urandom)

    async def whole() -> None:
        await story(known)

    try:
        asyncio.run(whole())
    finally:
        database.close()


def test_a_token_is_known_by_its_text(tmp_path: Path) -> None:
    async def story(known: Accounts) -> None:
        token, text = await accounts.create(known, "ci", ("read",))

        found = await accounts.verify(known, text)

        assert (found.token_id, found.name, found.scopes) == (token.token_id, "ci", ("read",))
        assert text.startswith(f"skerry_{token.token_id}_")

    tell(tmp_path, story)


def test_the_secret_is_nowhere_on_disk(tmp_path: Path) -> None:
    secrets: list[str] = []

    async def story(known: Accounts) -> None:
        _, text = await accounts.create(known, "ci", ("read",))
        secrets.append(text.rpartition("_")[2])

    tell(tmp_path, story)

    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secrets[0].encode() not in kept
    assert bytes.fromhex(secrets[0]) not in kept


@pytest.mark.parametrize(
    "wrong", ["{text}0", " {text}", "{short}", "{id}", "{secret}", "skerry_{id}_{zeros}", "", "x"]
)
def test_a_text_that_is_not_quite_right_is_wrong(tmp_path: Path, wrong: str) -> None:
    async def story(known: Accounts) -> None:
        token, text = await accounts.create(known, "ci", ("read",))
        secret = text.rpartition("_")[2]
        parts = {"text": text, "short": text[:-1], "id": token.token_id, "secret": secret}

        with pytest.raises(Unauthorized):
            await accounts.verify(known, wrong.format(**parts, zeros="0" * len(secret)))

    tell(tmp_path, story)


def test_a_revoked_token_is_worthless(tmp_path: Path) -> None:
    async def story(known: Accounts) -> None:
        token, text = await accounts.create(known, "ci", ("read",))
        await accounts.revoke(known, token.token_id)

        with pytest.raises(Unauthorized):
            await accounts.verify(known, text)
        with pytest.raises(NotFound):
            await accounts.revoke(known, token.token_id)

    tell(tmp_path, story)


def test_a_use_is_written_down_at_most_once_a_minute(tmp_path: Path) -> None:
    clock = HandClock()

    async def story(known: Accounts) -> None:
        _, text = await accounts.create(known, "ci", ("read",))
        first_ns = clock.now_ns()
        await accounts.verify(known, text)
        clock.turn(MINUTE_NS)
        await accounts.verify(known, text)
        assert accounts.list_tokens(known)[0].last_used_at_ns == first_ns

        clock.turn(1)
        await accounts.verify(known, text)
        assert accounts.list_tokens(known)[0].last_used_at_ns == first_ns + MINUTE_NS + 1

    tell(tmp_path, story, clock)


def test_a_token_works_where_its_use_cannot_be_written_down(tmp_path: Path) -> None:
    async def story(known: Accounts) -> None:
        _, text = await accounts.create(known, "ci", ("read",))

        def refuse(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA query_only = 1")

        # Outside a transaction of its own a connection keeps this, as a full disk keeps on failing.
        await known.database.write(refuse)

        assert (await accounts.verify(known, text)).name == "ci"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ("read",)), ("a" * 64, ("read",)), ("a\n", ("read",)), ("a", ())]
)
def test_a_bad_token_is_not_made(
    tmp_path: Path, name: str, scopes: tuple[accounts.Scope, ...]
) -> None:
    async def story(known: Accounts) -> None:
        with pytest.raises(Invalid):
            await accounts.create(known, name, scopes)

        assert accounts.list_tokens(known) == []

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (("read",), ["read"]),
        (("write",), ["read", "write"]),
        (("admin",), ["read", "write", "admin"]),
        (("read", "write"), ["read", "write"]),
        ((), []),
    ],
)
def test_a_scope_allows_what_stands_below_it(
    scopes: tuple[accounts.Scope, ...], allowed: list[str]
) -> None:
    every: tuple[accounts.Scope, ...] = ("read", "write", "admin")

    assert [each for each in every if accounts.scope_allows(scopes, each)] == allowed
