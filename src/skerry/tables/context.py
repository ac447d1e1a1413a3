"""The catalogue as a whole: its database, the store that its files lie in, and a thread to think in."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from skerry.base import NotBuilt
from skerry.host.database import Database
from skerry.objects import Objects, buckets
from skerry.tables import store

_T = TypeVar("_T")
_FILE = "catalog.db"
_LIBRARY = "pyiceberg"
_RANDOM_BYTES = 16


Allow: TypeAlias = Callable[[str], None]
"""Raises where files may not be written at a location, which is known only in the middle of a verb."""


def everywhere(_: str) -> None:
    """Allow files at every location."""


@dataclass(slots=True)
class Tables:
    """The context of every verb."""

    database: Database
    objects: Objects
    thread: ThreadPoolExecutor
    purge_wanted: asyncio.Event = field(default_factory=asyncio.Event)

    async def think(self, work: Callable[[], _T]) -> _T:
        """Run what takes long, and may import the library, in a thread.

        Raises NotBuilt(tables_not_installed), and what work raises.
        """
        check_installed()
        return await asyncio.get_running_loop().run_in_executor(self.thread, work)

    def random(self) -> bytes:
        """Return 16 random bytes."""
        return self.objects.entropy(_RANDOM_BYTES)

    def close(self) -> None:
        """Finish what is being written, and close."""
        self.thread.shutdown()
        self.database.close()


async def open_tables(directory: Path, objects: Objects) -> Tables:
    """Open the catalogue that is kept beside a store; it is made if there is none.

    Raises Failed(database_newer), LimitReached(data_full), NotAvailable(data_unwritable).
    """
    database = Database.open(directory / _FILE, {"tables": store.MIGRATIONS})
    there = {bucket.number for bucket in buckets.page(objects, "", "", buckets.BUCKETS_MAX)}
    gone = database.read(store.bucket_numbers) - there
    if gone:  # what was in a bucket that was deleted since; its number is not used again
        await database.write(lambda connection: store.forget(connection, gone))
    tables = Tables(database, objects, ThreadPoolExecutor(2, "tables"))
    tables.purge_wanted.set()
    return tables


def check_installed() -> None:
    """Raise NotBuilt(tables_not_installed) where the library is missing."""
    if importlib.util.find_spec(_LIBRARY) is None:
        raise NotBuilt(
            "tables_not_installed",
            "Tables need a package that is not installed: `pip install 'skerry[tables]'` brings it.",
        )
