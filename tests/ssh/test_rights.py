"""What a key may do, while daemons come and go."""

import asyncio
from pathlib import Path

import pytest

from skerry import client
from skerry.base import Denied, NotAvailable, Unauthorized
from skerry.client import keys as calls
from skerry.ssh import rights
from skerry.ssh.rights import Keys
from tests.accounts.test_public_key import line
from tests.api.conftest import Served, served

__all__ = ["served"]

KEY = line("ssh-ed25519", bytes(32), comment="laptop")
TEXT = KEY.rpartition(" ")[0]


async def add(served: Served, scope: str) -> str:
    async with client.connect(served.url, served.tokens[scope]) as cloud:
        return (await calls.add(cloud.calls, KEY)).fingerprint


def test_a_key_has_the_account_of_its_token(served: Served) -> None:
    async def story() -> None:
        async with Keys(served.socket_path) as known:
            assert await known.account_of("SHA256:none") is None

            assert await known.account_of(await add(served, "write")) == "write"
            assert (await known.attempt(TEXT, lambda cloud: cloud.create("dev"))).name == "dev"
            with pytest.raises(Denied, match="needs admin"):
                await known.attempt(TEXT, lambda cloud: cloud.tokens())

    asyncio.run(story())


def test_a_pass_that_a_new_daemon_does_not_know_is_renewed(served: Served) -> None:
    async def story() -> None:
        await add(served, "write")
        tried: list[client.Cloud] = []

        async def work(cloud: client.Cloud) -> str:
            tried.append(cloud)
            if len(tried) == 1:
                raise Unauthorized("bad_token", "as a daemon says that was started anew")
            return (await cloud.version()).version

        async with Keys(served.socket_path) as known:
            assert await known.attempt(TEXT, work)
        assert tried[0] is not tried[1]

    asyncio.run(story())


def test_a_key_that_is_deleted_is_worth_nothing_at_once(served: Served) -> None:
    async def story() -> None:
        fingerprint = await add(served, "write")
        async with Keys(served.socket_path) as known:
            await known.attempt(TEXT, lambda cloud: cloud.boxes())
            async with client.connect(data=str(served.socket_path.parent)) as cloud:
                await calls.delete(cloud.calls, fingerprint)

            with pytest.raises(Denied, match="Log in again"):
                await known.attempt(TEXT, lambda cloud: cloud.boxes())

    asyncio.run(story())


def test_without_a_daemon_one_waits_and_then_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "_PATIENCE_S", 0.2)

    async def story() -> None:
        with pytest.raises(NotAvailable) as told:
            await Keys(tmp_path / "admin.sock").account_of("SHA256:none")
        assert told.value.code == "no_connection"

    asyncio.run(story())
