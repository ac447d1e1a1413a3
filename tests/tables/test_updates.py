"""Random updates, sensible and not: each is refused as the sender's fault, or leaves a table that works."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.base import Conflict, Invalid
from skerry.objects.model import Bucket
from skerry.tables import Tables, commits, operations
from tests.tables.warehouse import T, change, create, metadata_of, tell

IDS = st.sampled_from([-1, 0, 1, 2, 3, 999, 2**31, 2**63, 2**70])
NAMES = st.sampled_from(["main", "a", "", "x" * 300, "\x00", "ä"])
TYPES = st.sampled_from(
    [
        "long",
        "int",
        "string",
        "decimal(9,2)",
        "decimal(99,99)",
        "fixed[-1]",
        "timestamp_ns",
        "variant",
        "x",
        7,
    ]
)
FIELD = st.fixed_dictionaries(
    {"id": IDS, "name": NAMES, "type": TYPES, "required": st.booleans()},
    optional={"initial-default": st.integers() | st.text(max_size=3), "doc": NAMES},
)
SCHEMA = st.fixed_dictionaries(
    {"type": st.just("struct"), "fields": st.lists(FIELD, max_size=4)},
    optional={"schema-id": IDS, "identifier-field-ids": st.lists(IDS, max_size=2)},
)
TRANSFORMS = st.sampled_from(
    ["identity", "bucket[0]", "bucket[16]", "truncate[-1]", "month", "void", "?"]
)
SPEC_FIELD = st.fixed_dictionaries(
    {"source-id": IDS, "field-id": IDS, "name": NAMES, "transform": TRANSFORMS}
)
SORT_FIELD = st.fixed_dictionaries(
    {
        "source-id": IDS, "transform": TRANSFORMS, "direction": st.sampled_from(["asc", "?"]),
        "null-order": st.just("nulls-first"),
    }
)  # fmt: skip
SNAPSHOT = st.fixed_dictionaries(
    {
        "snapshot-id": IDS, "sequence-number": IDS, "timestamp-ms": IDS, "manifest-list": NAMES,
        "summary": st.sampled_from([{"operation": "append"}, {"operation": "?"}, {}, None]),
    },
    optional={"parent-snapshot-id": IDS, "schema-id": IDS, "first-row-id": IDS, "added-rows": IDS},
)  # fmt: skip
SHAPES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "assign-uuid": {"uuid": NAMES},
    "upgrade-format-version": {"format-version": IDS},
    "add-schema": {"schema": SCHEMA, "last-column-id": IDS},
    "set-current-schema": {"schema-id": IDS},
    "add-spec": {"spec": st.fixed_dictionaries({"spec-id": IDS, "fields": st.lists(SPEC_FIELD, max_size=2)})},
    "set-default-spec": {"spec-id": IDS},
    "add-sort-order": {
        "sort-order": st.fixed_dictionaries({"order-id": IDS, "fields": st.lists(SORT_FIELD, max_size=2)})
    },
    "set-default-sort-order": {"sort-order-id": IDS},
    "add-snapshot": {"snapshot": SNAPSHOT},
    "set-snapshot-ref": {"ref-name": NAMES, "type": st.sampled_from(["branch", "tag", "?"]), "snapshot-id": IDS},
    "remove-snapshots": {"snapshot-ids": st.lists(IDS, max_size=2)},
    "remove-snapshot-ref": {"ref-name": NAMES},
    "set-properties": {"updates": st.dictionaries(NAMES, NAMES, max_size=3)},
    "remove-properties": {"removals": st.lists(NAMES, max_size=3)},
    "remove-schemas": {"schema-ids": st.lists(IDS, max_size=2)},
    "remove-partition-specs": {"spec-ids": st.lists(IDS, max_size=2)},
}  # fmt: skip
UPDATE = st.one_of(
    *(st.fixed_dictionaries({"action": st.just(name), **shape}) for name, shape in SHAPES.items())
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(UPDATE, min_size=1, max_size=4), min_size=5, max_size=15))
def test_a_table_outlives_all_updates(asked: list[list[dict[str, Any]]]) -> None:
    async def story(tables: Tables, lake: Bucket) -> None:
        await create(tables, lake)
        for updates in asked:
            try:
                (after,) = await commits.commit(tables, lake, [change(T, updates)])
            except (Invalid, Conflict):
                continue
            found = await operations.load(tables, lake, T, "table")
            assert metadata_of(found) == metadata_of(after)
        more = change(T, [{"action": "set-properties", "updates": {"still": "alive"}}])
        (after,) = await commits.commit(tables, lake, [more])
        assert metadata_of(after)["properties"]["still"] == "alive"

    with tempfile.TemporaryDirectory() as folder:
        tell(Path(folder), story)
