"""The course of a clean: what would go is counted first, then listed again and deleted.

Nothing is remembered between two cleans: one that was cut short is simply begun again, and what it
deleted is no longer listed. So what goes is always what a listing of just now says is hidden.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from skerry.base import Clock
from skerry.remotes.clean_plan import Planner, Rules, Upload, Version, goes
from skerry.remotes.s3 import AT_ONCE
from skerry.remotes.shelf import Shelf

_T = TypeVar("_T")
_REASONS_MAX = 20  # that are remembered; all are counted


@dataclass(slots=True, kw_only=True)
class Amount:
    """What goes or has gone. seen: versions looked at. young: uploads that may still go on."""

    seen: int = 0
    versions: int = 0
    markers: int = 0
    uploads: int = 0
    young: int = 0
    size_bytes: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list[str])

    def add(self, version: Version) -> None:
        """Count a version or marker."""
        if version.is_marker:
            self.markers += 1
        else:
            self.versions += 1
            self.size_bytes += version.size_bytes

    def refuse(self, what: str, reason: str) -> None:
        """Count what the remote did not delete."""
        self.refused += 1
        if len(self.reasons) < _REASONS_MAX:
            self.reasons.append(f"{what}: {reason}")

    @property
    def is_nothing(self) -> bool:
        """Whether nothing goes."""
        return not (self.versions or self.markers or self.uploads)


Watcher: TypeAlias = Callable[[Amount], None]


class Pace:
    """Spaces requests out, so that no more than per_second are made in any second."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        self._clock = clock
        self._gap_ns = int(10**9 / per_second)
        self._next_ns = 0

    async def turn(self) -> None:
        """Return when the next request may be made."""
        now_ns = self._clock.monotonic_ns()
        at_ns = max(now_ns, self._next_ns)
        self._next_ns = at_ns + self._gap_ns
        if at_ns > now_ns:
            await self._clock.sleep_ns(at_ns - now_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """A clean of one bucket. prefix: of the keys that it is about."""

    shelf: Shelf
    rules: Rules
    pace: Pace
    watcher: Watcher
    prefix: str = ""

    async def survey(self) -> Amount:
        """Return what would go. Raises as `Shelf`."""
        amount = Amount()
        async for version in self._going(amount):
            amount.add(version)
        async for upload in self._uploads(amount):
            await self.pace.turn()
            amount.size_bytes += await asyncio.to_thread(self.shelf.upload_bytes, upload)
            amount.uploads += 1
            self.watcher(amount)
        return amount

    async def carry_out(self) -> Amount:
        """Delete, and return what has gone. May be ended at any moment. Raises as `Shelf`."""
        amount = Amount()
        versions: list[Version] = []
        markers: list[Version] = []
        refused: set[str] = set()
        async for version in self._going(amount):
            (markers if version.is_latest else versions).append(version)
            if max(len(versions), len(markers)) >= AT_ONCE * self.shelf.at_once:
                await self._delete(versions, markers, refused, amount)
        await self._delete(versions, markers, refused, amount)
        async for upload in self._uploads(amount):
            await self._cancel(upload, amount)
        return amount

    async def _delete(
        self, versions: list[Version], markers: list[Version], refused: set[str], amount: Amount
    ) -> None:
        """Delete versions, then the markers of those that have all gone; empty both lists."""
        await self._delete_some(versions, refused, amount)
        # A marker that goes before what it hides would bring that back.
        hiding_nothing = [each for each in markers if each.key not in refused]
        await self._delete_some(hiding_nothing, refused, amount)
        versions.clear()
        markers.clear()

    async def _delete_some(
        self, versions: list[Version], refused: set[str], amount: Amount
    ) -> None:
        count = self.shelf.at_once
        batches = [versions[at : at + count] for at in range(0, len(versions), count)]

        async def delete(batch: list[Version]) -> None:
            await self.pace.turn()
            left = await asyncio.to_thread(self.shelf.delete, batch)
            for each in batch:
                if each in left:
                    refused.add(each.key)
                    amount.refuse(f"{each.key} {each.version_id}", left[each])
                else:
                    amount.add(each)
            self.watcher(amount)

        await _each_of(batches, delete)

    async def _cancel(self, upload: Upload, amount: Amount) -> None:
        await self.pace.turn()
        size_bytes = await asyncio.to_thread(self.shelf.upload_bytes, upload)
        await self.pace.turn()
        reason = await asyncio.to_thread(self.shelf.cancel, upload)
        if reason is None:
            amount.uploads += 1
            amount.size_bytes += size_bytes
        else:
            amount.refuse(f"{upload.key} {upload.upload_id}", reason)
        self.watcher(amount)

    async def _going(self, amount: Amount) -> AsyncIterator[Version]:
        planner = Planner(self.rules)
        async for page in self._paced(self.shelf.version_pages(self.prefix)):
            for version in page:
                for going in planner.take(version):
                    yield going
            amount.seen += len(page)
            self.watcher(amount)
        for going in planner.end():
            yield going

    async def _uploads(self, amount: Amount) -> AsyncIterator[Upload]:
        async for page in self._paced(self.shelf.upload_pages(self.prefix)):
            for upload in page:
                if goes(upload, self.rules):
                    yield upload
                else:
                    amount.young += 1

    async def _paced(self, pages: Iterator[_T]) -> AsyncIterator[_T]:
        while True:
            await self.pace.turn()
            page = await asyncio.to_thread(next, pages, None)
            if page is None:
                return
            yield page


async def _each_of(items: list[_T], work: Callable[[_T], Awaitable[None]]) -> None:
    """Do work for each of items, a few at a time; the first error ends all."""
    source = iter(items)

    async def worker() -> None:
        for item in source:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(items))):
                group.create_task(worker())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
