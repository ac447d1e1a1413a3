"""One wake for all who wait for a box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from skerry.gateway import pages
from skerry.gateway.control import Wake, Woken
from skerry.gateway.pages import Problem
from skerry.gateway.site import BoxState, Site


class Sleeper(Protocol):
    """Who waits for a box to wake."""

    def awake(self) -> None:
        """Go on."""
        ...

    def fail(self, problem: Problem) -> None:
        """Know that it does not wake."""
        ...


class _Waking:
    __slots__ = ("asked_ns", "message", "sleepers")

    def __init__(self, message: Wake, asked_ns: int) -> None:
        self.message = message
        self.asked_ns = asked_ns
        self.sleepers: dict[Sleeper, None] = {}  # in their order


class Wakes:
    """The wakes that were asked for and not answered. send: tells the daemon, if it is there."""

    def __init__(self, site: Site, send: Callable[[Wake], None]) -> None:
        self._site = site
        self._send = send
        self._by_box: dict[str, _Waking] = {}
        self._next_id = 1

    def ask(self, box: BoxState, port: int, sleeper: Sleeper) -> None:
        """Have a box woken; the sleeper is told the outcome."""
        box_id, now_ns = box.box.box_id, self._site.now_ns
        waking = self._by_box.get(box_id)
        if waking is None:
            waking = self._by_box[box_id] = _Waking(Wake(self._next_id, box_id, port), now_ns)
            self._next_id += 1
            self._send(waking.message)
        elif now_ns - waking.asked_ns > self._site.limits.wake_wait_ns:
            # Nobody waits for so long: that question is lost, and its box must not be with it.
            waking.asked_ns = now_ns
            self._send(waking.message)
        if len(waking.sleepers) >= self._site.limits.waiting_per_box_max:
            sleeper.fail(pages.TOO_MANY_WAITING)
            return
        waking.sleepers[sleeper] = None

    def forsake(self, box: BoxState, sleeper: Sleeper) -> None:
        """Know that somebody waits no more. The box wakes all the same."""
        if (waking := self._by_box.get(box.box.box_id)) is not None:
            waking.sleepers.pop(sleeper, None)

    def unanswered(self) -> list[Wake]:
        """Return what was asked and not answered, to be said again on a new connection.

        What nobody waits for any more is left out, and forgotten.
        """
        self._by_box = {box_id: each for box_id, each in self._by_box.items() if each.sleepers}
        return [waking.message for waking in self._by_box.values()]

    def answered(self, message: Woken) -> None:
        """Let those go on who waited for this answer, or tell them the reason why not."""
        waking, box = self._by_box.get(message.box_id), self._site.boxes.get(message.box_id)
        if box is None:
            return
        box.is_changed = True  # the daemon waits to be told what is open
        if waking is None or waking.message.id != message.id:
            return
        if message.error is None:
            self._site.woken(box, message)
            self.settled(box)
            return
        box.wake_error = message.error
        del self._by_box[message.box_id]
        for sleeper in list(waking.sleepers):
            sleeper.fail(pages.WAKE_FAILED)

    def settled(self, box: BoxState) -> None:
        """Let those go on who wait for a box that is awake by now, whoever woke it."""
        waking = self._by_box.pop(box.box.box_id, None)
        if waking is not None:
            for sleeper in list(waking.sleepers):
                sleeper.awake()

    def forget(self, box_id: str) -> None:
        """Know that a box is no more; those who waited are told by the site."""
        self._by_box.pop(box_id, None)
