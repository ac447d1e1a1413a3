"""What every verb works on: the machine, the database, the rules, and who has which turn.

Holds no knowledge that a restart would lose.
"""

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Hashable,
    Mapping,
)
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

from skerry.base import Clock, Conflict, NotFound
from skerry.boxes import store
from skerry.boxes.idle import SleepRule, settle_rule
from skerry.boxes.model import Box, BoxView, Image, Rules, Status
from skerry.host.database import Database
from skerry.host.seam import Machine, Running
from skerry.metering import Meter

_P = ParamSpec("_P")
_T = TypeVar("_T")

_ID_PREFIX = "box_"


class Turns:
    """A lock per key that exists only while somebody wants it.

    ended: called with the key at the end of each turn. Whatever changes a box does so in its turn,
    so that is the moment to look at it again.
    """

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}
        self.ended: list[Callable[[Hashable], None]] = []

    @contextlib.asynccontextmanager
    async def of(self, key: Hashable) -> AsyncGenerator[None]:
        """Wait for the turn of key, and hold it."""
        lock, waiting = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[key]
            if waiting == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, waiting - 1)
            for tell in self.ended:
                tell(key)


@dataclass(frozen=True, slots=True)
class ReadyBox:
    """A box without a name, started ahead of time so that a create need only take it."""

    box_id: str
    slot: int
    image_id: str
    running: Running


@dataclass(slots=True)
class Signs:
    """The signs of life of a box that the daemon has seen. Times are monotonic nanoseconds.

    frozen_at_ns: since when it is warm. cpu: time used, and when that was read. rule: what holds
    for it, once that was looked up.
    """

    last_ns: int
    last_sign: str
    uses: Counter[str] = field(default_factory=Counter[str])
    frozen_at_ns: int | None = None
    cpu: tuple[int, int] | None = None
    rule: SleepRule | None = None

    def seen(self, now_ns: int, sign: str) -> None:
        """Note a sign of life."""
        self.last_ns, self.last_sign = now_ns, sign


