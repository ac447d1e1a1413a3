"""The ASGI application: who asks, which operation, and every error as an answer.

Pure ASGI around Starlette's router: its own middleware classes cost more than a whole exec may.
"""

import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from skerry import accounts
from skerry.api.errors import response_of
from skerry.api.logins import FailedLogins
from skerry.api.routing import Call, Operation, Services, Socket
from skerry.base import Denied, Failed, Invalid, NotFound, SkerryError, Unauthorized

# What the Sprites SDKs look at to know which calls a server understands.
PROTOCOL_VERSION = "0.0.1-rc46"
_HEADERS = [
    (b"sprite-version", PROTOCOL_VERSION.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]

_FIRST_MESSAGES = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class Edge:
    """The application of one listening socket; trusted: whoever reaches it is the administrator."""

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
        routes: list[BaseRoute] = []
        for operation in operations:
            routes += [
                Route(path, self._endpoint(operation), methods=[operation.method])
                for path in paths_of(operation.path)
            ]
        for socket in sockets:
            routes += [
                WebSocketRoute(path, self._socket_endpoint(socket))
                for path in paths_of(socket.path)
            ]
        self._router = Router(routes, redirect_slashes=False, default=_unknown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or WebSocket."""
        scope["app"] = (
            self  # makes the router raise what is wrong instead of answering in plain text
        )
        out = _Answer(send)
        try:
            await self._router(scope, receive, out.send)
        except ClientDisconnect:
            return
        except SkerryError as error:
            await out.tell(error, scope, receive)
        except HTTPException as error:
            assert error.status_code == 405, "the router knows of no other error"
            wrong = Invalid("bad_method", f"This path does not take {scope['method'][:20]}.")
            await out.tell(wrong, scope, receive)
        except Exception:  # noqa: BLE001 - the last resort: a stranger gets no traceback, the log does
            traceback.print_exc(file=sys.stderr)
            error = Failed("internal", "Skerry made a mistake here. Its log has the details.")
            await out.tell(error, scope, receive)

    def _endpoint(self, operation: Operation) -> ASGIApp:
        async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
            await self._authorize(scope, operation.scope)
            call = Call(Request(scope, receive), self._services)
            response = await operation.handler(call)
            await response(scope, receive, send)

        return _AsgiEndpoint(endpoint)

    def _socket_endpoint(self, socket: Socket) -> ASGIApp:
        async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
            await self._authorize(scope, socket.scope)
            await socket.handler(WebSocket(scope, receive, send), self._services)

        return _AsgiEndpoint(endpoint)

    async def _authorize(self, scope: Scope, needed: accounts.Scope | None) -> None:
        if self._trusted or needed is None:
            return
        client = scope["client"][0] if scope.get("client") else "unknown"
        self._logins.check(client)
        header = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
        kind, _, text = header.decode("latin-1").partition(" ")
        if kind.lower() != "bearer":
            raise Unauthorized(
                "no_token", "Send a token as 'Authorization: Bearer ...'. `skerry token create` "
                "on the machine itself makes one."
            )  # fmt: skip
        try:
            token = await accounts.verify(self._services.accounts, text.strip())
        except Unauthorized:
            self._logins.failed(client)
            raise
        if not accounts.scope_allows(token.scopes, needed):
            raise Denied(
                "scope_missing", f"The token {token.name!r} may not do this: it needs {needed}.",
                {"needed": needed},
            )  # fmt: skip


class _AsgiEndpoint:
    """Starlette takes an instance for an ASGI application, a function for a handler."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def paths_of(path: str) -> list[str]:
    """Return where a path of the table is served: boxes answer to the Sprites' name too."""
    if path.startswith("/boxes"):
        return ["/v1" + path, "/v1/sprites" + path.removeprefix("/boxes")]
    return [path if path in ("/openapi.json", "/healthz") else "/v1" + path]


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotFound("no_such_call", "There is nothing at this path. /openapi.json lists all calls.")


class _Answer:
    """The way out of one request: adds the headers that every answer has, and tells errors."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False

    async def send(self, message: Message) -> None:
        """Send one ASGI message."""
        if message["type"] in _FIRST_MESSAGES:
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
            self._begun = True
        await self._send(message)

    async def tell(self, error: SkerryError, scope: Scope, receive: Receive) -> None:
        """Send an error; where an answer has begun already it can only be cut short."""
        if self._begun:
            raise error
        response = response_of(error)
        if error.code == "bad_method":
            response.status_code = 405
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, self.send).send_denial_response(response)
        else:
            await response(scope, receive, self.send)
