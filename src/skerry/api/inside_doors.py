"""The sockets in boxes: one for each box that runs, served at a pace that harms no other.

A socket is there from the instant at which its box is started, or taken from those made ready, and
is made anew when the daemon was: the box finds it under the same name. A box that asks without end
is not refused but kept waiting, down to its `connect`, so that it costs us no more than it may.
Nothing that is asked here keeps a box awake. What is answered, this file does not know.
"""

import asyncio
import contextlib
import socket
from collections.abc import Hashable
from dataclasses import dataclass, replace

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.server import ServerState

from skerry.api.errors import response_of
from skerry.api.inside import BOX, Inside
from skerry.api.limits import Limits
from skerry.api.pace import Pace
from skerry.api.protocol import HttpProtocol, Unfinished, config_of
from skerry.api.routing import Services
from skerry.base import Clock, LimitReached
from skerry.boxes import Box, Boxes

# Of one box. Each is more than people and agents need, and less than what anybody else would feel.
_CONNECTIONS_MAX = 16
_AT_ONCE_MAX = 4  # requests that are worked on; an answer that has begun may go on beside them
_WAITING_MAX = 32
# Connections, requests, and pieces of what comes: reading costs us time whatever is said.
_BURST, _PER_SECOND = 300, 100
_PIECE_BYTES = 2 << 10
# Pieces of what goes: an answer that does not end costs as much.
_SENT_BURST, _SENT_PER_SECOND = 128, 64
_SENT_PIECE_BYTES = 8 << 10
_JSON_BYTES_MAX = 256 << 10
_HEADER_BYTES_MAX = 32 << 10
_IDLE_NS = 15 * 10**9
_UNFINISHED_BYTES_MAX = _CONNECTIONS_MAX * _HEADER_BYTES_MAX

_BEGINS_S_MAX = 2.0  # a request that has not begun to answer by then makes room for another
_ACCEPT_AGAIN_S = 1.0
_END_S = 1.0


@dataclass(frozen=True, slots=True)
class _Common:
    """What the sockets of all boxes share."""

    app: ASGIApp
    config: uvicorn.Config
    limits: Limits
    clock: Clock


class InsideDoors:
    """The sockets of all boxes."""

    def __init__(self, known: Services) -> None:
        limits = replace(
            known.limits,
            connections_max=_CONNECTIONS_MAX,
            json_bytes_max=min(known.limits.json_bytes_max, _JSON_BYTES_MAX),
            header_bytes_max=min(known.limits.header_bytes_max, _HEADER_BYTES_MAX),
            idle_wait_ns=min(known.limits.idle_wait_ns, _IDLE_NS),
        )
        self._boxes: Boxes = known.boxes
        app = Inside(replace(known, limits=limits))
        self._common = _Common(app, config_of(app, limits), limits, known.boxes.clock)
        self._doors: dict[str, _Door] = {}

    async def run(self) -> None:
        """Have a socket in each box that runs, until cancelled."""
        self._boxes.on_start.append(self._started)
        self._boxes.turns.ended.append(self._turn_ended)
        try:
            for box_id in list(self._boxes.running):
                self._settle(box_id)
            await asyncio.Event().wait()
        finally:
            self._boxes.on_start.remove(self._started)
            self._boxes.turns.ended.remove(self._turn_ended)
            await asyncio.gather(*(self._close(box_id) for box_id in list(self._doors)))

    def _started(self, box: Box) -> None:
        """Have a new socket in a box that was just started, where the old one's place is gone."""
        self._settle_anew(box.box_id)

    def _turn_ended(self, key: Hashable) -> None:
        if isinstance(key, str):
            self._settle(key)

    def _settle(self, box_id: str) -> None:
        if (box_id in self._boxes.running) != (box_id in self._doors):
            self._settle_anew(box_id)

    def _settle_anew(self, box_id: str) -> None:
        if door := self._doors.pop(box_id, None):
            door.shut()
        if box_id in self._boxes.running:
            # No descriptor or no room on the disk: the end of its next turn tries again.
            with contextlib.suppress(OSError):
                listener = self._boxes.machine.listen_inside(box_id)
                self._doors[box_id] = _Door(box_id, listener, self._common)

    async def _close(self, box_id: str) -> None:
        door = self._doors.pop(box_id)
        door.shut()
        await door.ended()


