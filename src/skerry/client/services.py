"""The services of a box."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from skerry import wire
from skerry.base import Failed
from skerry.client.calls import Calls, path_of


class Services:
    """The services of one box: commands that it keeps running.

    Every call raises NotFound(box_not_found, service_not_found), NotAvailable(no_connection,
    connection_lost, timed_out).
    """

    def __init__(self, calls: Calls, box: str) -> None:
        self._calls = calls
        self._box = box

    def _path(self, *parts: str) -> str:
        return path_of("boxes", self._box, "services", *parts)

    async def list(self) -> list[wire.ServiceShape]:
        """Return the services and what they do now."""
        return await self._calls.ask(list[wire.ServiceShape], "GET", self._path())

    async def get(self, name: str) -> wire.ServiceShape:
        """Return a service and what it does now."""
        return await self._calls.ask(wire.ServiceShape, "GET", self._path(name))

    async def put(
        self,
        name: str,
        *argv: str,
        env: Mapping[str, str] | None = None,
        dir: str | None = None,  # noqa: A002 - the word of the protocol
        user: str | None = None,
        needs: Sequence[str] = (),
        http_port: int | None = None,
        ready_path: str | None = None,
    ) -> None:
        """Make or change a service, and start it. argv: the command, through no shell.

        Raises Invalid(bad_name, bad_service, bad_needs), Conflict(http_port_taken), LimitReached.
        """
        cmd, *args = argv
        body = wire.PutService(
            cmd=cmd, args=args, env=dict(env or {}), dir=dir, user=user, needs=[*needs],
            http_port=http_port, ready_path=ready_path,
        )  # fmt: skip
        await self._told("PUT", self._path(name), body)

    async def start(self, name: str) -> None:
        """Start it and what it needs; from now on it comes back with its box."""
        await self._told("POST", self._path(name, "start"))

    async def stop(self, name: str) -> None:
        """End it; it stays ended until it is started."""
        await self._told("POST", self._path(name, "stop"))

    async def restart(self, name: str) -> None:
        """End it and start it."""
        await self._told("POST", self._path(name, "restart"))

    async def signal(self, name: str, signal: str) -> None:
        """Send it a signal, such as `HUP`. Raises Conflict(service_not_running)."""
        body = wire.SignalService(name=name, signal=signal)
        await self._calls.tell("POST", self._path("signal"), body=body)

    async def delete(self, name: str) -> None:
        """End it and forget it, its log too."""
        await self._calls.tell("DELETE", self._path(name))

    def logs(
        self, name: str, *, lines: int = 100, follow: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[wire.ServiceEvent]]:
        """Give a block the last lines of its log; follow: and what comes, for ever."""
        query = [("lines", str(lines)), ("follow", "true" if follow else "false")]

        @asynccontextmanager
        async def opened() -> AsyncGenerator[AsyncIterator[wire.ServiceEvent]]:
            async with self._calls.open(
                "GET", self._path(name, "logs"), query=query, limit_seconds=None
            ) as response:
                yield _events(response.pieces())

        return opened()

    async def _told(self, method: str, path: str, body: msgspec.Struct | None = None) -> None:
        """Make a call that changes a service, and hear it out."""
        async with self._calls.open(
            method, path, query=[("duration", "0")],
            body=b"" if body is None else msgspec.json.encode(body), limit_seconds=None,
        ) as response:  # fmt: skip
            async for event in _events(response.pieces()):
                if event.type == "error":
                    raise Failed("service_failed", event.data or "The service failed.")


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[wire.ServiceEvent]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line:
                yield msgspec.json.decode(line, type=wire.ServiceEvent)
