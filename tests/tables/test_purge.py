"""What is purged, with manifests that the library writes."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.io import InputFile, OutputFile
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record

from skerry.base import Conflict, Invalid
from skerry.objects import versions
from skerry.objects.model import Bucket
from skerry.tables import Tables, files, operations, purge, store
from skerry.tables.model import Purge
from skerry.tables.operations import Loaded
from tests.tables.warehouse import SCHEMA, T, create, keys, set_properties, snapshot, tell


class Written(OutputFile):
    """A file in memory."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.buffer = io.BytesIO()
        self.buffer.close = lambda: None

    def __len__(self) -> int:
        return len(self.buffer.getvalue())

    def exists(self) -> bool:
        return True

    def to_input_file(self) -> InputFile:
        raise NotImplementedError

    def create(self, overwrite: bool = False) -> Any:  # noqa: FBT001, FBT002 - the library's
        return self.buffer


def manifests_of(location: str, names: list[str], number: int) -> dict[str, bytes]:
    """Return the files of a snapshot with data files of these URLs: a manifest and what lists it."""
    schema = Schema.model_validate(SCHEMA)
    manifest = Written(f"s3://lake/{location}/metadata/m{number}.avro")
    spec = UNPARTITIONED_PARTITION_SPEC
    with write_manifest(2, spec, schema, manifest, number, "deflate") as writer:
        for url in names:
            data = DataFile.from_args(
                content=DataFileContent.DATA, file_path=url, file_format=FileFormat.PARQUET,
                partition=Record(), record_count=1, file_size_in_bytes=1,
            )  # fmt: skip
            entry = ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED, snapshot_id=number, data_file=data
            )
            writer.add_entry(entry)
    listed = Written(f"s3://lake/{location}/metadata/l{number}.avro")
    with write_manifest_list(2, listed, number, None, number, "deflate") as lister:
        lister.add_manifests([writer.to_manifest_file()])
    written = (manifest, listed)
    return {each.location.removeprefix("s3://lake/"): each.buffer.getvalue() for each in written}


async def filled(tables: Tables, lake: Bucket, *more: str) -> Loaded:
    """Make a table with a snapshot whose manifest names two files of it, and others."""
    made = await create(tables, lake)
    own = [f"{made.location}/data/{n}.parquet" for n in range(2)]
    urls = [*(f"s3://lake/{key}" for key in own), *more]
    for key, data in manifests_of(made.location, urls, 1).items():
        await files.write(tables, lake, key, data)
    for key in own:
        await files.write(tables, lake, key, b"data")
    listed = f"s3://lake/{made.location}/metadata/l1.avro"
    await operations.commit(tables, lake, [snapshot(1, None, listed)])
    return made


def wanted(tables: Tables) -> Purge | None:
    return tables.database.read(lambda connection: store.next_purge(connection, 0))


async def until_purged(tables: Tables) -> None:
    while wanted(tables) is not None:
        await asyncio.sleep(0)


def test_all_files_of_a_table_go_and_no_others(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        others = ["other/x", "ns/t", "y"]
        for key in others:
            await files.write(tables, lake, key, b"mine")
        urls = ["s3://lake/other/x", "s3://lake/ns/t", "/y", "s3://no-such/z"]
        made = await filled(tables, lake, *urls, "s3://lake/{made}/../other/x")
        stray = f"{made.location}/data/stray"
        await files.write(tables, lake, stray, b"nobody names it")

        await operations.drop(tables, lake, T, "table", purges=True)
        await until_purged(tables)
        assert keys(tables, lake) == sorted([*others, stray])

    tell(tmp_path, story)


def test_a_drop_without_purge_keeps_the_files(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await filled(tables, lake)
        before = keys(tables, lake)
        await operations.drop(tables, lake, T, "table", purges=False)
        assert (keys(tables, lake), wanted(tables)) == (before, None)

    tell(tmp_path, story)


def test_a_purge_that_was_cut_short_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        made = await filled(tables, lake)
        tables.purge_wanted = asyncio.Event()  # nobody waits for this one
        await operations.drop(tables, lake, T, "table", purges=True)
        await versions.delete(tables.objects, "lake", f"{made.location}/data/0.parquet")
        await versions.delete(tables.objects, "lake", f"{made.location}/metadata/m1.avro")
        assert wanted(tables) is not None
        taken = create(tables, lake, T, f"s3://lake/{made.location}")
        with pytest.raises(Conflict):
            await taken

    async def after(tables: Tables, lake: Bucket) -> None:
        await until_purged(tables)
        # The manifest was gone before a file that it names: not by a purge, which goes leaf first.
        assert [key.rpartition("/")[2] for key in keys(tables, lake)] == ["1.parquet"]

    tell(tmp_path, story, after)


def test_a_table_that_keeps_its_files_says_so(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await filled(tables, lake)
        await operations.commit(tables, lake, [set_properties(T, **{"gc.enabled": "false"})])
        before = keys(tables, lake)
        await operations.drop(tables, lake, T, "table", purges=True)
        await until_purged(tables)
        assert keys(tables, lake) == before

    tell(tmp_path, story)


def test_what_can_not_be_read_is_left_for_the_next_start(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        made = await filled(tables, lake)
        await files.write(tables, lake, f"{made.location}/metadata/l1.avro", b"no manifest list")
        tables.purge_wanted = asyncio.Event()
        await operations.drop(tables, lake, T, "table", purges=True)
        found = wanted(tables)
        assert found is not None
        with pytest.raises(Invalid):
            await purge.purge(tables, found)
        assert wanted(tables) == found

    tell(tmp_path, story)
