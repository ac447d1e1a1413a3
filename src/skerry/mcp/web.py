"""Agents anywhere, over streamable HTTP at `/mcp`, each with the token that it sends.

No token of this process's own is ever used for a caller, and a session belongs to the token that
opened it. What a call does is not known here.
"""

import asyncio
import contextlib
import hashlib
import logging
import re
from collections.abc import AsyncGenerator, Callable, Sequence

import msgspec
import uvicorn
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, AuthorizationContext
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from skerry import client, wire
from skerry.base import Invalid, NotAvailable, SkerryError, Unauthorized
from skerry.client.calls import path_of
from skerry.mcp.server import Callers, Context, build

PATH = "/mcp"
_CONNECTIONS_MAX = 512
_SESSIONS_MAX, _SESSIONS_OF_ONE_MAX = 512, 64  # of all tokens, and of one
_IDLE_S = 30 * 60  # a session that nobody uses ends then, and what it runs with it
_BODY_BYTES_MAX = 8 << 20  # the largest file that is written, as JSON writes it at worst
_HEAD_S_MAX, _BODY_S_MAX = 20, 60  # in which a request's head must be here; and no byte comes
_HEAD_BYTES_MAX = 64 << 10
_STOP_S = 3
_SESSION_HEADER = b"mcp-session-id"

# Whatever could be a token; the daemon says whether it is one.
_BEARER = re.compile(rb"bearer +([!-~]{1,256})", re.IGNORECASE)

Opened = Callable[[str], client.Cloud]


async def serve_web(
    opened: Opened,
    *,
    listen: str,
    hosts: Sequence[str],
    ready: Callable[[str], None],
) -> None:
    """Answer until cancelled. opened: returns the Skerry with the rights of a token.

    hosts: names beside those of this machine under which we are reached, so that a page in
    somebody's browser cannot reach us under another. ready is told the address. Raises
    Invalid(bad_address), NotAvailable(address_in_use).
    """
    address, port = _split(listen)
    state = ServerState()
    _quieten()
    manager = _Sessions(
        build(_callers(opened)),
        security_settings=_security([*hosts, address]),
        session_idle_timeout=_IDLE_S,
        max_request_body_size=_BODY_BYTES_MAX,
        max_sessions=_SESSIONS_MAX,
    )
    config = uvicorn.Config(
        Door(opened, manager), interface="asgi3", http="httptools", ws="none", lifespan="off",
        log_config=None, log_level="critical", access_log=False, server_header=False,
        proxy_headers=False,
    )  # fmt: skip
    config.load()
    try:  # before the manager's task group, which would wrap the error
        server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(config, state), address, port, start_serving=False
        )
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "that is no address"
        raise NotAvailable(
            "address_in_use", f"Skerry cannot listen on {listen}: {reason}. Choose another."
        ) from None
    async with manager.run():
        try:
            await server.start_serving()
            host = f"[{address}]" if ":" in address else address
            ready(f"http://{host}:{server.sockets[0].getsockname()[1]}{PATH}")
            await asyncio.Event().wait()
        finally:
            server.close()
            await _end(state)


async def _end(state: ServerState) -> None:
    """Close all connections; what was asked on them is cancelled."""
    for task in list(state.tasks):
        task.cancel()
    if state.tasks:
        await asyncio.wait(state.tasks, timeout=_STOP_S)
    for connection in list(state.connections):
        connection.transport.abort()


def _callers(opened: Opened) -> Callers:
    @contextlib.asynccontextmanager
    async def opened_for(context: Context) -> AsyncGenerator[client.Cloud]:
        async with opened(_token_of(context)) as cloud:
            yield cloud

    return Callers(lambda context: _caller(_token_of(context)), opened_for)


def _token_of(context: Context) -> str:
    """Return the token of the request that a call came with."""
    assert context.request is not None, "over HTTP every call comes with a request"
    token = _token_in(context.request.scope)
    assert token is not None, "who sends none is not let in"
    return token


def _token_in(scope: Scope) -> str | None:
    sent = [value for name, value in scope["headers"] if name == b"authorization"]
    match = _BEARER.fullmatch(sent[0]) if len(sent) == 1 else None
    return match[1].decode() if match else None


def _caller(token: str) -> str:
    """Return what tells a token from others, and is none."""
    return hashlib.sha256(token.encode()).hexdigest()


