"""What a key may do: a pass for its account, and the SDK with that pass.

The daemon may be started again while the door lives. Its passes are worth nothing then, and new
ones are asked for; while it is away, who wants something waits a while.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

from skerry import client
from skerry.base import Denied, NotAvailable, NotFound, SkerryError, Unauthorized
from skerry.client import keys

_R = TypeVar("_R")

_RENEW_S = 30 * 60  # half of what a pass is good for
_PATIENCE_S = 5.0  # a daemon that is started again is back sooner, unless it has much to repair
_PAUSE_S = 0.1
_LIVES_MAX = 5000  # keys whose pass is remembered; each has a few idle connections at most
_GRACE_S = 2.0  # between SIGTERM and SIGKILL


@dataclass(slots=True)
class _Life:
    """A pass, and the SDK that sends it. made_at_s: by the loop's clock. uses: calls under way."""

    text: str
    cloud: client.Cloud
    made_at_s: float
    uses: int = 0
    is_over: bool = False


class Keys:
    """The keys that the daemon knows, asked on the administrator's socket."""

    def __init__(self, socket_path: Path) -> None:
        self._url = f"unix:{quote(str(socket_path))}"
        self._local = client.connect(self._url)
        self._lives: dict[str, _Life] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._lives:
            await self._forget(next(iter(self._lives)))
        await self._local.calls.close()

    async def account_of(self, fingerprint: str) -> str | None:
        """Return the account that a key lets in, None if nobody has the key.

        Raises NotAvailable while no daemon answers.
        """
        found = await patient(lambda: keys.list_all(self._local.calls, fingerprint))
        return found[0].account if found else None

    async def attempt(self, public_key: str, work: Callable[[client.Cloud], Awaitable[_R]]) -> _R:
        """Return what work returns, given the SDK with the rights of a key.

        work is tried again if a daemon that was started anew does not know the pass. Raises
        Denied(key_gone), NotAvailable, and what work raises.
        """
        try:
            async with self._life(public_key) as cloud:
                return await patient(lambda: work(cloud))
        except Unauthorized:
            await self._forget(public_key)
        async with self._life(public_key) as cloud:
            return await patient(lambda: work(cloud))

    async def end(self, public_key: str, box: str, session: client.Session) -> None:
        """End a session and all that it started, by a pass of now, and let go of it.

        The pass that it began with may have had its time. Where it cannot be done, the session's own
        rule for being left alone ends it.
        """
        with contextlib.suppress(SkerryError, TimeoutError):  # gone already, or as above
            await self.attempt(
                public_key, lambda cloud: cloud.box(box).kill(session.id, "TERM", grace=_GRACE_S)
            )
            async with asyncio.timeout(_GRACE_S):  # so that nobody keeps its end for us
                await session.wait()
        await session.detach()

    async def fresh_pass(self, public_key: str) -> str:
        """Return the text of a new pass. Raises Denied(key_gone), NotAvailable."""
        return (await self._renewed(public_key)).text

    @contextlib.asynccontextmanager
    async def _life(self, public_key: str) -> AsyncGenerator[client.Cloud]:
        life = self._lives.get(public_key)
        now_s = asyncio.get_running_loop().time()
        if life is None or now_s - life.made_at_s > _RENEW_S:
            life = await self._renewed(public_key)
        life.uses += 1
        try:
            yield life.cloud
        finally:
            life.uses -= 1
            if life.is_over and not life.uses:
                await life.cloud.calls.close()

    async def _renewed(self, public_key: str) -> _Life:
        try:
            made = await patient(lambda: keys.make_pass(self._local.calls, public_key))
        except NotFound:
            await self._forget(public_key)
            raise Denied(
                "key_gone", "Your key was deleted, or the token that it stood for. Log in again."
            ) from None
        await self._forget(public_key)
        while len(self._lives) >= _LIVES_MAX:
            await self._forget(next(iter(self._lives)))
        now_s = asyncio.get_running_loop().time()
        life = _Life(made.text, client.connect(self._url, made.text), now_s)
        self._lives[public_key] = life
        return life

    async def _forget(self, public_key: str) -> None:
        life = self._lives.pop(public_key, None)
        if life is not None:
            life.is_over = True
            if not life.uses:  # else whoever is in the middle of a call closes it
                await life.cloud.calls.close()


async def patient(work: Callable[[], Awaitable[_R]]) -> _R:
    """Return what work returns, tried again for a while when no daemon answers at all."""
    deadline_s = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        try:
            return await work()
        except NotAvailable as error:
            # Nothing was sent then, so that nothing is done twice.
            if error.code != "no_connection" or asyncio.get_running_loop().time() > deadline_s:
                raise
        await asyncio.sleep(_PAUSE_S)
