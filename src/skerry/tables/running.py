"""The catalogue while it is served: opened, with what goes on in the background, and closed."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from skerry.objects import Objects
from skerry.tables import purge
from skerry.tables.context import Tables, open_tables


@contextlib.asynccontextmanager
async def running(
    directory: Path, objects: Objects, say: Callable[[str], None]
) -> AsyncGenerator[Tables]:
    """Give the block the catalogue that is kept beside a store. say: writes a line for its owner.

    Raises as `open_tables`.
    """
    tables = await open_tables(directory, objects)
    try:
        async with asyncio.TaskGroup() as group:
            purging = group.create_task(purge.run(tables, say))
            try:
                yield tables
            finally:
                purging.cancel()
    finally:
        tables.close()
