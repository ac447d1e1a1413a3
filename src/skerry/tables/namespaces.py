"""The verbs of namespaces: make, find, list, change, drop."""

import sqlite3
from collections.abc import Collection, Mapping

from skerry.base import Conflict, LimitReached, NotFound
from skerry.objects.model import Bucket
from skerry.tables import model, store
from skerry.tables.context import Tables
from skerry.tables.model import NAMESPACES_MAX, Levels


def find(tables: Tables, bucket: Bucket, levels: Levels) -> Mapping[str, str]:
    """Return the properties of a namespace. Raises NotFound(no_such_namespace)."""
    return tables.database.read(lambda connection: found(connection, bucket, levels))


def found(connection: sqlite3.Connection, bucket: Bucket, levels: Levels) -> Mapping[str, str]:
    """Return what `find` does, within a write too. Raises NotFound(no_such_namespace)."""
    properties = store.namespace(connection, bucket.number, levels)
    if properties is None:
        name = ".".join(levels)[:200]
        raise NotFound("no_such_namespace", f"There is no namespace {name!r} in {bucket.name}.")
    return properties


def page(tables: Tables, bucket: Bucket, parent: Levels, after: str, limit: int) -> list[Levels]:
    """Return the namespaces right in another, or the outermost, after a name, in order.

    Raises NotFound(no_such_namespace).
    """

    def work(connection: sqlite3.Connection) -> list[Levels]:
        if parent:
            found(connection, bucket, parent)
        return store.namespaces(connection, bucket.number, parent, after, limit)

    return tables.database.read(work)


async def make(
    tables: Tables, bucket: Bucket, levels: Levels, properties: Mapping[str, str]
) -> None:
    """Make a namespace, in one that is there or outermost.

    Raises Invalid(bad_namespace, bad_name), TooLarge, NotFound(no_such_namespace),
    Conflict(namespace_exists), LimitReached(too_many_namespaces), and as writing does.
    """
    model.namespace(levels)
    model.properties(properties)

    def work(connection: sqlite3.Connection) -> None:
        if store.namespace(connection, bucket.number, levels) is not None:
            name = ".".join(levels)[:200]
            raise Conflict("namespace_exists", f"There is a namespace {name!r} already.")
        if len(levels) > 1:
            found(connection, bucket, levels[:-1])
        if store.count_namespaces(connection, bucket.number) >= NAMESPACES_MAX:
            raise LimitReached(
                "too_many_namespaces", f"A warehouse has at most {NAMESPACES_MAX} namespaces."
            )
        store.put_namespace(connection, bucket.number, levels, properties)

    await tables.database.write(work)


async def change(
    tables: Tables,
    bucket: Bucket,
    levels: Levels,
    updates: Mapping[str, str],
    removals: Collection[str],
) -> list[str]:
    """Set and remove properties; return those that were to be removed and are not there.

    Raises NotFound(no_such_namespace), TooLarge, and as writing does.
    """

    def work(connection: sqlite3.Connection) -> list[str]:
        before = found(connection, bucket, levels)
        kept = {key: value for key, value in before.items() if key not in set(removals)}
        after = model.properties({**kept, **updates})
        store.put_namespace(connection, bucket.number, levels, after)
        return sorted(set(removals) - before.keys())

    return await tables.database.write(work)


async def drop(tables: Tables, bucket: Bucket, levels: Levels) -> None:
    """Drop a namespace that is empty. Raises NotFound(no_such_namespace), Conflict."""

    def work(connection: sqlite3.Connection) -> None:
        found(connection, bucket, levels)
        if not store.is_empty(connection, bucket.number, levels):
            raise Conflict(
                "namespace_not_empty",
                "The namespace is not empty. Drop its tables, views and namespaces first.",
            )
        store.drop_namespace(connection, bucket.number, levels)

    await tables.database.write(work)
