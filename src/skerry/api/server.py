"""uvicorn on a TCP and a Unix socket, with limits that it does not have by itself.

A connection must send its headers within a time and a size; there are only so many connections.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Generator
from pathlib import Path

import uvicorn
import websockets.http11
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from skerry.api.edge import Edge
from skerry.api.limits import Limits
from skerry.base import Invalid, NotAvailable

_BACKLOG = 1024
_STOP_WAIT_S = 3


async def serve(
    public: Edge,
    private: Edge,
    *,
    listen: str,
    socket_path: Path,
    limits: Limits,
    ready: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    """Serve both edges until stop is set; ready is told the address once both listen.

    Raises Invalid(bad_setting), NotAvailable(address_in_use).
    """
    # An exec's arguments travel in the request line.
    websockets.http11.MAX_LINE_LENGTH = limits.header_bytes_max
    tcp = _listen_tcp(listen)
    unix = _listen_unix(socket_path)
    host, port = tcp.getsockname()[:2]
    servers = [_Server(_config(public, limits)), _Server(_config(private, limits))]
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(servers[0].serve(sockets=[tcp]))
            group.create_task(servers[1].serve(sockets=[unix]))
            for server in servers:
                await server.up.wait()
            ready(f"http://{host}:{port}")
            await stop.wait()
            for server in servers:
                server.should_exit = True
    finally:
        tcp.close()
        unix.close()
        socket_path.unlink(missing_ok=True)


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: signals are the daemon's business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _config(edge: Edge, limits: Limits) -> uvicorn.Config:
    class Protocol(_BoundedProtocol):
        bounds = limits

    return uvicorn.Config(
        edge,
        http=Protocol,
        ws="websockets-sansio",
        ws_max_size=8 << 20,
        # A client that does not read for a while answers no ping: `| less` must not end an exec.
        # Dead peers are TCP's business (keep-alive is on).
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, limits.idle_wait_ns // 10**9),
        timeout_graceful_shutdown=_STOP_WAIT_S,
        backlog=_BACKLOG,
    )


class _BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a limit on the time and the size of headers."""

    bounds: Limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_headers = True
        self._deadline: asyncio.TimerHandle | None = None
        self._await_headers()
        if len(self.connections) > self.bounds.connections_max:
            self._refuse(503, "too_many_connections", "Too many connections are open. Try later.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > self.bounds.header_bytes_max:
                text = (
                    "The request line and headers are too long. Use POST .../run for long commands."
                )
                self._refuse(431, "headers_too_large", text)
                return
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "bad_request", "This is no HTTP request that we understand.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_headers:
            self._await_headers()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._in_headers = False
        self._header_bytes = 0
        super().on_headers_complete()

    def _await_headers(self) -> None:
        self._in_headers = True
        self._deadline = self.loop.call_later(self.bounds.header_wait_ns / 1e9, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._refuse(408, "headers_too_slow", "The request's headers took too long.")

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = b'{"error":"%b","message":"%b","code":"%b"}' % (
            code.encode(), message.encode(), code.encode(),
        )  # fmt: skip
        self.transport.write(
            b"HTTP/1.1 %d Refused\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (status, len(body), body)
        )
        self.transport.close()


def _listen_tcp(listen: str) -> socket.socket:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise Invalid("bad_setting", f"--listen takes ADDRESS:PORT, not {listen!r}.")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        raise NotAvailable(
            "address_in_use",
            f"Skerry cannot listen on {listen}: {error.strerror}. Choose another with --listen.",
        ) from None
    return listener


def _listen_unix(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # the data directory's lock says that no other daemon has it
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # from its first instant only root may connect
    try:
        # Through the directory's descriptor: a socket's path may have 107 bytes only.
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
    finally:
        os.umask(before)
    return listener
