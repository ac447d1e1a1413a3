import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skerry.base import Conflict, Invalid, NotFound, SkerryError, TooLarge
from skerry.objects import versions
from skerry.objects.model import Bucket
from skerry.tables import Identifier, Tables, files, namespaces, operations
from tests.tables.warehouse import (
    T,
    U,
    change,
    create,
    creating,
    definition,
    keys,
    metadata_of,
    said,
    set_properties,
    snapshot,
    tell,
)


async def properties(tables: Tables, lake: Bucket, identifier: Identifier = T) -> dict[str, str]:
    return metadata_of(await operations.load(tables, lake, identifier, "table"))["properties"]


async def error_of(work: Any) -> str:
    with pytest.raises(SkerryError) as caught:
        await work
    return caught.value.code


def test_a_table_is_there_after_a_restart(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await operations.create(tables, lake, definition(T, None, colour="red"))

    async def after(tables: Tables, lake: Bucket) -> None:
        loaded = await operations.load(tables, lake, T, "table")
        assert metadata_of(loaded)["properties"] == {"colour": "red"}
        assert metadata_of(loaded)["location"] == f"s3://lake/{loaded.location}"
        assert loaded.metadata_key is not None
        assert loaded.metadata_key.startswith(f"{loaded.location}/metadata/00000-")

    tell(tmp_path, story, after)


def test_a_name_is_taken_once_by_a_table_or_view(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        before = keys(tables, lake)
        assert await error_of(create(tables, lake)) == "table_exists"
        assert await error_of(create(tables, lake, Identifier(("no",), "t"))) == "no_such_namespace"
        assert keys(tables, lake) == before

    tell(tmp_path, story)


def test_a_staged_table_is_none_until_it_is_committed(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        staged = await operations.stage(tables, lake, definition())
        assert staged.metadata_key is None
        assert keys(tables, lake) == []
        with pytest.raises(NotFound):
            operations.find(tables, lake, T, "table")

        (made,) = await operations.commit(tables, lake, [creating(staged, T)])
        assert metadata_of(made)["table-uuid"] == metadata_of(staged)["table-uuid"]
        assert made.location == staged.location
        assert (
            await error_of(operations.commit(tables, lake, [creating(staged, T)]))
            == "commit_failed"
        )

    tell(tmp_path, story)


def test_a_commit_of_two_tables_is_whole_or_none(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        await create(tables, lake, U)
        await operations.commit(tables, lake, [set_properties(T, n="1"), set_properties(U, n="1")])
        wrong = change(U, [{"action": "set-properties", "updates": {"n": "2"}}], [
            {"type": "assert-current-schema-id", "current-schema-id": 7},
        ])  # fmt: skip
        before = keys(tables, lake)
        both = operations.commit(tables, lake, [set_properties(T, n="2"), wrong])
        assert await error_of(both) == "commit_failed"

        assert (await properties(tables, lake), await properties(tables, lake, U)) == (
            {"n": "1"}, {"n": "1"},
        )  # fmt: skip
        assert keys(tables, lake) == before

    tell(tmp_path, story)


def test_of_many_who_append_at_once_one_wins_each_time(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        before: int | None = None
        for turn in range(3):
            appends = [snapshot(10 * turn + n, before) for n in range(1, 6)]
            commits = [operations.commit(tables, lake, [each]) for each in appends]
            done = await asyncio.gather(*commits, return_exceptions=True)
            won = [each for each in done if not isinstance(each, BaseException)]
            assert len(won) == 1
            assert all(isinstance(e, Conflict) for e in done if isinstance(e, BaseException))
            before = metadata_of(won[0][0])["current-snapshot-id"]
        loaded = metadata_of(await operations.load(tables, lake, T, "table"))
        assert (len(loaded["snapshots"]), loaded["current-snapshot-id"]) == (3, before)
        assert len(keys(tables, lake)) == 4  # those that lost have left no metadata

    tell(tmp_path, story)


def test_what_does_not_exclude_each_other_all_happens(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        names = "abcd"
        await asyncio.gather(
            *(operations.commit(tables, lake, [set_properties(T, **{n: n})]) for n in names)
        )

        assert await properties(tables, lake) == {n: n for n in names}

    tell(tmp_path, story)


class PowerCut(BaseException):
    """The end of it."""


class Cut:
    """A database that is never written: power is cut before."""

    def __init__(self, real: Any) -> None:
        self.read: Callable[..., Any] = real.read
        self.close: Callable[[], None] = real.close

    async def write(self, work: object) -> None:
        raise PowerCut


def test_a_crash_between_metadata_and_pointer_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        tables.database = Cut(tables.database)  # type: ignore[assignment]
        with pytest.raises(PowerCut):
            await operations.commit(tables, lake, [set_properties(T, n="1")])
        assert len(keys(tables, lake)) == 2

    async def after(tables: Tables, lake: Bucket) -> None:
        assert await properties(tables, lake) == {}
        await operations.commit(tables, lake, [set_properties(T, n="2")])
        assert await properties(tables, lake) == {"n": "2"}

    tell(tmp_path, story, after)


def test_locations_never_lie_in_one_another(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake, T, "s3://lake/data/t")
        for url in ("s3://lake/data/t", "s3://lake/data", "s3://lake/data/t/inner/"):
            assert await error_of(create(tables, lake, U, url)) == "location_taken", url
        moved = change(T, [{"action": "set-location", "location": "s3://other/x"}])
        assert await error_of(operations.commit(tables, lake, [moved])) == "bad_location"
        await create(tables, lake, U, "s3://lake/data/t2")
        moved = change(T, [{"action": "set-location", "location": "s3://lake/data/t2/x"}])
        assert await error_of(operations.commit(tables, lake, [moved])) == "location_taken"
        moved = change(T, [{"action": "set-location", "location": "s3://lake/data/t/x"}])
        (after,) = await operations.commit(tables, lake, [moved])
        assert after.location == "data/t/x"

    tell(tmp_path, story)


def test_a_table_is_renamed_and_registered_again(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        made = await create(tables, lake)
        await create(tables, lake, U)
        assert await error_of(operations.rename(tables, lake, T, U, "table")) == "table_exists"
        await namespaces.make(tables, lake, ("ns", "in"), {})
        moved = Identifier(("ns", "in"), "t2")
        await operations.rename(tables, lake, T, moved, "table")
        assert operations.page(tables, lake, ("ns",), "table", "", 10) == ["u"]
        url = f"s3://lake/{made.metadata_key}"
        again = operations.register(tables, lake, T, url, overwrites=False)
        assert await error_of(again) == "location_taken"
        await operations.drop(tables, lake, moved, "table", purges=False)
        await operations.register(tables, lake, T, url, overwrites=False)
        assert (await operations.load(tables, lake, T, "table")).metadata == made.metadata
        await operations.register(tables, lake, T, url, overwrites=True)

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("update", "code"),
    [
        ({"action": "no-such"}, "bad_update"),
        ({"action": "set-current-schema", "schema-id": 9}, "bad_update"),
        ({"action": "assign-uuid", "uuid": "00000000-0000-4000-8000-000000000000"}, "bad_update"),
        ({"action": "upgrade-format-version", "format-version": 1}, "bad_update"),
        ({"action": "upgrade-format-version", "format-version": 4}, "bad_update"),
        ({"action": "remove-snapshots", "snapshot-ids": [1]}, "bad_update"),
        ({"action": "set-location", "location": "s3://lake/../x"}, "bad_location"),
        ([], "bad_update"),
    ],
)
def test_updates_that_make_no_sense_are_refused(tmp_path: Path, update: object, code: str) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        assert await error_of(operations.commit(tables, lake, [change(T, [update])])) == code

    tell(tmp_path, story)


def test_removing_what_is_not_there_does_nothing(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        await operations.commit(tables, lake, [set_properties(T, a="1", b="2")])
        gone = change(T, [{"action": "remove-properties", "removals": ["a", "a", "none"]}])
        await operations.commit(tables, lake, [gone])
        before = keys(tables, lake)
        await operations.commit(tables, lake, [gone])
        assert (await properties(tables, lake), keys(tables, lake)) == ({"b": "2"}, before)

    tell(tmp_path, story)


def test_a_table_of_the_third_format_is_made_and_changed(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        upgrade = change(T, [{"action": "upgrade-format-version", "format-version": 3}])
        await operations.commit(tables, lake, [upgrade])
        (after,) = await operations.commit(tables, lake, [set_properties(T, a="1")])
        told = metadata_of(after)
        assert (told["format-version"], told["next-row-id"]) == (3, 0)
        assert [each["metadata-file"] for each in told["metadata-log"]] != []

    tell(tmp_path, story)


def test_what_the_library_does_not_know_stays(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        made = await create(tables, lake)
        told = {**metadata_of(made), "encryption-keys": [{"key-id": "k"}]}
        await files.write(tables, lake, "x/1.metadata.json", said(told))
        await operations.drop(tables, lake, T, "table", purges=False)
        url = "s3://lake/x/1.metadata.json"
        await operations.register(tables, lake, T, url, overwrites=False)
        (after,) = await operations.commit(tables, lake, [set_properties(T, a="1")])
        assert metadata_of(after)["encryption-keys"] == [{"key-id": "k"}]

    tell(tmp_path, story)


def test_big_metadata_lies_in_a_file_and_has_a_limit(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        await operations.commit(tables, lake, [set_properties(T, a="x" * (3 << 20))])
        assert len((await properties(tables, lake))["a"]) == 3 << 20
        too_much = [{"action": "set-properties", "updates": {"b": "x" * (15 << 20)}}]
        with pytest.raises(TooLarge):
            await operations.commit(tables, lake, [change(T, too_much)])
        with pytest.raises(TooLarge):
            await operations.commit(tables, lake, [change(T, [None] * 2001)])
        with pytest.raises(TooLarge):
            await operations.commit(tables, lake, [set_properties(T, a="")] * 101)

    tell(tmp_path, story)


def test_a_table_whose_metadata_was_deleted_can_be_dropped(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        made = await create(tables, lake)
        await versions.delete(tables.objects, "lake", str(made.metadata_key))
        with pytest.raises(NotFound):
            await operations.load(tables, lake, T, "table")
        await operations.drop(tables, lake, T, "table", purges=True)
        await create(tables, lake)

    tell(tmp_path, story)


def test_a_schema_that_is_none_is_refused(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        inner = b'{"type":"list","element-id":1,"element-required":false,"element":' * 3000
        field = b'{"id":1,"name":"a","required":false,"type":'
        deep = b'{"type":"struct","fields":[' + field + inner + b'"long"' + b"}" * 3001 + b"]}"
        for schema in (b"[]", b'{"type":"struct","fields":[{"id":1}]}', b"\xff", deep):
            wanted = operations.Definition(
                identifier=T, schema=schema, spec=None, order=None, properties={}, location=None
            )
            with pytest.raises(Invalid):
                await operations.create(tables, lake, wanted)

    tell(tmp_path, story)