class _Door:
    """The socket in one box, and who has come by it."""

    def __init__(self, box_id: str, listener: socket.socket, common: _Common) -> None:
        """Listen at once; the listener is closed by shut()."""
        self._box_id = box_id
        self._listener = listener
        self._common = common
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(burst=_BURST, per_second=_PER_SECOND)
        self._sent_pace = Pace(burst=_SENT_BURST, per_second=_SENT_PER_SECOND)
        self._room = asyncio.Semaphore(_AT_ONCE_MAX)
        self._waiting = 0
        self._state = ServerState()
        self._unfinished = Unfinished(_UNFINISHED_BYTES_MAX)
        self._arriving: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._is_time = False  # for the next connection, whose moment was taken
        self._listen()

    def shut(self) -> None:
        """Take no more, and cut who is there; what was begun in the domain goes on."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in (*self._state.tasks, *self._arriving):
            task.cancel()

    async def ended(self) -> None:
        """Wait a moment for what was cut."""
        if tasks := {*self._state.tasks, *self._arriving}:
            await asyncio.wait(tasks, timeout=_END_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, when it is its turn."""
        if self._waiting >= _WAITING_MAX:
            busy = LimitReached("too_many_requests", "This box asks for too much at once. Wait.")
            await response_of(busy)(scope, receive, send)
            return
        self._waiting += 1
        try:
            await asyncio.sleep(self._pace.take(self._now_ns()) / 1e9)
            place = _Place(self._room)
            await place.taken()
        finally:
            self._waiting -= 1
        try:
            sending = self._sending(send, place)
            await self._common.app({**scope, BOX: self._box_id}, receive, sending)
        finally:
            place.leave()

    def came(self, size: int) -> float:
        """Count bytes that came; return how many seconds no more shall be read."""
        return self._pace.take(self._now_ns(), 1 + size // _PIECE_BYTES) / 1e9

    def _sending(self, send: Send, place: "_Place") -> Send:
        """Return send at our pace; the place is left with the first piece of an answer."""
        unpaid = 0

        async def paced(message: Message) -> None:
            nonlocal unpaid
            if message["type"] == "http.response.body":
                place.leave()
                unpaid += len(message.get("body", b""))
                if unpaid >= _SENT_PIECE_BYTES:
                    pieces, unpaid = divmod(unpaid, _SENT_PIECE_BYTES)
                    wait_ns = self._sent_pace.take(self._now_ns(), pieces)
                    await asyncio.sleep(wait_ns / 1e9)
            await send(message)

        return paced

    def _now_ns(self) -> int:
        return int(self._loop.time() * 1e9)  # as the loop's own timers have it

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def _pause_for(self, time_s: float) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(time_s, self._listen)

    def _accept(self) -> None:
        """Take one connection when it is time for one; until then it waits in the kernel."""
        if not self._is_time:
            self._is_time = True
            if wait_ns := self._pace.take(self._now_ns()):
                self._pause_for(wait_ns / 1e9)
                return
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # no descriptors: everybody waits for some
            self._pause_for(_ACCEPT_AGAIN_S)
            return
        self._is_time = False
        connection.settimeout(0)
        task = self._loop.create_task(self._welcome(connection))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _welcome(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # it left
            connection.close()

    def _protocol(self) -> "_Protocol":
        common = self._common
        protocol = _Protocol(
            common.config, self._state, common.limits, common.clock, self._unfinished
        )
        protocol.app = protocol.door = self
        protocol.ws_protocol_class = None  # no WebSockets: such a request is one as others
        return protocol


class _Protocol(HttpProtocol):
    """One connection from inside a box, read no faster than the box may be."""

    door: _Door

    def data_received(self, data: bytes) -> None:
        """Take in what came, and no more for a while if it was much."""
        super().data_received(data)
        wait_s = self.door.came(len(data))
        if wait_s and not self.transport.is_closing():
            self.transport.pause_reading()
            self.loop.call_later(wait_s, self._read_on)

    def _read_on(self) -> None:
        # If the application is behind with the body, it is its turn to say so.
        if not self.flow.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def on_response_complete(self) -> None:
        """Hear nobody out: what was answered before a Unix socket is closed still arrives."""
        super().on_response_complete()
        if self.cycle.more_body:
            self.transport.close()


class _Place:
    """A request's place among those that are worked on, until it begins to answer."""

    def __init__(self, room: asyncio.Semaphore) -> None:
        self._room = room
        self._timer: asyncio.TimerHandle | None = None

    async def taken(self) -> None:
        """Wait for it."""
        await self._room.acquire()
        self._timer = asyncio.get_running_loop().call_later(_BEGINS_S_MAX, self.leave)

    def leave(self) -> None:
        """Make room for another, once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._room.release()