@dataclass(slots=True, kw_only=True)
class Boxes:
    """The context of every verb. entropy gives random bytes."""

    machine: Machine
    database: Database
    clock: Clock
    entropy: Callable[[int], bytes]
    rules: Rules
    meter: Meter | None = None
    running: dict[str, Running] = field(default_factory=dict[str, Running])
    signs: dict[str, Signs] = field(default_factory=dict[str, Signs])
    turns: Turns = field(default_factory=Turns)
    slots: set[int] = field(default_factory=set[int])
    names_coming: set[str] = field(default_factory=set[str])
    ready: list[ReadyBox] = field(default_factory=list[ReadyBox])
    ready_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    on_start: list[Callable[[Box], None]] = field(default_factory=list[Callable[[Box], None]])
    on_fork: list[Callable[[Box, Box], Awaitable[None]]] = field(
        default_factory=list[Callable[[Box, Box], Awaitable[None]]]
    )
    sleep_gates: list[Callable[[str], Awaitable[bool]]] = field(
        default_factory=list[Callable[[str], Awaitable[bool]]]
    )
    disk_ends: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    port_looks: dict[str, tuple[int, Mapping[int, str]]] = field(
        default_factory=dict[str, tuple[int, Mapping[int, str]]]
    )
    verbs_under_way: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])

    def view(self, box: Box) -> BoxView:
        """Return box together with what is true of it now."""
        return BoxView(
            box,
            self.status(box.box_id),
            self.machine.address_of(box.slot),
            settle_rule(box.sleep, self.rules.sleep),
            self.rules.url(box.name),
        )

    def status(self, box_id: str) -> Status:
        """Return whether a box runs, is frozen or is stopped."""
        if box_id not in self.running:
            return "cold"
        return "running" if self.signs_of(box_id).frozen_at_ns is None else "warm"

    def signs_of(self, box_id: str) -> Signs:
        """Return the signs of life of a box."""
        signs = self.signs.get(box_id)
        if signs is None:
            signs = self.signs[box_id] = Signs(self.clock.monotonic_ns(), "it was started")
        return signs

    @contextlib.contextmanager
    def using(self, box_id: str, kind: str) -> Generator[None]:
        """Keep a box awake, once it is, while the block lasts. kind: see `idle.reasons`."""
        signs = self.signs_of(box_id)
        signs.uses[kind] += 1
        try:
            yield
        finally:
            signs.uses[kind] -= 1
            signs.seen(self.clock.monotonic_ns(), f"a {kind} ended")

    def find(self, name: str, account: str | None = None) -> Box:
        """Return the living box of that name, or of that id, which no name looks like.

        account: boxes of others are not there. Raises NotFound(box_not_found).
        """
        if name.startswith(_ID_PREFIX):
            return self.find_id(name, account)
        box = self.database.read(lambda c: store.box_by_name(c, name))
        if box is None or account not in (None, box.account):
            raise NotFound(
                "box_not_found",
                f"There is no box called {name[:80]!r}. `skerry list` shows those there are; "
                f"`skerry create` makes one.",
            )
        return box

    def find_id(self, box_id: str, account: str | None = None) -> Box:
        """Return the living box of that id. As `find`. Raises NotFound(box_not_found)."""
        box = self.database.read(lambda c: store.box_by_id(c, box_id))
        if box is None or account not in (None, box.account):
            raise NotFound("box_not_found", f"There is no box {box_id[:80]!r} any more.")
        return box

    def end_disk(self, box_id: str) -> None:
        """Tell those who look at the disk of a box that it is another's or nobody's now."""
        ended = self.disk_ends.pop(box_id, None)
        if ended is not None:
            ended.set()

    def find_image(self, name: str) -> Image:
        """Return the image of that name. Raises NotFound(image_not_found)."""
        for image in self.database.read(store.images):
            if image.name == name:
                return image
        raise NotFound(
            "image_not_found",
            f"There is no image called {name[:80]!r}. `skerry image list` shows those there are; "
            f"`skerry image build {name[:80]}` builds one by a recipe.",
        )

    @contextlib.asynccontextmanager
    async def hold(self, name: str) -> AsyncGenerator[Box]:
        """Hold the turn of the box of that name: one verb at a time may change its state.

        Raises NotFound(box_not_found), also when it goes while this waits.
        """
        box_id = self.find(name).box_id
        async with self.turns.of(box_id):
            box = self.find(name)
            if box.box_id != box_id:
                raise Conflict(
                    "box_replaced", f"The box {name!r} was replaced just now. Try again."
                )
            yield box

    @contextlib.contextmanager
    def coming(self, names: list[str]) -> Generator[None]:
        """Keep names for boxes that are being made. Raises Conflict(name_taken)."""
        for name in names:
            if name in self.names_coming or names.count(name) > 1 or self._is_taken(name):
                raise Conflict(
                    "name_taken",
                    f"There is a box called {name!r} already. Choose another name, "
                    f"or destroy it with `skerry destroy {name}`.",
                )
        self.names_coming.update(names)
        try:
            yield
        finally:
            self.names_coming.difference_update(names)

    def _is_taken(self, name: str) -> bool:
        return self.database.read(lambda c: store.box_by_name(c, name)) is not None


def whole(
    verb: Callable[Concatenate[Boxes, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[Boxes, _P], Coroutine[Any, Any, _T]]:
    """Make verb go on to its end although its caller is cancelled.

    A client that hangs up must not leave a box between two states. What a verb asks of the machine
    runs in threads, which no cancellation stops, so stopping half way would be a lie anyway.
    """

    @functools.wraps(verb)
    async def run(boxes: Boxes, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        task = asyncio.create_task(verb(boxes, *args, **kwargs))
        boxes.verbs_under_way.add(task)
        task.add_done_callback(functools.partial(_retire, boxes))
        return await asyncio.shield(task)

    return run


def _retire(boxes: Boxes, task: asyncio.Task[Any]) -> None:
    boxes.verbs_under_way.discard(task)
    if not task.cancelled():
        task.exception()  # seen by the caller, if there still is one


async def settled(boxes: Boxes, limit_ns: int) -> int:
    """Wait until no verb is under way, for limit_ns at most; return how many still are.

    What is cut off then is what a crash cuts off: the next daemon repairs it.
    """
    deadline_s = asyncio.get_running_loop().time() + limit_ns / 1e9
    while boxes.verbs_under_way:
        left_s = deadline_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            break
        await asyncio.wait(boxes.verbs_under_way, timeout=left_s)
    return len(boxes.verbs_under_way)


async def together(*works: Awaitable[object]) -> None:
    """Do all works at once, and only when each has ended raise the first error among them.

    Not a TaskGroup: that cancels the others, whose threads would go on unseen.
    """
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
