"""`skerry s3` as a catalogue of Iceberg tables: DuckDB, pyiceberg and PyArrow, unchanged. No root."""

import json
import signal
import sysconfig
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchTableError,
    TableAlreadyExistsError,
    UnauthorizedError,
)
from pyiceberg.types import LongType
from pyiceberg.view.metadata import SQLViewRepresentation, ViewRepresentation, ViewVersion

from tests.e2e.test_s3 import ACCESS, KILLS, SECRET, Store, code_of

CLIENTS = 4
BUCKETS = {
    "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET,
    "SKERRY_BUCKETS": "lake:public,private,shown:download",
}  # fmt: skip
ROWS = pa.table({"a": pa.array([1, 2, 3], pa.int64()), "b": ["x", "y", "z"]})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store(tmp_path_factory.mktemp("tables"))
    made.start(**BUCKETS)
    yield made
    assert made.end() == 0


@pytest.fixture
def space(store: Store, request: pytest.FixtureRequest) -> str:
    """Make a namespace for a test."""
    name = f"n{abs(hash(request.node.nodeid)) % 10**10}"
    pyiceberg(store).create_namespace(name)
    return name


class Duck:
    """DuckDB with its extensions loaded from packages, since it can fetch none here."""

    def __init__(self) -> None:
        config = {"autoinstall_known_extensions": "false"}
        self.connection = duckdb.connect(config=config)
        site = sysconfig.get_paths()["platlib"]
        for name in ("avro", "httpfs", "iceberg"):  # the last needs the first
            folder = f"{site}/duckdb_extension_{name}/extensions/v{duckdb.__version__}"
            self.connection.execute(f"LOAD '{folder}/{name}.duckdb_extension'")

    def __call__(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements; return what the last one gives."""
        for each in statements:
            found = self.connection.execute(each).fetchall()
        return found


def duck(store: Store, space: str, warehouse: str = "lake") -> Duck:
    """Return DuckDB that knows nothing but an address, with the namespace in use."""
    made = Duck()
    made(
        f"ATTACH '{warehouse}' AS ice (TYPE iceberg, ENDPOINT '{store.url}/iceberg', "
        "AUTHORIZATION_TYPE 'none')",
        f"USE ice.{space}",
    )
    return made


def pyiceberg(store: Store, warehouse: str = "lake", **more: str) -> Catalog:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a later version wants to be told where tokens are
        uri = f"{store.url}/iceberg"
        return load_catalog("test", type="rest", uri=uri, warehouse=warehouse, **more)


def test_duckdb_makes_and_changes_a_table_without_a_secret(store: Store, space: str) -> None:
    sql = duck(store, space)
    sql(
        "CREATE TABLE t (a BIGINT, b VARCHAR)",
        "INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')",
        "UPDATE t SET b = 'changed' WHERE a = 2",
        "DELETE FROM t WHERE a = 1",
        "MERGE INTO t USING (VALUES (3, 'merged'), (4, 'new')) v(a, b) ON t.a = v.a "
        "WHEN MATCHED THEN UPDATE SET b = v.b WHEN NOT MATCHED THEN INSERT VALUES (v.a, v.b)",
    )
    assert sql("FROM t ORDER BY a") == [(2, "changed"), (3, "merged"), (4, "new")]

    sql("CREATE TABLE u AS SELECT range AS n FROM range(100000)")
    assert duck(store, space)("SELECT count(*), sum(n) FROM u") == [(100000, 4999950000)]
    sql("DROP TABLE u")
    assert [row[0] for row in sql("SHOW TABLES")] == ["t"]


def test_duckdb_commits_several_tables_or_none(store: Store, space: str) -> None:
    sql, other = duck(store, space), duck(store, space)
    sql("CREATE TABLE t (a INT)", "CREATE TABLE u (a INT)")
    sql("BEGIN", "INSERT INTO t VALUES (1)", "INSERT INTO u VALUES (1)", "CREATE TABLE w (a INT)",
        "INSERT INTO w VALUES (1)")  # fmt: skip
    assert other("SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM u)") == [(0,)]
    sql("COMMIT")
    count = "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u), (SELECT count(*) FROM w)"
    assert duck(store, space)(count) == [(1, 1, 1)]

    sql("BEGIN", "INSERT INTO t VALUES (2)", "DELETE FROM u", "ROLLBACK")
    assert duck(store, space)(count) == [(1, 1, 1)]


def test_of_two_transactions_over_one_table_one_fails_whole(store: Store, space: str) -> None:
    one, two = duck(store, space), duck(store, space)
    one("CREATE TABLE t (a INT)", "CREATE TABLE u (a INT)", "INSERT INTO t VALUES (0)")
    one("BEGIN", "UPDATE t SET a = 1")
    two("BEGIN", "UPDATE t SET a = 2", "INSERT INTO u VALUES (2)")
    one("COMMIT")
    with pytest.raises(duckdb.Error):
        two("COMMIT")

    assert duck(store, space)("SELECT a, (SELECT count(*) FROM u) FROM t") == [(1, 0)]


def test_duckdb_travels_in_time(store: Store, space: str) -> None:
    sql = duck(store, space)
    sql("CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
    first = sql(
        f"SELECT snapshot_id, timestamp_ms FROM iceberg_snapshots(ice.{space}.t) "
        "ORDER BY sequence_number LIMIT 1"
    )[0]
    sql("DELETE FROM t")

    assert sql(f"FROM t AT (VERSION => {first[0]})") == [(1,)]
    assert sql(f"FROM t AT (TIMESTAMP => TIMESTAMP '{first[1]}')") == [(1,)]
    assert sql("FROM t") == []


def test_duckdb_changes_a_schema(store: Store, space: str) -> None:
    sql = duck(store, space)
    sql("CREATE TABLE t (a INT, b VARCHAR)", "INSERT INTO t VALUES (1, 'x')",
        "ALTER TABLE t ADD COLUMN c DOUBLE", "INSERT INTO t VALUES (2, 'y', 1.5)",
        "ALTER TABLE t RENAME COLUMN b TO bb", "ALTER TABLE t DROP COLUMN a",
        "ALTER TABLE t RENAME TO t2")  # fmt: skip

    assert sql("SELECT bb, c FROM t2 ORDER BY bb") == [("x", None), ("y", 1.5)]
    fields = pyiceberg(store).load_table(f"{space}.t2").schema().fields
    assert [(field.field_id, field.name) for field in fields] == [(2, "bb"), (3, "c")]


def test_tables_of_the_third_format_and_with_partitions(store: Store, space: str) -> None:
    sql = duck(store, space)
    sql("CREATE TABLE t (a INT) WITH ('format-version' = '3')", "INSERT INTO t VALUES (1), (2)",
        "DELETE FROM t WHERE a = 1")  # fmt: skip
    assert sql("FROM t") == [(2,)]

    sql("CREATE TABLE p (a INT, d DATE) PARTITIONED BY (month(d))",
        "INSERT INTO p VALUES (1, '2024-01-31'), (2, '2024-02-01')")  # fmt: skip
    assert sql("SELECT a FROM p WHERE d > '2024-01-31'") == [(2,)]
    assert [str(f.transform) for f in pyiceberg(store).load_table(f"{space}.p").spec().fields] == [
        "month"
    ]


def test_duckdb_and_pyiceberg_read_what_the_other_wrote(store: Store, space: str) -> None:
    sql, catalog = duck(store, space), pyiceberg(store)
    table = catalog.create_table(f"{space}.t", schema=ROWS.schema)
    table.append(ROWS)
    assert sql("FROM t ORDER BY a") == [(1, "x"), (2, "y"), (3, "z")]
    sql("DELETE FROM t WHERE a = 2", "INSERT INTO t VALUES (4, 'duck')")

    table.refresh()
    assert sorted(table.scan().to_arrow().to_pydict()["a"]) == [1, 3, 4]
    table.overwrite(ROWS.slice(0, 1))
    assert duck(store, space)("FROM t") == [(1, "x")]


def test_pyiceberg_does_all_that_it_can(store: Store, space: str) -> None:
    catalog = pyiceberg(store)
    table = catalog.create_table(f"{space}.t", schema=ROWS.schema, properties={"p": "1"})
    with pytest.raises(TableAlreadyExistsError):
        catalog.create_table(f"{space}.t", schema=ROWS.schema)
    table.append(ROWS)
    table.delete("a == 2")
    with table.update_schema() as change:
        change.add_column("c", LongType())
    with table.transaction() as change:
        change.set_properties(q="2")
        change.remove_properties("p")
    table.manage_snapshots().create_tag(table.metadata.snapshots[0].snapshot_id, "first").commit()
    assert (
        table.scan(snapshot_id=table.snapshot_by_name("first").snapshot_id).to_arrow().num_rows == 3
    )
    assert table.scan().to_arrow().column_names == ["a", "b", "c"]
    assert catalog.load_table(f"{space}.t").properties == {"q": "2"}
    with catalog.create_table_transaction(f"{space}.made", schema=ROWS.schema) as made:
        made.append(ROWS)
    assert catalog.load_table(f"{space}.made").scan().to_arrow().num_rows == 3


def test_namespaces_and_names(store: Store, space: str) -> None:
    catalog = pyiceberg(store, **{"rest-page-size": "2"})
    inner = (space, "in ner/ä")
    catalog.create_namespace(inner, {"k": "v"})
    catalog.update_namespace_properties(inner, removals={"k"}, updates={"x": "1"})
    assert (catalog.list_namespaces(space), catalog.load_namespace_properties(inner)) == (
        [inner], {"x": "1"},
    )  # fmt: skip
    for number in range(5):
        catalog.create_table((space, f"t.{number}"), schema=ROWS.schema)
    catalog.rename_table((space, "t.0"), (*inner, "moved"))
    assert catalog.list_tables(inner) == [(*inner, "moved")]
    assert catalog.list_tables(space) == [(space, f"t.{number}") for number in range(1, 5)]
    catalog.drop_table((*inner, "moved"))
    catalog.drop_namespace(inner)
    assert not catalog.namespace_exists(inner)


def test_views(store: Store, space: str) -> None:
    catalog = pyiceberg(store)
    sql = SQLViewRepresentation(type="sql", sql="SELECT 1 AS a", dialect="duckdb")
    version = ViewVersion(
        schema_id=0, representations=[ViewRepresentation(sql)], default_namespace=(space,)
    )
    view = catalog.create_view(f"{space}.v", pa.schema([("a", pa.int64())]), version)
    assert view.metadata.location.startswith(f"s3://lake/{space}/v-")
    assert catalog.list_views(space) == [(space, "v")]
    assert catalog.load_view(f"{space}.v").metadata == view.metadata
    assert catalog.list_tables(space) == []
    with pytest.raises(NoSuchTableError):
        catalog.load_table(f"{space}.v")
    catalog.drop_view(f"{space}.v")
    assert not catalog.view_exists(f"{space}.v")


def keys_of(store: Store, bucket: str, prefix: str) -> list[str]:
    found = store.client().list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [each["Key"] for each in found.get("Contents", [])]


def test_a_purge_takes_the_files_and_a_drop_leaves_them(store: Store, space: str) -> None:
    catalog = pyiceberg(store)
    table = catalog.create_table(f"{space}.t", schema=ROWS.schema)
    table.append(ROWS)
    table.delete("a == 1")
    catalog.drop_table(f"{space}.t")
    again = catalog.register_table(f"{space}.again", table.metadata_location)
    assert again.scan().to_arrow().num_rows == 2
    store.client().put_object(Bucket="lake", Key=f"{space}/beside", Body=b"x")

    catalog.purge_table(f"{space}.again")
    deadline = time.monotonic() + 30
    while keys_of(store, "lake", f"{space}/") != [f"{space}/beside"]:
        assert time.monotonic() < deadline
    assert not catalog.table_exists(f"{space}.again")


def test_of_many_who_append_each_does_once_or_is_told(store: Store, space: str) -> None:
    catalog = pyiceberg(store)
    catalog.create_table(
        f"{space}.t", schema=ROWS.schema, properties={"commit.retry.num-retries": "0"}
    )

    def append(number: int) -> int:
        table = pyiceberg(store).load_table(f"{space}.t")
        rows = pa.table({"a": pa.array([number], pa.int64()), "b": ["x"]})
        try:
            table.append(rows)
        except CommitFailedException:
            return 0
        return number

    with ThreadPoolExecutor(4) as threads:
        done = [number for number in threads.map(append, range(1, 13)) if number]
    assert done
    found = catalog.load_table(f"{space}.t").scan().to_arrow().to_pydict()["a"]
    assert sorted(found) == sorted(done)


def test_a_bucket_that_is_not_public_needs_its_key(store: Store, space: str) -> None:
    with pytest.raises(UnauthorizedError):
        pyiceberg(store, "private")
    with pytest.raises(duckdb.Error):
        duck(store, space, "private")
    with pytest.raises(UnauthorizedError):
        pyiceberg(store, "shown").create_namespace(space)

    catalog = pyiceberg(store, "private", credential=f"{ACCESS}:{SECRET}")
    catalog.create_namespace(space)
    catalog.create_table(f"{space}.t", schema=ROWS.schema).append(ROWS)
    sql = Duck()
    sql(
        f"CREATE SECRET (TYPE iceberg, CLIENT_ID '{ACCESS}', CLIENT_SECRET '{SECRET}', "
        f"OAUTH2_SERVER_URI '{store.url}/iceberg/v1/oauth/tokens')",
        f"ATTACH 'private' AS ice (TYPE iceberg, ENDPOINT '{store.url}/iceberg')",
        f"INSERT INTO ice.{space}.t VALUES (4, 'duck')",
    )
    assert catalog.load_table(f"{space}.t").scan().to_arrow().num_rows == 4


def test_the_key_that_a_table_comes_with_reaches_its_files_alone(store: Store, space: str) -> None:
    catalog = pyiceberg(store, "private", credential=f"{ACCESS}:{SECRET}")
    catalog.create_namespace(space)
    table = catalog.create_table(f"{space}.t", schema=ROWS.schema)
    store.client().put_object(Bucket="private", Key=f"{space}/beside", Body=b"secret")

    key = catalog.load_credentials(f"{space}.t", table.location())
    assert key["s3.access-key-id"] != ACCESS
    make: Any = boto3.client  # pyright: ignore[reportUnknownMemberType]
    s3 = make(
        "s3", endpoint_url=store.url, region_name="us-east-1",
        aws_access_key_id=key["s3.access-key-id"],
        aws_secret_access_key=key["s3.secret-access-key"],
        aws_session_token=key["s3.session-token"],
    )  # fmt: skip
    prefix = table.location().removeprefix("s3://private/")
    s3.put_object(Bucket="private", Key=f"{prefix}/data/x", Body=b"x")
    assert s3.list_objects_v2(Bucket="private", Prefix=f"{prefix}/data")["KeyCount"] == 1
    for refused in (
        lambda: s3.get_object(Bucket="private", Key=f"{space}/beside"),
        lambda: s3.put_object(Bucket="private", Key=f"{prefix}x/data", Body=b"x"),
        lambda: s3.list_objects_v2(Bucket="private"), s3.list_buckets,
    ):  # fmt: skip
        with pytest.raises(ClientError) as caught:
            refused()
        assert code_of(caught) == ("AccessDenied", 403)


def asked(store: Store, method: str, path: str, document: object = None, **headers: str) -> Any:
    body = None if document is None else json.dumps(document).encode()
    told = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(f"{store.url}/iceberg/v1/{path}", body, told, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            data = answer.read()
    except urllib.error.HTTPError as error:
        return error.code
    return json.loads(data) if data else answer.status


def test_a_page_in_a_browser_can_not_drive_a_public_catalogue(store: Store, space: str) -> None:
    new = {"namespace": [f"{space}x"]}
    assert asked(store, "POST", "lake/namespaces", new, Origin="http://evil.test") == 403
    assert asked(store, "POST", "lake/namespaces", new, **{"Content-Type": "text/plain"}) == 400
    assert asked(store, "GET", f"lake/namespaces/{space}x") == 404
    assert store.client().list_buckets()["Buckets"]  # and S3 is beside it


def test_after_each_kill_every_acknowledged_commit_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.start(**BUCKETS)
    asked(store, "POST", "lake/namespaces", {"namespace": ["n"]})
    schema = {"type": "struct", "schema-id": 0, "fields": []}
    pairs = [(f"t{number}", f"u{number}") for number in range(CLIENTS)]
    for name in (name for pair in pairs for name in pair):
        asked(store, "POST", "lake/namespaces/n/tables", {"name": name, "schema": schema})
    acknowledged = [0] * CLIENTS
    for _ in range(KILLS):
        acknowledged = commit_until_killed(store, pairs, acknowledged)
        store.start(**BUCKETS)
        for pair, last in zip(pairs, acknowledged, strict=True):
            found = {told_of(store, name) for name in pair}
            assert len(found) == 1, "both tables, or none"
            assert found.pop() in (last, last + 1)
    assert store.end() == 0


def told_of(store: Store, name: str) -> int:
    metadata = asked(store, "GET", f"lake/namespaces/n/tables/{name}")["metadata"]
    return int(metadata["properties"].get("n", 0))


def commit_until_killed(store: Store, pairs: list[tuple[str, str]], before: list[int]) -> list[int]:
    """Change pairs of tables until the server is killed; return the last change of each it told of."""
    process = store.process
    assert process is not None
    counted = threading.Semaphore(0)

    def work(pair: tuple[str, str], number: int) -> int:
        while True:
            updates = [{"action": "set-properties", "updates": {"n": str(number + 1)}}]
            changes = [
                {"identifier": {"namespace": ["n"], "name": name}, "updates": updates}
                for name in pair
            ]
            try:
                done = asked(store, "POST", "lake/transactions/commit", {"table-changes": changes})
            except OSError:
                return number
            assert done == 204
            number += 1
            counted.release()

    with ThreadPoolExecutor(len(pairs)) as threads:
        last = threads.map(work, pairs, before)
        for _ in range(20):  # then all of them are in the middle of something
            assert counted.acquire(timeout=60)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        return list(last)
