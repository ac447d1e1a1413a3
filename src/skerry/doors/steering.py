"""The daemon's side of the gateway: tells it what it must know, and does what it asks for.

Whatever changes, the gateway is told what is true now, not what has happened: so nothing is lost
when either of the two is restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Hashable
from dataclasses import dataclass, field

import msgspec

from skerry import accounts, boxes
from skerry.base import LOGIN_NAME, NotFound, SkerryError
from skerry.boxes import Boxes
from skerry.gateway import control
from skerry.services import Services

_ANSWER_S_MAX = 2.0  # for a gateway to say whether a box may sleep; it does so at once
_UNSENT_BYTES_MAX = 64 << 20
_USE = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the settings say of the gateway. cookie_ns: how long a login lasts."""

    trusted_proxies: tuple[str, ...] = ()
    cookie_ns: int = 30 * 86400 * 10**9
    limits: control.Limits = field(default_factory=control.Limits)


@dataclass(slots=True)
class _Peer:
    """A gateway that is connected. told: the boxes that it knows, as it knows them."""

    writer: asyncio.StreamWriter
    told: dict[str, control.Box] = field(default_factory=dict[str, control.Box])
    asked: dict[int, asyncio.Future[bool]] = field(default_factory=dict[int, asyncio.Future[bool]])


