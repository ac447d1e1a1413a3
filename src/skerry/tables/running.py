"""The catalogue while it is served: opened, with what goes on in the background, and closed."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

from skerry.objects import Objects
from skerry.tables import purge
from skerry.tables.context import Tables, open_tables


@contextlib.asynccontextmanager
async def running(directory: Path, objects: Objects) -> AsyncGenerator[Tables]:
    """Give the block the catalogue that is kept beside a store. Raises as `open_tables`."""
    tables = await open_tables(directory, objects)
    purging = asyncio.create_task(purge.run(tables))
    try:
        yield tables
    finally:
        purging.cancel()
        await asyncio.wait([purging])
        tables.close()
