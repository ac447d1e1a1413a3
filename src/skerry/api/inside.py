"""The calls that programs in a box may make, over the socket that Skerry shows them there.

The socket says which box it is: nobody logs in, and a box is told of itself alone. Each call is one
of the API's own, for this box; what is not in the list below is not there.
"""

import asyncio
import contextlib
import functools
import re
import socket
from collections.abc import Callable, Generator, Hashable
from dataclasses import replace
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from skerry import __version__, wire
from skerry.api.edge import Edge
from skerry.api.errors import response_of
from skerry.api.limits import Limits
from skerry.api.protocol import HttpProtocol, Unfinished, config_of
from skerry.base import LimitReached, NotFound, SkerryError
from skerry.boxes import Boxes

_BOX = "skerry.box"
_CONNECTIONS_MAX = 32  # of one box
_AT_ONCE_MAX = 8  # requests of one box
_PER_SECOND_MAX = 50  # of one box, on the average
_HEADER_BYTES_MAX = 64 << 10
_BACKLOG = 32
# A part of a path: no name that means another directory, and nothing that is written with %.
_NAME = r"(?!\.+(?:/|$))[A-Za-z0-9._-]{1,64}"
_ALLOWED: tuple[tuple[str, str, str], ...] = (
    ("GET", "/why", "/why"),
    ("GET", "/policy/network", "/policy/network"),
    ("GET", "/policy/network/log", "/policy/network/log"),
    ("GET", "/services", "/services"),
    ("POST", "/services/signal", "/services/signal"),
    ("GET PUT DELETE", f"/services/(?P<a>{_NAME})", "/services/{a}"),
    ("POST", f"/services/(?P<a>{_NAME})/(?P<b>start|stop|restart)", "/services/{a}/{b}"),
    ("GET", f"/services/(?P<a>{_NAME})/logs", "/services/{a}/logs"),
    ("POST", "/checkpoint", "/checkpoint"),
    ("GET", "/checkpoints", "/checkpoints"),
    ("GET DELETE", f"/checkpoints/(?P<a>{_NAME})", "/checkpoints/{a}"),
    ("POST", f"/checkpoints/(?P<a>{_NAME})/restore", "/checkpoints/{a}/restore"),
    ("GET POST", "/tasks", "/holds"),
    ("GET PUT DELETE", f"/tasks/(?P<a>{_NAME})", "/holds/{a}"),
)
_PATTERNS = tuple((methods.split(), re.compile(path), to) for methods, path, to in _ALLOWED)


def outside_path(method: str, path: str) -> str | None:
    """Return what a call from inside is below a box's own path outside, None if there is none."""
    path = path.removeprefix("/v1")
    for methods, pattern, to in _PATTERNS:
        match = pattern.fullmatch(path)
        if match is not None and method in methods:
            return to.format(**match.groupdict())
    return None


