"""A catalogue on a simulated disk, with a warehouse called lake; and builders of what clients send."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from skerry.base import Conflict
from skerry.objects import buckets, listing
from skerry.objects.model import Bucket
from skerry.tables import Identifier, Tables, namespaces, operations, running
from skerry.tables.operations import Change, Definition, Loaded
from tests.objects.place import Ground

SCHEMA = {
    "type": "struct", "schema-id": 0,
    "fields": [{"id": 1, "name": "a", "required": False, "type": "long"}],
}  # fmt: skip
T, U = Identifier(("ns",), "t"), Identifier(("ns",), "u")
Story = Callable[[Tables, Bucket], Awaitable[None]]


@asynccontextmanager
async def opened(ground: Ground) -> AsyncGenerator[tuple[Tables, Bucket]]:
    async with ground.open() as objects, running(ground.folder, objects, print) as tables:
        if not buckets.is_there(objects, "lake"):
            await buckets.make(objects, "lake", "root")
        bucket = buckets.find(objects, "lake")
        with suppress(Conflict):
            await namespaces.make(tables, bucket, ("ns",), {})
        yield tables, bucket


def tell(folder: Path, *stories: Story) -> Ground:
    """Tell stories one after another, each with the catalogue opened anew."""
    ground = Ground(folder)

    async def whole() -> None:
        for story in stories:
            async with asyncio.timeout(60), opened(ground) as (tables, bucket):
                await story(tables, bucket)

    asyncio.run(whole())
    return ground


def said(document: object) -> bytes:
    return json.dumps(document).encode()


def definition(
    identifier: Identifier = T, location: str | None = None, **properties: str
) -> Definition:
    return Definition(
        identifier=identifier, schema=said(SCHEMA), spec=None, order=None,
        properties=properties, location=location,
    )  # fmt: skip


async def create(
    tables: Tables, bucket: Bucket, identifier: Identifier = T, location: str | None = None
) -> Loaded:
    return await operations.create(tables, bucket, definition(identifier, location))


def change(
    identifier: Identifier, updates: Sequence[object], requirements: Sequence[object] = ()
) -> Change:
    return Change(
        identifier=identifier, requirements=[said(each) for each in requirements],
        updates=[said(each) for each in updates],
    )  # fmt: skip


def set_properties(identifier: Identifier = T, **properties: str) -> Change:
    return change(identifier, [{"action": "set-properties", "updates": properties}])


def snapshot(number: int, before: int | None, manifest_list: str = "s3://lake/m") -> Change:
    """Return what an append sends, if the table's snapshot is `before`."""
    told = {
        "snapshot-id": number, "sequence-number": number, "timestamp-ms": 10**12 + number,
        "manifest-list": manifest_list, "summary": {"operation": "append"}, "schema-id": 0,
    }  # fmt: skip
    updates = [
        {"action": "add-snapshot", "snapshot": told},
        {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": number},
    ]
    ref = {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": before}
    return change(T, updates, [ref])


def creating(staged: Loaded, identifier: Identifier) -> Change:
    """Return the commit that makes a staged table, as DuckDB sends it."""
    metadata = metadata_of(staged)
    updates: list[dict[str, Any]] = [
        {"action": "assign-uuid", "uuid": metadata["table-uuid"]},
        {"action": "upgrade-format-version", "format-version": 2},
        {"action": "add-schema", "schema": SCHEMA, "last-column-id": 1},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "add-spec", "spec": {"spec-id": 0, "fields": []}},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}},
        {"action": "set-default-sort-order", "sort-order-id": -1},
        {"action": "set-location", "location": metadata["location"]},
    ]
    return change(identifier, updates, [{"type": "assert-create"}])


def metadata_of(loaded: Loaded) -> dict[str, Any]:
    return msgspec.json.decode(loaded.metadata, type=dict[str, Any])


def keys(tables: Tables, bucket: Bucket) -> list[str]:
    found = listing.page(tables.objects, bucket, prefix="", delimiter="", after="", limit=10_000)
    return [version.key for version in found.versions]