class Steering:
    """All that the daemon has to do with its gateway. signing_key: of cookies and share links.

    is_alone: set while it is known that no gateway runs; then a box may sleep without asking one.
    """

    def __init__(
        self,
        context: Boxes,
        services: Services,
        tokens: accounts.Accounts,
        terms: Terms,
        signing_key: bytes,
    ) -> None:
        self._boxes = context
        self._services = services
        self._accounts = tokens
        self._terms = terms
        self._key = signing_key
        self._peer: _Peer | None = None
        self._open: dict[str, int] = {}
        # Boxes that the gateway takes as asleep before they are: nobody is told otherwise until
        # the turn has ended in which it was asked.
        self._let_go: set[str] = set()
        self._questions = 0
        self._wakes: set[asyncio.Task[None]] = set()
        self.arrived = asyncio.Event()
        self.is_alone = True
        context.turns.ended.append(self._turn_ended)
        context.sleep_gates.append(self._may_sleep)
        services.changed.append(self._tell_box)
        tokens.changed.append(self._tell_tokens)

    def lost(self) -> None:
        """Know that no gateway runs any more: what was open to boxes is closed."""
        self.is_alone = True
        self.arrived.clear()
        for box_id in list(self._open):
            self._count(box_id, 0)

    async def serve(self, listener: socket.socket) -> None:
        """Listen to gateways, until cancelled; the last to come is the one that counts."""
        server = await asyncio.start_unix_server(
            self._meet, sock=listener, limit=control.LINE_BYTES_MAX
        )
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for wake in self._wakes:
                wake.cancel()
            await asyncio.gather(*self._wakes, return_exceptions=True)
            self._leave(self._peer)

    # The conversation.

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer: _Peer | None = None
        # One that breaks off, or speaks another language, is left; the gateway comes again.
        with contextlib.suppress(
            OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, msgspec.DecodeError
        ):
            hello = control.from_gateway(await reader.readuntil(b"\n"))
            if isinstance(hello, control.Hello) and hello.protocol == control.PROTOCOL:
                peer = self._greet(writer)
                while self._peer is peer:
                    self._take(peer, control.from_gateway(await reader.readuntil(b"\n")))
        writer.transport.abort()
        if peer is not None:
            self._leave(peer)

    def _greet(self, writer: asyncio.StreamWriter) -> _Peer:
        self._leave(self._peer)
        for box_id in list(self._open):  # what is open now, it tells next
            self._count(box_id, 0)
        peer = self._peer = _Peer(writer)
        peer.told = {box.box_id: box for box in self._all_boxes()}
        self._send(
            control.Table(
                boxes=tuple(peer.told.values()),
                tokens=self._tokens(),
                cookie_key=self._key,
                trusted_proxies=self._terms.trusted_proxies,
                cookie_ns=self._terms.cookie_ns,
                login_url=self._boxes.rules.url(LOGIN_NAME) or "",
                limits=self._terms.limits,
            )
        )
        self.is_alone = False
        self.arrived.set()
        return peer

    def _leave(self, peer: _Peer | None) -> None:
        if peer is None:
            return
        for answer in peer.asked.values():
            if not answer.done():
                answer.set_result(False)
        peer.asked.clear()
        peer.writer.transport.abort()
        if self._peer is peer:
            self._peer = None

    def _send(self, message: control.FromDaemon) -> None:
        peer = self._peer
        if peer is None:
            return
        peer.writer.write(control.line_of(message))
        if peer.writer.transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
            self._leave(peer)  # one that reads nothing is none

    def _take(self, peer: _Peer, message: control.FromGateway) -> None:
        match message:
            case control.Wake():
                task = asyncio.create_task(self._wake(peer, message))
                self._wakes.add(task)
                task.add_done_callback(self._wakes.discard)
            case control.SleepAnswer():
                answer = peer.asked.pop(message.id, None)
                if answer is not None and not answer.done():
                    answer.set_result(message.ok)
            case control.Traffic():
                self._note(message)
            case control.Hello():
                pass

    # What is told.

    def _turn_ended(self, key: Hashable) -> None:
        if isinstance(key, str) and key.startswith("box_"):
            self._let_go.discard(key)
            self._tell_box(key)

    def _tell_box(self, box_id: str) -> None:
        peer = self._peer
        if peer is None:
            return
        try:
            now = self._box(self._boxes.find_id(box_id))
        except NotFound:
            if peer.told.pop(box_id, None) is not None:
                self._send(control.Gone(box_id))
            return
        if peer.told.get(box_id) != now:
            peer.told[box_id] = now
            self._send(control.BoxChanged(now))

    def _tell_tokens(self) -> None:
        self._send(control.Tokens(self._tokens()))

    def _tokens(self) -> tuple[control.Token, ...]:
        return tuple(
            control.Token(
                token_id=each.token_id,
                secret_hash=each.secret_hash,
                # The gateway knows no accounts: a token for own boxes only opens none there.
                scopes=tuple(scope for scope in each.scopes if scope != "own"),
            )
            for each in accounts.list_tokens(self._accounts)
        )

    def _all_boxes(self) -> list[control.Box]:
        views = boxes.page(self._boxes, "", self._boxes.rules.boxes_max + 1)
        return [self._box(view.box) for view in views]

    def _box(self, box: boxes.Box) -> control.Box:
        first = self._boxes.running.get(box.box_id)
        if self._boxes.status(box.box_id) != "running" or box.box_id in self._let_go:
            first = None
        return control.Box(
            box_id=box.box_id,
            name=box.name,
            awake=first is not None,
            pid=first.init_pid if first else 0,
            started_ticks=first.started_ticks if first else 0,
            access=box.access,
            http_port=self._services.http_port(box.box_id) or control.HTTP_PORT,
            domains=boxes.domains_of(self._boxes, box.box_id),
            share_epoch=box.share_epoch,
            published=tuple(
                control.Published(each.listen, each.port)
                for each in boxes.published_of(self._boxes, box.box_id)
            ),
        )

    # What is asked.

    async def _wake(self, peer: _Peer, message: control.Wake) -> None:
        context, box_id = self._boxes, message.box_id
        known = peer.told.get(box_id)
        try:
            if known is not None and known.awake:
                await boxes.notice_ends(context)  # it may have found the box's processes gone
            before = context.running.get(box_id)
            async with boxes.awake(context, box_id, _USE):
                first = context.running[box_id]
                if self._peer is not peer:
                    return  # one that came since asks again, by numbers of its own
                # Who asked has something open, though that is told only now and then. Else it
                # could be frozen in a turn that has begun, of which the gateway was asked before.
                self._count(box_id, max(1, self._open.get(box_id, 0)))
                self._let_go.discard(box_id)
                peer.told[box_id] = self._box(context.find_id(box_id))
                self._send(
                    control.Woken(
                        id=message.id, box_id=box_id, pid=first.init_pid,
                        started_ticks=first.started_ticks, was_started=first != before,
                    )
                )  # fmt: skip
        except (SkerryError, OSError) as error:
            if self._peer is peer:
                self._send(control.Woken(id=message.id, box_id=box_id, error=str(error)))

    async def _may_sleep(self, box_id: str) -> bool:
        """Ask the gateway whether nothing is open to a box; one that cannot say has something."""
        peer = self._peer
        if peer is None:
            if self.is_alone:
                self._let_go.add(box_id)  # one may come before it is frozen
            return self.is_alone
        self._questions += 1
        question = self._questions
        answer = peer.asked[question] = asyncio.get_running_loop().create_future()
        self._send(control.MaySleep(question, box_id))
        try:
            async with asyncio.timeout(_ANSWER_S_MAX):
                may_sleep = await answer
        except TimeoutError:
            return False
        finally:
            peer.asked.pop(question, None)
        if may_sleep:
            self._let_go.add(box_id)
            if box_id in peer.told:
                peer.told[box_id] = msgspec.structs.replace(
                    peer.told[box_id], awake=False, pid=0, started_ticks=0
                )
        return may_sleep

    def _note(self, traffic: control.Traffic) -> None:
        if self._count(traffic.box_id, traffic.open) and traffic.requests:
            signs = self._boxes.signs_of(traffic.box_id)
            signs.seen(self._boxes.clock.monotonic_ns(), "a request came")

    def _count(self, box_id: str, count: int) -> bool:
        """Count what is open to a box through the gateway; tell whether the box is there."""
        before = self._open.pop(box_id, 0)
        if box_id not in self._boxes.signs and box_id not in self._boxes.running:
            return False
        signs = self._boxes.signs_of(box_id)
        signs.uses[_USE] += count - before
        if count:
            self._open[box_id] = count
        elif before:
            signs.seen(self._boxes.clock.monotonic_ns(), "a request ended")
        return True
