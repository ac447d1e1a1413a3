import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.iceberg.door import Door, tell
from tests.tables.test_views import replacing, version
from tests.tables.warehouse import SCHEMA, U, creating, set_properties, snapshot

NS = "lake/namespaces/ns"
TABLE = {"name": "t", "schema": SCHEMA, "partition-spec": None, "write-order": None}


async def made(door: Door, name: str = "t") -> dict[str, Any]:
    return (await door.call("POST", f"{NS}/tables", {**TABLE, "name": name})).document


def commit_of(change: Any) -> dict[str, Any]:
    return {
        "identifier": {"namespace": ["ns"], "name": change.identifier.name},
        "requirements": [json.loads(each) for each in change.requirements],
        "updates": [json.loads(each) for each in change.updates],
    }


def test_the_configuration_names_the_warehouse_and_all_calls(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        for name in ("lake", "s3://lake/"):
            told = await door.call("GET", f"config?warehouse={name}")
            assert told.document["overrides"] == {"prefix": "lake"}
        assert "POST /v1/{prefix}/transactions/commit" in told.document["endpoints"]
        assert (await door.call("GET", "config")).error == (400, "BadRequestException")
        ann = await door.token("ann")
        none = await door.call("GET", "config?warehouse=none", authorization=ann)
        assert none.error == (404, "NotFoundException")

    tell(tmp_path, story)


def test_namespaces(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        new = {"namespace": ["a"], "properties": {"k": "v"}}
        assert (await door.call("POST", "lake/namespaces", new)).document == new
        assert (await door.call("POST", "lake/namespaces", new)).error == (
            409,
            "AlreadyExistsException",
        )
        await door.call("POST", "lake/namespaces", {"namespace": ["a", "b c/d"]})
        listed = await door.call("GET", "lake/namespaces?parent=a")
        assert listed.document == {"namespaces": [["a", "b c/d"]]}
        inner = "lake/namespaces/a%1Fb%20c%2Fd"
        assert (await door.call("HEAD", inner)).status == 204
        change = {"updates": {"x": "1"}, "removals": ["k", "no"]}
        told = await door.call("POST", "lake/namespaces/a/properties", change)
        assert told.document == {"updated": ["x"], "removed": ["k"], "missing": ["no"]}
        twice = {"updates": {"x": "1"}, "removals": ["x"]}
        told = await door.call("POST", "lake/namespaces/a/properties", twice)
        assert told.error == (422, "UnprocessableEntityException")
        assert (await door.call("DELETE", "lake/namespaces/a")).error == (
            409,
            "NamespaceNotEmptyException",
        )
        assert (await door.call("DELETE", inner)).status == 204
        assert (await door.call("GET", inner)).error == (404, "NoSuchNamespaceException")

    tell(tmp_path, story)


def test_listings_come_in_pages_where_the_client_knows_them(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        for name in "abcde":
            await made(door, name)
        whole = await door.call("GET", f"{NS}/tables")
        assert [each["name"] for each in whole.document["identifiers"]] == list("abcde")
        names: list[str] = []
        token = ""
        while token is not None:
            page = await door.call("GET", f"{NS}/tables?pageSize=2&pageToken={token}")
            names += [each["name"] for each in page.document["identifiers"]]
            token = page.document.get("next-page-token")
        assert names == list("abcde")
        assert (await door.call("GET", f"{NS}/tables?pageToken=!")).error[0] == 400

    tell(tmp_path, story)


def test_a_table_from_its_making_to_its_end(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        told = await made(door)
        assert told["metadata-location"].startswith(told["metadata"]["location"])
        assert (await door.call("GET", f"{NS}/tables/t")).document["metadata"] == told["metadata"]
        change = commit_of(set_properties(a="1"))
        after = (await door.call("POST", f"{NS}/tables/t", change)).document
        assert after["metadata"]["properties"] == {"a": "1"}
        assert "config" not in after
        rename = {"source": {"namespace": ["ns"], "name": "t"}, "destination": {"namespace": ["ns"], "name": "u"}}  # fmt: skip
        assert (await door.call("POST", "lake/tables/rename", rename)).status == 204
        assert (await door.call("HEAD", f"{NS}/tables/t")).status == 404
        assert (await door.call("POST", f"{NS}/tables/u/metrics", {"any": "thing"})).status == 204
        assert (await door.call("DELETE", f"{NS}/tables/u?purgeRequested=false")).status == 204
        again = {"name": "t", "metadata-location": after["metadata-location"]}
        told = (await door.call("POST", f"{NS}/register", again)).document
        assert told["metadata"] == after["metadata"]

    tell(tmp_path, story)


def test_a_transaction_makes_one_table_and_changes_another(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        await made(door)
        staged = await door.call(
            "POST", f"{NS}/tables", {**TABLE, "name": "u", "stage-create": True}
        )
        assert "metadata-location" not in staged.document
        location = staged.document["metadata"]["location"]
        creates = commit_of(creating(_Staged(staged.document["metadata"]), U))  # type: ignore[arg-type]
        changes = {"table-changes": [commit_of(set_properties(a="1")), creates]}
        assert (await door.call("POST", "lake/transactions/commit", changes)).status == 204
        after = (await door.call("GET", f"{NS}/tables/u")).document
        assert after["metadata"]["location"] == location
        again = await door.call("POST", "lake/transactions/commit", changes)
        assert again.error == (409, "CommitFailedException")
        nameless: dict[str, Any] = {"table-changes": [{"requirements": [], "updates": []}]}
        assert (await door.call("POST", "lake/transactions/commit", nameless)).error[0] == 400

    tell(tmp_path, story)


class _Staged:
    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = json.dumps(metadata).encode()


def test_snapshots_that_nothing_names_are_left_out_on_request(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        await made(door)
        for number, before in ((1, None), (2, 1)):
            await door.call("POST", f"{NS}/tables/t", commit_of(snapshot(number, before)))
        all_of_them = (await door.call("GET", f"{NS}/tables/t?snapshots=all")).document
        named = (await door.call("GET", f"{NS}/tables/t?snapshots=refs")).document
        assert len(all_of_them["metadata"]["snapshots"]) == 2
        assert [each["snapshot-id"] for each in named["metadata"]["snapshots"]] == [2]

    tell(tmp_path, story)


def test_views(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        new = {"name": "v", "schema": SCHEMA, "view-version": {**version(1), "schema-id": 0}, "properties": {}}  # fmt: skip
        told = await door.call("POST", f"{NS}/views", new)
        assert told.document["metadata"]["current-version-id"] == 1
        assert (await door.call("POST", f"{NS}/views", new)).error == (
            409,
            "AlreadyExistsException",
        )
        listed = (await door.call("GET", f"{NS}/views")).document["identifiers"]
        assert listed == [{"namespace": ["ns"], "name": "v"}]
        after = await door.call("POST", f"{NS}/views/v", {"updates": replacing(2)})
        assert after.document["metadata"]["current-version-id"] == 2
        rename = {"source": listed[0], "destination": {"namespace": ["ns"], "name": "w"}}
        assert (await door.call("POST", "lake/views/rename", rename)).status == 204
        assert (await door.call("GET", f"{NS}/views/v")).error == (404, "NoSuchViewException")
        assert (await door.call("HEAD", f"{NS}/views/w")).status == 204
        assert (await door.call("DELETE", f"{NS}/views/w")).status == 204
        again = {"name": "v", "metadata-location": after.document["metadata-location"]}
        assert (await door.call("POST", f"{NS}/register-view", again)).status == 200
        assert (await door.call("GET", f"{NS}/views/v")).document["metadata"] == after.document[
            "metadata"
        ]

    tell(tmp_path, story)


def test_what_reaches_the_files_is_vended_with_a_table(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        told = await made(door)
        ann = await door.token("ann")
        found = await door.call("GET", f"{NS}/tables/t", authorization=ann, host="me.test:9000")
        prefix = told["metadata"]["location"].removeprefix("s3://lake/")
        assert found.document["config"] == {
            "s3.endpoint": "http://me.test:9000", "s3.path-style-access": "true",
            "s3.region": "here", "client.region": "here", "vended": f"ann lake {prefix} True",
        }  # fmt: skip
        (vended,) = (await door.call("GET", f"{NS}/tables/t/credentials", host="x\r\ny")).document[
            "storage-credentials"
        ]
        assert vended["prefix"] == told["metadata"]["location"]
        assert vended["config"]["vended"] == f" lake {prefix} True"
        assert "s3.endpoint" not in vended["config"]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 501), ("GET", "nothing/here", 501), ("PUT", NS, 400), ("GET", f"{NS}/tables/%FF", 400),
        ("GET", f"{NS}/tables/none", 404), ("GET", "lake/namespaces/none/tables", 404),
        ("POST", f"{NS}/tables/t/plan", 501), ("GET", f"{NS}/tables?{'a&' * 20}", 400),
        ("POST", "config", 501), ("GET", "lake/namespaces?parent=none", 404),
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere(tmp_path: Path, method: str, path: str, status: int) -> None:
    async def story(door: Door) -> None:
        assert (await door.call(method, path)).error[0] == status

    tell(tmp_path, story)


def test_bodies_have_a_limit_and_a_type(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        big = await door.raw("POST", "lake/namespaces", b" " * ((8 << 20) + 1))
        assert big.error[0] == 413
        form = await door.raw("POST", "lake/namespaces", b"{}", content_type="text/plain")
        assert form.error == (400, "BadRequestException")
        deep = b'{"namespace":["a"],"x":' + b"[" * 100_000
        for body in (deep, b"{", b"[]", b'{"namespace":"a"}', b'{"namespace":[]}', b"\xff"):
            assert (await door.raw("POST", "lake/namespaces", body)).error[0] == 400

    tell(tmp_path, story)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "schema",
                    "type",
                    "fields",
                    "id",
                    "updates",
                    "requirements",
                    "action",
                    "identifier",
                    "table-changes",
                    "namespace",
                    "properties",
                    "view-version",
                    "location",
                    "source-id",
                    "partition-spec",
                    "stage-create",
                    "snapshot",
                    "metadata-location",
                    "source",
                    "destination",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
PATHS = ("namespaces", "namespaces/ns/tables", "namespaces/ns/tables/t", "namespaces/ns/register",
         "transactions/commit", "namespaces/ns/views", "namespaces/ns/properties", "tables/rename",
         "namespaces/ns/views/v")  # fmt: skip


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.sampled_from(PATHS), JSON), min_size=10, max_size=30))
def test_no_document_breaks_the_catalogue(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[str, object]]
) -> None:
    async def story(door: Door) -> None:
        await made(door)
        for path, document in asked:
            assert (await door.call("POST", f"lake/{path}", document)).status < 500, (
                path,
                document,
            )

    tell(tmp_path_factory.mktemp("fuzz"), story)
