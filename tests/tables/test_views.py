import asyncio
from pathlib import Path
from typing import Any

import pytest

from skerry.base import Conflict, Invalid, NotFound
from skerry.objects.model import Bucket
from skerry.tables import Identifier, Tables, operations, views
from skerry.tables.operations import Loaded
from skerry.tables.views import ViewDefinition
from tests.tables.warehouse import SCHEMA, T, change, create, metadata_of, said, tell

V = Identifier(("ns",), "v")


def version(number: int) -> dict[str, Any]:
    sql = {"type": "sql", "sql": f"SELECT {number} AS a", "dialect": "duckdb"}
    return {
        "version-id": number, "schema-id": -1, "timestamp-ms": number, "summary": {},
        "representations": [sql], "default-namespace": ["ns"],
    }  # fmt: skip


async def make(tables: Tables, lake: Bucket, identifier: Identifier = V) -> Loaded:
    wanted = ViewDefinition(
        identifier=identifier, schema=said(SCHEMA), version=said({**version(1), "schema-id": 0}),
        properties={"p": "1"}, location=None,
    )  # fmt: skip
    return await views.create(tables, lake, wanted)


def replacing(number: int) -> list[dict[str, Any]]:
    return [
        {"action": "add-view-version", "view-version": version(number)},
        {"action": "set-current-view-version", "view-version-id": -1},
    ]


def test_a_view_is_made_replaced_and_there_after_a_restart(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        made = metadata_of(await make(tables, lake))
        same = {"type": "assert-view-uuid", "uuid": made["view-uuid"]}
        await views.replace(tables, lake, change(V, replacing(2), [same]))

    async def after(tables: Tables, lake: Bucket) -> None:
        told = metadata_of(await operations.load(tables, lake, V, "view"))
        assert (told["current-version-id"], len(told["versions"])) == (2, 2)
        assert [each["version-id"] for each in told["version-log"]] == [1, 2]
        assert operations.page(tables, lake, ("ns",), "view", "", 9) == ["v"]
        assert operations.page(tables, lake, ("ns",), "table", "", 9) == []

    tell(tmp_path, story, after)


def test_old_versions_are_forgotten(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await make(tables, lake)
        for number in range(2, 15):
            await views.replace(tables, lake, change(V, replacing(number)))
        told = metadata_of(await operations.load(tables, lake, V, "view"))
        assert [each["version-id"] for each in told["versions"]] == list(range(5, 15))
        assert [each["version-id"] for each in told["version-log"]] == list(range(5, 15))

    tell(tmp_path, story)


def test_of_two_who_add_one_version_one_does(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await make(tables, lake)
        both = [views.replace(tables, lake, change(V, replacing(2))) for _ in range(2)]
        done = await asyncio.gather(*both, return_exceptions=True)
        assert {type(each) for each in done} == {Invalid, Loaded}

    tell(tmp_path, story)


def test_tables_are_no_views_and_views_no_tables(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        await make(tables, lake)
        with pytest.raises(Conflict):
            await make(tables, lake, T)
        with pytest.raises(Conflict):
            await create(tables, lake, V)
        with pytest.raises(NotFound):
            await operations.load(tables, lake, V, "table")
        with pytest.raises(NotFound):
            await operations.drop(tables, lake, V, "table", purges=True)
        with pytest.raises(NotFound):
            await operations.commit(tables, lake, [change(V, [])])
        with pytest.raises(NotFound):
            await views.replace(tables, lake, change(T, []))

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "update",
    [
        {"action": "none"}, {"action": "add-view-version", "view-version": version(1)},
        {"action": "set-current-view-version", "view-version-id": 7}, {"action": "add-schema"},
        {"action": "assign-uuid", "uuid": "x"}, {"action": "set-properties", "updates": []}, {}, [],
        {"action": "upgrade-format-version", "format-version": 2},
        {"action": "set-location", "location": "s3://other/x"},
    ],
)  # fmt: skip
def test_updates_of_views_that_make_no_sense_are_refused(tmp_path: Path, update: object) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await make(tables, lake)
        with pytest.raises(Invalid):
            await views.replace(tables, lake, change(V, [update]))

    tell(tmp_path, story)


def test_properties_and_schemas_of_views_change(tmp_path: Path) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        made = await make(tables, lake)
        updates = [
            {"action": "set-properties", "updates": {"q": "2"}},
            {"action": "remove-properties", "removals": ["p", "none"]},
            {"action": "add-schema", "schema": {**SCHEMA, "schema-id": 1}},
        ]
        after = metadata_of(await views.replace(tables, lake, change(V, updates)))
        assert (after["properties"], len(after["schemas"])) == ({"q": "2"}, 2)
        wrong = {"type": "assert-view-uuid", "uuid": "another"}
        with pytest.raises(Conflict):
            await views.replace(tables, lake, change(V, updates[:1], [wrong]))
        await operations.drop(tables, lake, V, "view", purges=False)
        url = f"s3://lake/{made.metadata_key}"
        again = await views.register(tables, lake, V, url)
        assert again.metadata == made.metadata

    tell(tmp_path, story)
