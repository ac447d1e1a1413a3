from pathlib import Path

import pytest

from skerry.base import Conflict, NotFound
from skerry.objects import buckets
from skerry.objects.model import Bucket
from skerry.tables import Tables, namespaces, store
from tests.tables.warehouse import create, tell


def test_namespaces_lie_in_namespaces(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        for levels in (("a",), ("a", "b"), ("a", "c"), ("a b",), ("a", "b", "d")):
            await namespaces.make(tables, lake, levels, {})

        assert namespaces.page(tables, lake, (), "", 10) == [("a",), ("a b",), ("ns",)]
        assert namespaces.page(tables, lake, ("a",), "", 10) == [("a", "b"), ("a", "c")]
        assert namespaces.page(tables, lake, ("a",), "b", 10) == [("a", "c")]
        with pytest.raises(NotFound):
            await namespaces.make(tables, lake, ("none", "x"), {})
        with pytest.raises(Conflict):
            await namespaces.make(tables, lake, ("a", "b"), {})

    tell(tmp_path, story)


def test_properties_are_set_and_removed(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await namespaces.make(tables, lake, ("p",), {"a": "1", "b": "2"})
        missing = await namespaces.change(tables, lake, ("p",), {"c": "3", "a": "4"}, ["b", "x"])

        assert missing == ["x"]
        assert namespaces.find(tables, lake, ("p",)) == {"a": "4", "c": "3"}

    tell(tmp_path, story)


def test_what_is_not_empty_is_not_dropped(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        await namespaces.make(tables, lake, ("a",), {})
        await namespaces.make(tables, lake, ("a", "b"), {})
        for levels in (("ns",), ("a",)):
            with pytest.raises(Conflict):
                await namespaces.drop(tables, lake, levels)

        await namespaces.drop(tables, lake, ("a", "b"))
        await namespaces.drop(tables, lake, ("a",))
        with pytest.raises(NotFound):
            namespaces.find(tables, lake, ("a",))

    tell(tmp_path, story)


def test_namespaces_go_with_their_bucket(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await namespaces.make(tables, lake, ("gone",), {})
        await buckets.delete(tables.objects, "lake")

    async def after(tables: Tables, lake: Bucket) -> None:
        assert namespaces.page(tables, lake, (), "", 10) == [("ns",)]
        await namespaces.make(tables, lake, ("gone",), {})
        assert tables.database.read(store.bucket_numbers) == {lake.number}

    tell(tmp_path, story, after)
