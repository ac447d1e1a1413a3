"""The ASGI application: who asks, which operation, and every error as an answer.

Pure ASGI around Starlette's router: its own middleware classes cost more than a whole exec may.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from skerry import accounts
from skerry.api.errors import bad_method, mistake, response_of
from skerry.api.logins import FailedLogins
from skerry.api.routing import Call, Operation, Services, Socket
from skerry.base import Clock, Denied, NotAvailable, NotFound, SkerryError, Unauthorized

# What the Sprites SDKs look at to know which calls a server understands.
PROTOCOL_VERSION = "0.0.1-rc46"
HEADERS = (
    (b"sprite-version", PROTOCOL_VERSION.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)

_HANGING_UP = (ClientDisconnect, ClientDisconnected, WebSocketDisconnect)
_HEAR_OUT_S, _HEAR_NEXT_S = 30, 1  # for the rest of a body that is refused, and each piece of it
_FIRST_MESSAGES = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class Edge:
    """The application of one listening socket.

    trusted: whoever reaches it is the administrator, or acts for whom the token or pass that it
    sends is of. So a door has the rights of whom it lets in, and no more.
    """

    def __init__(
        self,
        services: Services,
        operations: Sequence[Operation],
        sockets: Sequence[Socket],
        logins: FailedLogins,
        *,
        trusted: bool,
    ) -> None:
        self._services = services
        self._logins = logins
        self._trusted = trusted
        by_path: dict[str, dict[str, Operation]] = {}
        for operation in (each for each in operations if trusted or not each.local):
            for path in paths_of(operation.path):
                by_path.setdefault(path, {})[operation.method] = operation
        routes: list[BaseRoute] = [
            Route(path, _OnePath(self, by_method)) for path, by_method in by_path.items()
        ]
        routes += [
            WebSocketRoute(path, _OneSocket(self, each))
            for each in sockets
            for path in paths_of(each.path)
        ]
        self._router = Router(routes, redirect_slashes=False, default=_unknown)

    @property
    def clock(self) -> Clock:
        """The clock that everything behind this edge goes by."""
        return self._services.boxes.clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or WebSocket."""
        await answered(self._router, scope, receive, send)

    async def answer(self, operation: Operation, scope: Scope, receive: Receive) -> Response:
        """Return the response to a call, if whoever asks may make it."""
        token = await self._authorize(scope, operation.scope)
        self._confine(token, scope, heeds_account=operation.heeds_account)
        return await operation.handler(Call(Request(scope, receive), self._services, token))

    async def converse(self, each: Socket, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket, if whoever asks may open it."""
        token = await self._authorize(scope, each.scope)
        self._confine(token, scope, heeds_account=False)
        await each.handler(WebSocket(scope, receive, send), self._services)

    async def _authorize(self, scope: Scope, needed: accounts.Scope | None) -> accounts.Token:
        """Return the token of whoever asks. Raises Unauthorized, Denied."""
        header = next((v for k, v in scope["headers"] if k == b"authorization"), None)
        if needed is None or (self._trusted and header is None):
            return accounts.LOCAL
        client = scope["client"][0] if scope.get("client") else "unknown"
        header = header or b""
        kind, _, text = header.decode("latin-1").partition(" ")
        if kind.lower() != "bearer":
            raise Unauthorized(
                "no_token", "Send a token as 'Authorization: Bearer ...'. `skerry token create` "
                "on the machine itself makes one."
            )  # fmt: skip
        try:
            token = await accounts.verify(self._services.accounts, text.strip())
        except Unauthorized:
            # A right token is never kept waiting: many may stand behind one address. And a door
            # whose passes a restart made worthless is no guesser.
            if not self._trusted:
                self._logins.failed(client)
            raise
        if not accounts.scope_allows(token.scopes, needed):
            raise Denied(
                "scope_missing", f"The token {token.name!r} may not do this: it needs {needed}.",
                {"needed": needed},
            )  # fmt: skip
        return token

    def _confine(self, token: accounts.Token, scope: Scope, *, heeds_account: bool) -> None:
        """Have no box be there but the token's own, if it is confined to these.

        What is in no box, and does not heed the account, is not for it. Raises
        NotFound(box_not_found), Denied(scope_missing).
        """
        account = token.confined_to
        if account is None:
            return
        parts: dict[str, str] = scope["path_params"]
        if "name" in parts:
            # By its id from here on: whoever gets the name meanwhile is not the one that was looked at.
            parts["name"] = self._services.boxes.find(parts["name"], account).box_id
        elif not heeds_account:
            raise Denied(
                "scope_missing",
                f"The token {token.name!r} may not do this: it is for its own boxes only.",
            )


class _OnePath:
    """All calls at one path. An instance, because Starlette takes a function for a handler."""

    def __init__(self, edge: Edge, operations: Mapping[str, Operation]) -> None:
        self._edge = edge
        self._operations = operations
        self._methods = [*operations, "HEAD"] if "GET" in operations else [*operations]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the call of the request's method."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method not in self._operations:
            raise bad_method(scope["method"], self._methods)
        response = await self._edge.answer(self._operations[method], scope, receive)
        await response(scope, receive, send)


class _OneSocket:
    """The WebSocket at one path."""

    def __init__(self, edge: Edge, each: Socket) -> None:
        self._edge = edge
        self._socket = each

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        await self._edge.converse(self._socket, scope, receive, send)


async def answered(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Have app answer one request or WebSocket; what it raises is told as an answer too."""
    out = _Answer(receive, send)
    try:
        try:
            await app(scope, out.receive, out.send)
        except SkerryError as error:
            await out.tell(error, scope)
        except _HANGING_UP:
            raise
        except asyncio.CancelledError:  # by the server alone, which ends what is under way
            stopping = NotAvailable("stopping", "The daemon is being stopped. Try again soon.")
            await out.tell(stopping, scope)
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: strangers get no traceback
            await out.tell(mistake(error), scope)
    except _HANGING_UP:
        return


def paths_of(path: str) -> list[str]:
    """Return where a path of the table is served: boxes answer to the Sprites' name too."""
    if path.startswith("/boxes"):
        return ["/v1" + path, "/v1/sprites" + path.removeprefix("/boxes")]
    return [path if path in ("/openapi.json", "/healthz") else "/v1" + path]


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
    raise NotFound("no_such_call", "There is nothing at this path. /openapi.json lists all calls.")


class _Answer:
    """The way out of one request: adds the headers that every answer has, and tells errors."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._begun = False
        self._body_read = False

    async def receive(self) -> Message:
        """Receive one ASGI message."""
        message = await self._receive()
        self._body_read = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send one ASGI message."""
        if message["type"] in _FIRST_MESSAGES:
            message["headers"] = [*message.get("headers", ()), *HEADERS]
            self._begun = True
        await self._send(message)

    async def tell(self, error: SkerryError, scope: Scope) -> None:
        """Send an error. An answer that has begun can only be cut short, which the server does."""
        if self._begun:
            return
        response = response_of(error)
        if scope["type"] == "websocket":
            await WebSocket(scope, self.receive, self.send).send_denial_response(response)
            return
        start = {"status": response.status_code, "headers": response.raw_headers}
        await self.send({"type": "http.response.start", **start})
        await self.send({"type": "http.response.body", "body": response.body, "more_body": True})
        if not any(name == b"expect" for name, _ in scope["headers"]):
            await self._hear_out()
        await self.send({"type": "http.response.body"})

    async def _hear_out(self) -> None:
        """Drop the rest of the body: a client that still sends it would not read what it is told.

        If we closed before it has sent all, its system would throw away our answer.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HEAR_OUT_S):
                while not self._body_read:
                    async with asyncio.timeout(_HEAR_NEXT_S):
                        await self.receive()
