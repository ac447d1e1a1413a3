"""The calls about tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from skerry.base import Invalid
from skerry.iceberg.call import Answer, Call, answer, nothing, page_token
from skerry.iceberg.router import DELETES, LISTS, READS, WRITES, Operation
from skerry.iceberg.shapes import Commit, Loaded, Named, Names, NewTable, Registered, Rename
from skerry.iceberg.shapes import Transaction as TransactionShape
from skerry.tables import Identifier, operations
from skerry.tables.model import ENTRIES_MAX, Kind, place_of
from skerry.tables.operations import Change, Definition

_IN = "/v1/{prefix}/namespaces/{namespace}"
_ONE = f"{_IN}/tables/{{table}}"


async def listed(call: Call) -> Answer:
    """List the tables of a namespace."""
    return names(call, "table")


def names(call: Call, kind: Kind) -> Answer:
    """Return a page of the tables or views of a namespace."""
    after, limit = call.page(ENTRIES_MAX)
    found = operations.page(call.tables, call.bucket, call.namespace, kind, after, limit + 1)
    token = page_token(found[limit - 1]) if len(found) > limit else None
    named = [Named(call.namespace, each) for each in found[:limit]]
    return answer(Names(identifiers=named, next_page_token=token))


async def made(call: Call) -> Answer:
    """Make a table, or tell what it would be."""
    new = call.said(NewTable)
    wanted = Definition(
        identifier=Identifier(call.namespace, new.name), schema=bytes(new.schema),
        spec=raw(new.partition_spec), order=raw(new.write_order), location=new.location,
        properties=new.properties or {},
    )  # fmt: skip
    verb = operations.stage if new.stage_create else operations.create
    return told(call, await verb(call.tables, call.bucket, wanted, allow(call)))


async def loaded(call: Call) -> Answer:
    """Tell what a table is now."""
    found = await operations.load(call.tables, call.bucket, call.identifier("table"), "table")
    if call.query.get("snapshots") == "refs":
        return told(call, found, referenced(found.metadata))
    return told(call, found)


async def exists(call: Call) -> Answer:
    """Tell that a table is there."""
    operations.find(call.tables, call.bucket, call.identifier("table"), "table")
    return nothing()


async def committed(call: Call) -> Answer:
    """Change a table."""
    change = change_of(call.identifier("table"), call.said(Commit))
    (after,) = await operations.commit(call.tables, call.bucket, [change], allow(call))
    return told(call, after, has_config=False)


async def all_committed(call: Call) -> Answer:
    """Change several tables, all or none."""
    said = call.said(TransactionShape)
    changes: list[Change] = []
    for each in said.table_changes:
        if each.identifier is None:
            raise Invalid("bad_json", "Each change of a transaction names its table.")
        changes.append(change_of(each.identifier.identifier(), each))
        check_entry(call, changes[-1].identifier, WRITES)
    await operations.commit(call.tables, call.bucket, changes, allow(call))
    return nothing()


async def dropped(call: Call) -> Answer:
    """Drop a table, with its files where that is asked for."""
    purges = call.query.get("purgeRequested", "").lower() == "true"
    identifier = call.identifier("table")
    if purges:
        check_entry(call, identifier, DELETES)
    await operations.drop(call.tables, call.bucket, identifier, "table", purges=purges)
    return nothing()


async def renamed(call: Call) -> Answer:
    """Give a table another name."""
    return await rename(call, "table")


async def rename(call: Call, kind: Kind) -> Answer:
    """Give a table or view another name."""
    said = call.said(Rename)
    source, destination = said.source.identifier(), said.destination.identifier()
    check_entry(call, source, WRITES)
    call.check(WRITES, f"{place_of(destination.namespace)}/")
    await operations.rename(call.tables, call.bucket, source, destination, kind)
    return nothing()


async def registered(call: Call) -> Answer:
    """Have a table be what a metadata file says."""
    said = call.said(Registered)
    identifier = Identifier(call.namespace, said.name)
    url, overwrites = said.metadata_location, bool(said.overwrite)
    call.check(READS, call.key(url))
    check_entry(call, identifier, WRITES)
    found = await operations.register(
        call.tables, call.bucket, identifier, url, allow(call), overwrites=overwrites
    )
    return told(call, found)


async def vended(call: Call) -> Answer:
    """Tell what is needed to read and write a table's files."""
    entry = operations.find(call.tables, call.bucket, call.identifier("table"), "table")
    config = call.vended(entry.location)
    return answer({"storage-credentials": [{"prefix": call.url(entry.location), "config": config}]})


async def measured(call: Call) -> Answer:
    """Take in what a client measured, which nobody reads."""
    operations.find(call.tables, call.bucket, call.identifier("table"), "table")
    return nothing()


def check_entry(call: Call, identifier: Identifier, action: str) -> None:
    """Raise where the caller may not do that with the files of a table or view, if it is there.

    What is not there yet is asked for by its namespace.
    """
    location = operations.location_of(call.tables, call.bucket, identifier)
    key = f"{place_of(identifier.namespace)}/" if location is None else files_of(location)
    call.check(action, key)


def allow(call: Call) -> Callable[[str], None]:
    """Return what raises where the caller may not write files at a location."""
    return lambda location: call.check(WRITES, files_of(location))


def files_of(location: str) -> str:
    """Return a key that stands for the files at a location."""
    return f"{location}/metadata/"


def change_of(identifier: Identifier, said: Commit) -> Change:
    """Return what is to become of a table or view."""
    return Change(
        identifier=identifier, requirements=[bytes(each) for each in said.requirements],
        updates=[bytes(each) for each in said.updates],
    )  # fmt: skip


def told(
    call: Call, found: operations.Loaded, metadata: bytes | None = None, *, has_config: bool = True
) -> Answer:
    """Return the answer that tells of a table."""
    key = found.metadata_key
    return answer(
        Loaded(
            metadata=Raw(metadata or found.metadata),
            metadata_location=call.url(key) if key is not None else None,
            config=call.vended(found.location) if has_config else None,
        )
    )


def referenced(metadata: bytes) -> bytes:
    """Return metadata with those snapshots alone that a branch or tag names."""
    said: dict[str, Any] = msgspec.json.decode(metadata, type=dict[str, Any])
    kept = {each["snapshot-id"] for each in said.get("refs", {}).values()}
    kept.add(said.get("current-snapshot-id"))
    said["snapshots"] = [each for each in said.get("snapshots", []) if each["snapshot-id"] in kept]
    return msgspec.json.encode(said)


def raw(said: Raw) -> bytes | None:
    """Return JSON that was sent, None for null."""
    return None if bytes(said) == b"null" else bytes(said)


OPERATIONS = (
    Operation("GET", f"{_IN}/tables", listed, LISTS),
    Operation("POST", f"{_IN}/tables", made, WRITES),
    Operation("GET", _ONE, loaded, READS),
    Operation("HEAD", _ONE, exists, READS),
    Operation("POST", _ONE, committed, WRITES),
    Operation("DELETE", _ONE, dropped, WRITES),
    Operation("GET", f"{_ONE}/credentials", vended, READS),
    Operation("POST", f"{_ONE}/metrics", measured, READS),
    Operation("POST", f"{_IN}/register", registered, WRITES),
    Operation("POST", "/v1/{prefix}/tables/rename", renamed, LISTS),
    Operation("POST", "/v1/{prefix}/transactions/commit", all_committed, LISTS),
)