class Door:
    """The ASGI application: lets in who has a token, and hands on to the protocol's own."""

    def __init__(self, opened: Opened, manager: StreamableHTTPSessionManager) -> None:
        self._opened = opened
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._admit(scope)
        except SkerryError as error:
            await _refusal(error)(scope, receive, send)
            return
        if scope["path"] != PATH:
            text = f"There is nothing here. Agents connect to {PATH}."
            await Response(text, 404, media_type="text/plain")(scope, receive, send)
            return
        await self._manager.handle_request(scope, _Body(receive), send)

    async def _admit(self, scope: Scope) -> None:
        """Note whose request it is. Raises Unauthorized, and what a daemon that is away raises."""
        token = _token_in(scope)
        if token is None:
            raise Unauthorized(
                "no_token", "Send a token as 'Authorization: Bearer ...'. `skerry token create` "
                "makes one."
            )  # fmt: skip
        if not any(name == _SESSION_HEADER for name, _ in scope["headers"]):
            # Who has a session was asked when it was opened, and each call asks the daemon anyway.
            async with self._opened(token) as cloud:
                await cloud.calls.ask(
                    wire.BoxList, "GET", path_of("boxes"), query=[("max_results", "1")]
                )
        access = AccessToken(token=token, client_id=_caller(token), scopes=[])
        scope["user"] = AuthenticatedUser(access)


class _Sessions(StreamableHTTPSessionManager):
    """The protocol's sessions, of which no token may have so many that there are none for others."""

    def _admit_session(
        self, requestor: AuthorizationContext | None
    ) -> StreamableHTTPServerTransport | None:
        # Where the package itself counts, in the turn in which it does: it knows no limit but its own.
        if (
            sum(owner == requestor for owner in self._session_owners.values())
            >= _SESSIONS_OF_ONE_MAX
        ):
            return None
        return super()._admit_session(requestor)


def _quieten() -> None:
    """Have the package write down what went wrong here, not whatever a stranger did wrong."""
    logging.getLogger("mcp").setLevel(logging.ERROR)
    transport = logging.getLogger(StreamableHTTPServerTransport.__module__)
    transport.addFilter(_is_no_hanging_up)


def _is_no_hanging_up(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], ClientDisconnect)


class _Body:
    """A request's body, which must keep coming; what comes after it may take its time."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_more = True

    async def __call__(self) -> Message:
        """Receive one ASGI message."""
        try:
            async with asyncio.timeout(_BODY_S_MAX if self._has_more else None):
                message = await self._receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        self._has_more = message.get("more_body", False)
        return message


class _Connection(HttpToolsProtocol):
    """One HTTP connection, whose requests' heads come within a time and a size."""

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a head, unless there are too many of us."""
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > _CONNECTIONS_MAX:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        if self._deadline is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        # A head that is complete has ended the waiting; of the rest only so much is read at once.
        if self._deadline is not None and self._head_bytes > _HEAD_BYTES_MAX:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin with a head."""
        super().on_message_begin()
        if self._deadline is None:
            self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. What comes after the body is a trailer, which nobody here wants."""
        if self._deadline is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand a request on."""
        self._stop_waiting()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._deadline = self.loop.call_later(_HEAD_S_MAX, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _refusal(error: SkerryError) -> Response:
    status = 401 if isinstance(error, Unauthorized) else 503
    headers = {"WWW-Authenticate": 'Bearer realm="skerry"'} if status == 401 else {}
    told = wire.Error(error=error.code, message=error.message, code=error.code)
    return Response(msgspec.json.encode(told), status, headers, media_type="application/json")


def _security(hosts: Sequence[str]) -> TransportSecuritySettings:
    """Return which Host and Origin headers are let through: any port of these hosts."""
    known = [f"[{each}]" if ":" in each else each for each in hosts]
    known += ["localhost", "127.0.0.1", "[::1]"]
    with_ports = [text for each in known for text in (each, f"{each}:*")]
    return TransportSecuritySettings(
        allowed_hosts=with_ports,
        allowed_origins=[f"{kind}://{each}" for each in with_ports for kind in ("http", "https")],
    )


def _split(listen: str) -> tuple[str, int]:
    address, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise Invalid("bad_address", f"{listen[:80]!r} is no ADDRESS:PORT such as 127.0.0.1:7071.")
    return address.strip("[]"), int(port)
