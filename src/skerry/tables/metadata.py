"""What a table's metadata becomes: made, changed, checked, by the library's models.

Slow to import and to run: only for the catalogue's thread. What clients send goes into a library
that was not written for strangers, so that whatever it raises is taken as their error.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID  # noqa: TID251 - the library's type; none are made here

import msgspec
from msgspec import Struct
from pydantic import TypeAdapter
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import (
    TableMetadata,
    TableMetadataUtil,
    TableMetadataV1,
    TableMetadataV3,
    new_table_metadata,
)
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import (
    AssignUUIDUpdate,
    RemovePropertiesUpdate,
    SetLocationUpdate,
    SetPropertiesUpdate,
    TableRequirement,
    TableUpdate,
    UpgradeFormatVersionUpdate,
    update_table_metadata,
)

from skerry.base import Conflict, Invalid, SkerryError, TooLarge
from skerry.tables.model import METADATA_BYTES_MAX

_MESSAGE_CHARACTERS_MAX = 500
_updates: TypeAdapter[tuple[TableUpdate, ...]] = TypeAdapter(tuple[TableUpdate, ...])
_requirements: TypeAdapter[tuple[TableRequirement, ...]] = TypeAdapter(tuple[TableRequirement, ...])


class Made(Struct, frozen=True):
    """Metadata, as the bytes of its file. location: a URL."""

    data: bytes
    uuid: str
    location: str


class Wanted(Struct, frozen=True, kw_only=True):
    """What a new table is to be. schema, spec, order: JSON of the specification; location: a URL."""

    schema: bytes
    spec: bytes | None
    order: bytes | None
    properties: dict[str, str]
    location: str
    uuid: str


def created(wanted: Wanted) -> Made:
    """Return the metadata of a new table. Raises Invalid(bad_metadata), TooLarge."""
    with their_error("bad_metadata"):
        schema = Schema.model_validate_json(wanted.schema)
        spec, order = UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER
        if wanted.spec is not None:
            spec = PartitionSpec.model_validate_json(wanted.spec)
        if wanted.order is not None:
            order = SortOrder.model_validate_json(wanted.order)
        metadata = new_table_metadata(
            schema, spec, order, wanted.location, dict(wanted.properties), UUID(wanted.uuid)
        )
        return _made(metadata, {})


def heard(data: bytes) -> Made:
    """Return metadata that somebody wrote, if it is some. Raises Invalid(bad_metadata)."""
    with their_error("bad_metadata"):
        metadata = TableMetadataUtil.parse_raw(data.decode())
        return Made(data, str(metadata.table_uuid), metadata.location)


def changed(
    base: bytes | None,
    base_url: str | None,
    requirements: Sequence[bytes],
    updates: Sequence[bytes],
    check_location: Callable[[str], object],
) -> Made | None:
    """Return what metadata becomes, None if it stays; base: None for a table that is to be made.

    check_location: raises where a location is none for this table. Raises Conflict(commit_failed)
    where a requirement does not hold, Invalid(bad_metadata, bad_update), TooLarge.
    """
    before, others = None, {}
    if base is not None:
        with their_error("bad_metadata"):
            before = TableMetadataUtil.parse_raw(base.decode())
            others = _unknown(base, before)
    with their_error("bad_update"):
        for requirement in _requirements.validate_json(_array(requirements)):
            requirement.validate(before)
        asked = _updates.validate_json(_array(updates))
    for each in asked:
        if isinstance(each, SetLocationUpdate):
            check_location(each.location)
        if isinstance(each, AssignUUIDUpdate) and before and each.uuid != before.table_uuid:
            raise Invalid("bad_update", "A table keeps its UUID.")
    with their_error("bad_update"):
        start: TableMetadata = before or TableMetadataV1.model_construct(
            last_column_id=-1, schema=Schema()
        )
        if any(_is_to_version_3(each) for each in asked):
            start = _as_version_3(start)
        asked = tuple(_with_what_is_there(start.properties, asked))
        after = update_table_metadata(
            start, asked, enforce_validation=before is None, metadata_location=base_url
        )
        return None if after == before else _made(after, others)


def _made(metadata: TableMetadata, others: dict[str, Any]) -> Made:
    said = metadata.model_dump(mode="json")  # the library writes no JSON of version 3 by itself
    data = msgspec.json.encode({**others, **said})
    if len(data) > METADATA_BYTES_MAX:
        raise TooLarge(
            "metadata_too_large",
            f"The metadata of a table has at most {METADATA_BYTES_MAX} bytes. Expire snapshots.",
        )
    TableMetadataUtil.parse_raw(data.decode())  # nothing is kept that nobody could read
    return Made(data, str(metadata.table_uuid), metadata.location)


def _unknown(base: bytes, metadata: TableMetadata) -> dict[str, Any]:
    """Return what metadata says that the library does not know, which is to stay."""
    known = {field.alias or name for name, field in type(metadata).model_fields.items()}
    said: dict[str, Any] = msgspec.json.decode(base, type=dict[str, Any])
    return {name: value for name, value in said.items() if name not in known}


def _with_what_is_there(
    properties: dict[str, str], updates: Sequence[TableUpdate]
) -> Generator[TableUpdate]:
    """Yield updates, without those that the library fails on and that have nothing to do any more."""
    there = set(properties)
    for each in updates:
        if _is_to_version_3(each):
            continue
        if isinstance(each, SetPropertiesUpdate):
            there |= each.updates.keys()
        if isinstance(each, RemovePropertiesUpdate):
            removals = there & set(each.removals)
            there -= removals
            yield RemovePropertiesUpdate(removals=sorted(removals))
        else:
            yield each


def _is_to_version_3(update: TableUpdate) -> bool:
    return isinstance(update, UpgradeFormatVersionUpdate) and update.format_version == 3


def _as_version_3(metadata: TableMetadata) -> TableMetadata:
    """Return metadata in the third format, which the library changes but does not upgrade to."""
    if metadata.format_version == 3:
        return metadata
    fields = {name: value for name, value in metadata if name in TableMetadataV3.model_fields}
    fields |= {"format_version": 3, "next_row_id": 0}
    return TableMetadataV3.model_construct(set(fields), **fields)


def _array(items: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


@contextmanager
def their_error(code: str) -> Generator[None]:
    """Have whatever the library raises be an error of who sent what it was given."""
    try:
        yield
    except CommitFailedException as error:
        raise Conflict("commit_failed", f"{error}. Load the table and try again.") from None
    except SkerryError:
        raise
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise Invalid(code, text[:_MESSAGE_CHARACTERS_MAX]) from error