class Inside:
    """The application behind the sockets of all boxes. edge: the one of the administrator."""

    def __init__(self, edge: Edge, boxes: Boxes) -> None:
        self._edge = edge
        self._boxes = boxes
        self._rates: dict[str, _Rate] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of a box."""
        box_id: str = scope[_BOX]
        rate = self._rates.setdefault(box_id, _Rate())
        try:
            with rate.one(self._boxes.clock.monotonic_ns()):
                await self._answer(box_id, scope, receive, send)
        except SkerryError as error:
            await response_of(error)(scope, receive, send)

    def forget(self, box_id: str) -> None:
        """Forget how often a box that is gone has asked."""
        self._rates.pop(box_id, None)

    async def _answer(self, box_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        box = self._boxes.find_id(box_id)
        path: str = scope["path"]
        if scope["method"] == "GET" and path in ("/info", "/v1/info"):
            await self._info(box_id)(scope, receive, send)
            return
        to = outside_path(scope["method"], path)
        if to is None:
            raise NotFound("no_such_call", "There is no such call in a box. See /.skerry/llm.txt.")
        whole = f"/v1/boxes/{box.name}{to}"
        inner = {**scope, "path": whole, "raw_path": whole.encode(), "root_path": ""}
        await self._edge(inner, receive, send)

    def _info(self, box_id: str) -> Response:
        view = self._boxes.view(self._boxes.find_id(box_id))
        told = wire.InsideInfo(
            version=__version__,
            name=view.box.name,
            id=box_id,
            url=view.url,
            image=view.box.image,
            sprite_name=view.box.name,
            sprite_id=box_id,
            sprite_url=view.url,
        )
        return Response(msgspec.json.encode(told), media_type="application/json")


class _Rate:
    """How many requests of a box are under way, and how many it may still make in this moment."""

    def __init__(self) -> None:
        self._under_way = 0
        self._left = float(_PER_SECOND_MAX)
        self._seen_ns = 0

    @contextlib.contextmanager
    def one(self, now_ns: int) -> Generator[None]:
        """Count a request. Raises LimitReached(too_many_calls)."""
        self._left += (now_ns - self._seen_ns) / 1e9 * _PER_SECOND_MAX
        self._left, self._seen_ns = min(self._left, _PER_SECOND_MAX), now_ns
        if self._under_way >= _AT_ONCE_MAX or self._left < 1:
            raise LimitReached("too_many_calls", "This box calls too often. Try again in a second.")
        self._left -= 1
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


class InsideProtocol(HttpProtocol):
    """One connection from inside a box."""

    box_id = ""

    def on_headers_complete(self) -> None:
        """Hand a request with its headers on, and say which box it is from."""
        super().on_headers_complete()
        self.scope[_BOX] = self.box_id  # pyright: ignore[reportGeneralTypeIssues] - as above

    def handle_websocket_upgrade(self) -> None:
        """Refuse it: there are none inside."""
        self._refuse(404, "no_such_call", "There are no WebSockets in a box.")


class InsideDoors:
    """The sockets in boxes: one for each that there is, whether it runs or not.

    listen: makes the socket of a box, by its id.
    """

    def __init__(
        self, edge: Edge, boxes: Boxes, limits: Limits, listen: Callable[[str], socket.socket]
    ) -> None:
        self._boxes = boxes
        self._listen = listen
        self._limits = replace(
            limits, connections_max=_CONNECTIONS_MAX, header_bytes_max=_HEADER_BYTES_MAX
        )
        self._app = Inside(edge, boxes)
        self._config = config_of(self._app, self._limits)
        self._clock = edge.clock
        self._unfinished = Unfinished(16 << 20)
        self._servers: dict[str, tuple[asyncio.Server, ServerState]] = {}
        self._wanted: asyncio.Queue[str] = asyncio.Queue()

    async def run(self) -> None:
        """Have a socket for each box there is, until cancelled."""
        self._boxes.turns.ended.append(self._turn_ended)
        for box_id in self._boxes.running:
            self._wanted.put_nowait(box_id)
        try:
            while True:
                await self._settle(await self._wanted.get())
        finally:
            self._boxes.turns.ended.remove(self._turn_ended)
            for box_id in list(self._servers):
                self._close(box_id)

    def _turn_ended(self, key: Hashable) -> None:
        if isinstance(key, str) and key.startswith("box_"):
            self._wanted.put_nowait(key)

    async def _settle(self, box_id: str) -> None:
        try:
            self._boxes.find_id(box_id)
        except NotFound:
            self._close(box_id)
            return
        if box_id in self._servers or box_id not in self._boxes.running:
            return
        state = ServerState()
        protocol = functools.partial(
            _of_box, box_id, self._config, state, self._limits, self._clock, self._unfinished
        )
        try:
            made = self._listen(box_id)
            server = await asyncio.get_running_loop().create_unix_server(
                protocol, sock=made, backlog=_BACKLOG
            )
        except OSError:  # no descriptors, or a full disk: the end of its next turn tries again
            return
        self._servers[box_id] = (server, state)

    def _close(self, box_id: str) -> None:
        server, state = self._servers.pop(box_id, (None, None))
        self._app.forget(box_id)
        if server is not None and state is not None:
            server.close()
            for connection in list(state.connections):
                connection.transport.abort()


def _of_box(box_id: str, *arguments: Any) -> InsideProtocol:  # noqa: ANN401 - as the protocol has them
    made = InsideProtocol(*arguments)
    made.box_id = box_id
    return made
