"""One request and its answer: from a client to a box, woken if it sleeps, and back.

It knows neither how heads are read nor how connections are made; it decides what is sent when, what
is held while the box wakes, what may be sent again, and how the answer is framed for the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from skerry.gateway import pages
from skerry.gateway.access_log import Entry
from skerry.gateway.body import chunk, last_chunk
from skerry.gateway.opening import Openings
from skerry.gateway.pages import Problem
from skerry.gateway.request import RequestFields
from skerry.gateway.response import ResponseFields
from skerry.gateway.site import BoxState, Site
from skerry.gateway.upstream import Upstream, take
from skerry.gateway.wake import Wakes

HELD = 1
UPSTREAM_FULL = 2
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
# A request that must not be sent twice takes no connection that its box may be about to close.
_UNUSED_NS_MAX = 10**9
_ANY_TIME = 1 << 62


@dataclass(slots=True)
class Works:
    """What exchanges work with."""

    site: Site
    openings: Openings
    wakes: Wakes


class Client(Protocol):
    """The connection that the request came by."""

    peer: bytes
    deadline_ns: int
    is_full: bool
    is_fixed: bool  # the deadline does not move: the client does not read, or has ended its side

    def write(self, data: bytes) -> None:
        """Send."""
        ...

    def hold(self, reason: int) -> None:
        """Read no more, for a reason; others may hold too."""
        ...

    def release(self, reason: int) -> None:
        """Read again, as far as this reason is concerned."""
        ...

    def done(self, *, keep: bool) -> None:
        """Go on to the next request, or end."""
        ...

    def refuse(self, problem: Problem, *, keep: bool) -> None:
        """Answer with a problem, then as `done`."""
        ...

    def break_off(self, *, is_endless: bool) -> None:
        """Close in a way that tells the client that the answer is not complete.

        is_endless: nothing but the end of the connection ends it.
        """
        ...

    def start_tunnel(self) -> None:
        """Give the exchange whatever comes from now on, and what has come already."""
        ...

    def finish_writing(self) -> None:
        """End this direction of the tunnel."""
        ...


class Exchange:
    """A request under way. head: its bytes for the box, without Expect, Upgrade and the end."""

    __slots__ = (
        "_began_ns", "_box", "_bytes_in", "_bytes_out", "_client", "_ends", "_fields", "_head",
        "_held", "_held_bytes", "_held_end", "_is_11", "_is_answered", "_is_chunked", "_is_endless", "_is_over",
        "_is_retry", "_keeps", "_knows_loss", "_may_retry", "_method", "_opens", "_port", "_site",
        "_status", "_target", "_told_continue", "_upstream", "_wakes", "_works", "asked_upgrade",
        "is_head", "is_sent", "is_tunnel",
    )  # fmt: skip

    def __init__(
        self,
        works: Works,
        client: Client,
        place: tuple[BoxState, int],
        request: tuple[bytes, bytes, bool],
        fields: RequestFields,
        head: bytes,
    ) -> None:
        self._works = works
        self._site = works.site
        self._client = client
        self._box, self._port = place
        self._method, self._target, self._is_11 = request
        self._fields = fields
        self._head = head
        self._keeps = (
            b"close" not in fields.connection
            if self._is_11
            else b"keep-alive" in fields.connection and b"close" not in fields.connection
        )
        self.is_head = self._method == b"HEAD"
        self.asked_upgrade = fields.upgrade is not None and self._is_11
        self.is_sent = not fields.has_body
        self.is_tunnel = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._held_end = b""
        self._upstream: Upstream | None = None
        self._is_answered = False
        self._is_chunked = False
        self._is_endless = False
        self._is_over = False
        self._is_retry = False
        self._may_retry = False
        self._knows_loss = False
        self._told_continue = not fields.expects_continue or not self._is_11
        self._opens = False
        self._wakes = False
        self._ends = 0
        self._status = 0
        self._bytes_in = len(head)
        self._bytes_out = 0
        self._began_ns = works.site.precise_ns() if works.site.log is not None else 0

    def begin(self) -> None:
        """Send the request, or have the box woken for it."""
        box, limits = self._box, self._site.limits
        box.begin(self)
        if len(box.open) > limits.requests_per_box_max:
            self.fail(pages.TOO_MANY_REQUESTS)
            return
        self._wait_for_client_or_box()
        if box.awake:
            self._connect()
        else:
            self._sleep()

    # What the client does.

    def feed(self, content: bytes) -> None:
        """Take a part of the request's body."""
        self._bytes_in += len(content)
        if not self._is_answered and not self._wakes:
            self._wait(self._site.limits.body_wait_ns)
        if self._upstream is not None:
            self._upstream.transport.write(chunk(content) if self._fields.is_chunked else content)
            return
        self._held.append(content)
        self._held_bytes += len(content)
        if self._held_bytes > self._site.limits.held_bytes_max:
            self._client.hold(HELD)

    def feed_end(self, trailers: bytes) -> None:
        """Know that the request's body is complete."""
        self.is_sent = True
        if not self._is_answered and not self._wakes:
            self._wait(self._site.limits.answer_wait_ns)
        if self._fields.is_chunked:
            self._held_end = last_chunk(trailers)
            if self._upstream is not None:
                self._upstream.transport.write(self._held_end)

    def tunnel(self, data: bytes) -> None:
        """Take what the client sends through the tunnel."""
        self.touch()
        self._bytes_in += len(data)
        if self._upstream is not None and not self._upstream.transport.is_closing():
            self._upstream.transport.write(data)

    def tunnel_closing(self) -> None:
        """Know that the client sends no more through the tunnel."""
        if self._upstream is not None and not self._upstream.transport.is_closing():
            self._upstream.transport.write_eof()
        self._end_direction()

    def forsake(self) -> None:
        """Know that the client is gone."""
        self._leave()

    def expire(self) -> None:
        """Know that the client's deadline is over."""
        if self._is_answered:
            self._break_off()
        elif self._wakes:
            self.fail(pages.WAKE_TOO_SLOW)
        elif self._upstream is None:
            self.fail(pages.NO_CONNECTION)
        elif self.is_sent or self._upstream.is_full:
            self.fail(pages.SLOW_ANSWER)
        else:
            self.fail(pages.SLOW_BODY)

    def client_full(self, *, is_full: bool) -> None:
        """Know whether the client takes no more for now."""
        if self._upstream is not None:
            if is_full:
                self._upstream.hold()
            else:
                self._upstream.release()

    # What the box does.

    def awake(self) -> None:
        """Go on, for the box has woken."""
        self._wakes = False
        self._wait(max(self._site.limits.listen_wait_ns, self._site.limits.connect_wait_ns) * 2)
        self._connect()

    def opened(self, upstream: Upstream) -> None:
        """Send the request on a connection that is new."""
        self._opens = False
        self._attach(upstream, is_new=True)

    def box_lost(self) -> None:
        """Have the box woken, whose first process is gone."""
        self._opens = False
        # One that was with the box when it went does not start what somebody may have stopped.
        if self._knows_loss or self._is_retry:
            self.fail(pages.BOX_GONE)
            return
        self._knows_loss = True
        if self._box.awake:
            self._site.fall_asleep(self._box)
        self._sleep()

    def box_gone(self) -> None:
        """End, for the box is no more."""
        self.fail(pages.BOX_GONE)

    def fail(self, problem: Problem) -> None:
        """Answer with a problem, or break off where an answer has begun."""
        if self._is_over:
            return
        if self._is_answered:
            self._break_off()
            return
        self._status = problem.status
        self._leave()
        self._client.refuse(problem, keep=self._keeps and self.is_sent)

    def touch(self) -> None:
        """Note that something came: the deadline moves."""
        limits = self._site.limits
        self._wait(limits.body_wait_ns if self._ends else limits.answer_idle_ns)

    def interim(self, status: int, line: bytes, fields: ResponseFields) -> None:
        """Pass on the head of an answer that another one follows, to a client that knows those."""
        self.touch()
        if not self._is_11 or (status == 100 and self._told_continue):
            return
        self._told_continue = self._told_continue or status == 100
        self._send(b"%b%b\r\n" % (line, fields.end_to_end))

    def answer(
        self, status: int, line: bytes, fields: ResponseFields, content: bytes, end: bytes | None
    ) -> None:
        """Pass on the head of the answer and what came with it, in one piece."""
        self._is_answered = True
        self._may_retry = False
        self._status = status
        self._held = []
        keeps = self._keeps = self._keeps and self.is_sent and not self._site.is_stopping
        framing = b""
        if fields.length is not None and status != 204:
            framing = b"Content-Length: %d\r\n" % fields.length
        elif not self.is_head and status not in (204, 304):
            if self._is_11:
                self._is_chunked = True
                framing = b"Transfer-Encoding: chunked\r\n"
            else:
                self._is_endless = True
                keeps = self._keeps = False
        if not keeps:
            framing += b"Connection: close\r\n"
        elif not self._is_11:
            framing += b"Connection: keep-alive\r\n"
        self.touch()
        self._send(
            b"".join((line, fields.end_to_end, framing, b"\r\n", self._framed(content, end)))
        )

    def more(self, content: bytes, end: bytes | None) -> None:
        """Pass on more of the answer."""
        if data := self._framed(content, end):
            self._send(data)

    def ended(self) -> None:
        """Know that the answer is complete."""
        self._upstream = None
        self._leave()
        self._client.done(keep=self._keeps)

    def switched(self, line: bytes, fields: ResponseFields, content: bytes) -> None:
        """Become a tunnel: what comes from either side goes to the other as it is."""
        self._is_answered = self.is_tunnel = True
        self._keeps = False
        self._status = 101
        upgrade = b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % (fields.upgrade or b"")
        self.touch()
        self._send(b"".join((line, fields.end_to_end, upgrade, content)))
        self._client.start_tunnel()

    def tunnelled(self, content: bytes) -> None:
        """Pass on what came through the tunnel."""
        self.touch()
        self._send(content)

    def tunnel_ended(self) -> None:
        """Know that the box sends no more through the tunnel."""
        self._client.finish_writing()
        self._end_direction()

    def lost(self, *, is_silent: bool, is_bad: bool) -> None:
        """Know that the connection to the box ended too early: try another one, if that is safe."""
        self._upstream = None
        if self._is_over:
            return
        if is_silent and self._may_retry:
            self._may_retry = False
            self._is_retry = True
            self._connect()
        else:
            self.fail(pages.BAD_ANSWER if is_bad else pages.NO_ANSWER)

    def upstream_full(self, *, is_full: bool) -> None:
        """Know whether the box takes no more for now."""
        if is_full:
            self._client.hold(UPSTREAM_FULL)
            return
        if self._is_answered:
            self.touch()
        else:
            self._wait_for_client_or_box()
        self._client.release(UPSTREAM_FULL)

    # What follows from it.

    def _wait_for_client_or_box(self) -> None:
        limits = self._site.limits
        self._wait(limits.answer_wait_ns if self.is_sent else limits.body_wait_ns)

    def _wait(self, duration_ns: int) -> None:
        if not self._client.is_fixed:
            self._client.deadline_ns = self._site.now_ns + duration_ns

    def _sleep(self) -> None:
        self._wakes = True
        self._wait(self._site.limits.wake_wait_ns)
        if not self._told_continue and not self.is_sent:
            # The box cannot say it yet, and its client would send the body only then.
            self._told_continue = True
            self._client.write(_CONTINUE)
        self._works.wakes.ask(self._box, self._port, self)

    def _connect(self) -> None:
        if not self._is_retry:
            is_idempotent = self._method in _IDEMPOTENT
            upstream = take(
                self._site, self._box, self._port,
                unused_ns_max=_ANY_TIME if is_idempotent else _UNUSED_NS_MAX,
            )  # fmt: skip
            if upstream is not None:
                self._may_retry = is_idempotent and self.is_sent
                self._attach(upstream, is_new=False)
                return
        self._opens = True
        self._works.openings.open(self._box, self._port, self)

    def _attach(self, upstream: Upstream, *, is_new: bool) -> None:
        self._upstream = upstream
        if is_new:
            self._wait_for_client_or_box()
        if self._client.is_full:
            upstream.hold()
        extra = b""
        if not self._told_continue and not self._held:
            extra = b"Expect: 100-continue\r\n"
        if self.asked_upgrade:
            extra += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % (self._fields.upgrade or b"")
        data = b"%b%b\r\n" % (self._head, extra)
        if self._held:
            framed = map(chunk, self._held) if self._fields.is_chunked else self._held
            data = b"".join((data, *framed))
        data += self._held_end
        if self._held:
            self._client.release(HELD)
            if not self._may_retry:
                self._held = []
        upstream.send(self, data)

    def _framed(self, content: bytes, end: bytes | None) -> bytes:
        if not self._is_chunked:
            return content
        if end is None:
            return chunk(content) if content else b""
        return (chunk(content) if content else b"") + last_chunk(end)

    def _send(self, data: bytes) -> None:
        self._bytes_out += len(data)
        self._client.write(data)

    def _end_direction(self) -> None:
        self._ends += 1
        self.touch()
        if self._ends == 2:
            upstream, self._upstream = self._upstream, None
            if upstream is not None:
                upstream.let_go()
                upstream.close()
            self._leave()
            self._client.done(keep=False)

    def _break_off(self) -> None:
        self._leave()
        self._client.break_off(is_endless=self._is_endless)

    def _leave(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._upstream is not None:
            self._upstream.forsake()
            self._upstream = None
        if self._wakes:
            self._works.wakes.forsake(self._box, self)
        if self._opens:
            self._works.openings.forsake(self)
        box = self._box
        box.bytes_in += self._bytes_in
        box.bytes_out += self._bytes_out
        box.end(self)
        if self._site.log is not None:
            self._log()

    def _log(self) -> None:
        site = self._site
        assert site.log is not None
        site.log.add(
            Entry(
                at_ns=site.wall_ns,
                client=self._client.peer.decode(),
                host=self._fields.name,
                method=self._method.decode(),
                path=self._target.partition(b"?")[0].decode(),
                status=self._status,
                bytes_out=self._bytes_out,
                duration_ms=(site.precise_ns() - self._began_ns) / 1e6,
                box_id=self._box.box.box_id,
            )
        )
