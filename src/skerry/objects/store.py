"""The index: what the log says, in tables that find it.

All of it follows from the log: `index.apply` is the one way in, for what is written now and for what is
read again after a crash. Rows keep what a record says and where it lies. SQL lives here, in
`segments`, `due` and `usage`; the tables are in `schema`.
"""

import sqlite3
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import assert_never

from skerry.objects import key_store
from skerry.objects.model import (
    NULL_VERSION,
    Bucket,
    Key,
    Part,
    Upload,
    User,
    Version,
    sequence_of,
)
from skerry.objects.records import (
    BucketGone,
    Counters,
    KeyGone,
    UploadGone,
    UserGone,
    VersionGone,
    framed_size,
    hear,
)
from skerry.objects.rows import Applied, Changes, Place, Row

_FIRST = -(1 << 63)  # below the rank of every former version


def apply(connection: sqlite3.Connection, changes: Changes, applied: Applied) -> None:
    """Have the index say what a record says, whatever it said before."""
    record, place = applied.record, applied.place
    match record:
        case Version():
            changes.sequence = max(changes.sequence, record.sequence)
            _put_version(connection, changes, applied, record)
        case Part():
            _put_part(connection, changes, applied, record)
        case VersionGone():
            changes.dead[place.segment] += framed_size(len(applied.said), 0)
            _drop_version(connection, changes, record)
        case Upload():
            _put_upload(connection, changes, applied, record)
        case UploadGone():
            changes.dead[place.segment] += framed_size(len(applied.said), 0)
            _drop_upload(connection, changes, record.upload_id)
            _drop_parts(connection, changes, record.upload_id, kept=frozenset())
        case Bucket():
            changes.bucket = max(changes.bucket, record.number)
            connection.execute(
                "INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?)",
                (record.number, record.name, *place, applied.said),
            )
        case BucketGone():
            changes.dead[place.segment] += framed_size(len(applied.said), 0)
            connection.execute("DELETE FROM buckets WHERE number = ?", (record.number,))
            connection.execute("DELETE FROM usage WHERE bucket = ?", (record.number,))
            changes.forget(record.number)
        case User() | UserGone() | Key() | KeyGone():
            changes.dead.update(key_store.apply(connection, record, place, applied.said))
        case Counters():
            changes.dead[place.segment] += framed_size(len(applied.said), 0)
            changes.sequence = max(changes.sequence, record.sequence)
            changes.bucket = max(changes.bucket, record.bucket)
        case _:
            assert_never(record)


def settle(connection: sqlite3.Connection, changes: Changes) -> None:
    """Write what was summed up."""
    for segment, dead in changes.dead.items():
        connection.execute(
            "INSERT INTO segments VALUES (?, ?) "
            "ON CONFLICT DO UPDATE SET dead_bytes = dead_bytes + excluded.dead_bytes",
            (segment, dead),
        )
    for bucket in changes.objects.keys() | changes.bytes.keys() | changes.part_bytes.keys():
        connection.execute(
            "INSERT INTO usage VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "objects = objects + excluded.objects, bytes = bytes + excluded.bytes, "
            "part_bytes = part_bytes + excluded.part_bytes",
            (bucket, changes.objects[bucket], changes.bytes[bucket], changes.part_bytes[bucket]),
        )


def has_file(connection: sqlite3.Connection, file: str) -> bool:
    """Tell whether anything names a file."""
    query = "SELECT 1 FROM files WHERE file = ?"
    return connection.execute(query, (file,)).fetchone() is not None


# -- buckets --


def bucket(connection: sqlite3.Connection, name: str) -> Bucket | None:
    """Return the bucket of that name."""
    found = connection.execute("SELECT said FROM buckets WHERE name = ?", (name,)).fetchone()
    return hear(found[0], Bucket) if found else None


def bucket_of_number(connection: sqlite3.Connection, number: int) -> Bucket | None:
    """Return the bucket of that number."""
    found = connection.execute("SELECT said FROM buckets WHERE number = ?", (number,)).fetchone()
    return hear(found[0], Bucket) if found else None


def buckets(connection: sqlite3.Connection, prefix: str, after: str, limit: int) -> list[Bucket]:
    """Return buckets in the order of their names."""
    found = connection.execute(
        "SELECT said FROM buckets WHERE name > ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?",
        (after, len(prefix), prefix, limit),
    )
    return [hear(said, Bucket) for (said,) in found]


def count_buckets(connection: sqlite3.Connection) -> int:
    """Return how many buckets there are."""
    return connection.execute("SELECT count(*) FROM buckets").fetchone()[0]


def usage(connection: sqlite3.Connection, number: int) -> tuple[int, int]:
    """Return how many versions a bucket has that are no markers, and the bytes of them all."""
    query = "SELECT objects, bytes FROM usage WHERE bucket = ?"
    found = connection.execute(query, (number,)).fetchone()
    return found or (0, 0)


def has_versions(connection: sqlite3.Connection, number: int) -> bool:
    """Tell whether a bucket has any version or marker."""
    query = "SELECT 1 FROM current WHERE bucket = ? LIMIT 1"
    return connection.execute(query, (number,)).fetchone() is not None


# -- versions --


def current(connection: sqlite3.Connection, bucket: int, key: str) -> Row | None:
    """Return the current version of a key."""
    return _one(
        connection,
        "SELECT segment, offset, said, data_size FROM current WHERE bucket = ? AND key = ?",
        bucket,
        key.encode(),
    )


def version(connection: sqlite3.Connection, bucket: int, key: str, version_id: str) -> Row | None:
    """Return a version of a key, current or former."""
    found = current(connection, bucket, key)
    if found is not None and found.version.version_id == version_id:
        return found
    return _former(connection, bucket, key, version_id)


def newest_former(connection: sqlite3.Connection, bucket: int, key: str) -> Row | None:
    """Return the newest of the former versions of a key."""
    return _one(
        connection,
        "SELECT segment, offset, said, data_size FROM former WHERE bucket = ? AND key = ? ORDER BY rank LIMIT 1",
        bucket,
        key.encode(),
    )


def objects_from(
    connection: sqlite3.Connection, number: int, begin: bytes, end: bytes | None, limit: int
) -> Iterator[Version]:
    """Yield the current versions of keys from begin to before end, without markers, in order."""
    query = "SELECT said FROM current WHERE bucket = ? AND key >= ? AND NOT is_marker"
    values: tuple[object, ...] = (number, begin)
    if end is not None:
        query, values = query + " AND key < ?", (*values, end)
    for (said,) in connection.execute(query + " ORDER BY key LIMIT ?", (*values, limit)):
        yield hear(said, Version)


def versions_from(
    connection: sqlite3.Connection, number: int, begin: bytes, end: bytes | None
) -> Iterator[tuple[Version, bool]]:
    """Yield all versions from a key on, of each key the newest first, and whether it is current."""
    where = "bucket = ? AND key >= ?" + ("" if end is None else " AND key < ?")
    values = (number, begin) if end is None else (number, begin, end)
    query = (
        f"SELECT key, {_FIRST} AS rank, said, 1 FROM current WHERE {where} UNION ALL "  # noqa: S608 - our words
        f"SELECT key, rank, said, 0 FROM former WHERE {where} ORDER BY 1, 2"
    )
    for _, _, said, is_current in connection.execute(query, (*values, *values)):
        yield hear(said, Version), bool(is_current)


def _former(connection: sqlite3.Connection, bucket: int, key: str, version_id: str) -> Row | None:
    query = "SELECT segment, offset, said, data_size FROM former WHERE bucket = ? AND key = ? AND "
    if version_id == NULL_VERSION:
        return _one(connection, query + "is_null", bucket, key.encode())
    row = _one(connection, query + "rank = ?", bucket, key.encode(), -sequence_of(version_id))
    return row if row is not None and row.version.version_id == version_id else None


def _put_version(
    connection: sqlite3.Connection, changes: Changes, applied: Applied, new: Version
) -> None:
    before = current(connection, new.bucket, new.key)
    known = before.version if before else None
    if before is not None and known is not None and known.version_id != new.version_id:
        replaced = _former(connection, new.bucket, new.key, new.version_id)
        if replaced is not None:
            _end_version(connection, changes, replaced, new)
            _delete_former(connection, replaced.version)
        if known.sequence > new.sequence:
            _insert_former(connection, Row(applied.place, applied.said, applied.data_size), new)
            _begin_version(connection, changes, new)
            return
        _insert_former(connection, before, known)
    elif before is not None:
        _end_version(connection, changes, before, new)
    connection.execute(
        "INSERT OR REPLACE INTO current VALUES (?, ?, ?, ?, ?, ?, ?)",
        (new.bucket, new.key.encode(), new.is_marker, *applied.place, applied.said, applied.data_size),
    )  # fmt: skip
    _begin_version(connection, changes, new)


def _begin_version(connection: sqlite3.Connection, changes: Changes, new: Version) -> None:
    changes.objects[new.bucket] += not new.is_marker
    changes.bytes[new.bucket] += new.size
    if new.piece is not None and new.piece.file:
        connection.execute("INSERT OR IGNORE INTO files VALUES (?)", (new.piece.file,))
    if new.upload_id:
        _drop_upload(connection, changes, new.upload_id)
        _drop_parts(connection, changes, new.upload_id, kept={number for number, _ in new.parts})


def _end_version(
    connection: sqlite3.Connection, changes: Changes, row: Row, by: Version | None
) -> None:
    """Count that a row goes. by: what takes its place, which may be the same with the same bytes."""
    old = row.version
    changes.died(row)
    changes.objects[old.bucket] -= not old.is_marker
    changes.bytes[old.bucket] -= old.size
    if old.piece is not None and old.piece.file and (by is None or by.piece != old.piece):
        _free(connection, changes, old.piece.file)
    if old.upload_id and (by is None or by.upload_id != old.upload_id):
        _drop_parts(connection, changes, old.upload_id, kept=frozenset())


def _drop_version(connection: sqlite3.Connection, changes: Changes, gone: VersionGone) -> None:
    found = current(connection, gone.bucket, gone.key)
    if found is None or found.version.version_id != gone.version_id:
        found = _former(connection, gone.bucket, gone.key, gone.version_id)
        if found is not None:
            _end_version(connection, changes, found, None)
            _delete_former(connection, found.version)
        return
    _end_version(connection, changes, found, None)
    where = (gone.bucket, gone.key.encode())
    connection.execute("DELETE FROM current WHERE bucket = ? AND key = ?", where)
    follows = newest_former(connection, gone.bucket, gone.key)
    if follows is not None:
        new = follows.version
        _delete_former(connection, new)
        connection.execute(
            "INSERT INTO current VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*where, new.is_marker, *follows.place, follows.said, follows.data_size),
        )


def _insert_former(connection: sqlite3.Connection, row: Row, told: Version) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO former VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            told.bucket, told.key.encode(), -told.sequence, told.version_id == NULL_VERSION,
            *row.place, row.said, row.data_size,
        ),
    )  # fmt: skip


def _delete_former(connection: sqlite3.Connection, told: Version) -> None:
    connection.execute(
        "DELETE FROM former WHERE bucket = ? AND key = ? AND rank = ?",
        (told.bucket, told.key.encode(), -told.sequence),
    )


# -- uploads --


def upload(connection: sqlite3.Connection, upload_id: str) -> Upload | None:
    """Return an upload that is under way."""
    found = connection.execute(
        "SELECT said FROM uploads WHERE upload_id = ?", (upload_id,)
    ).fetchone()
    return hear(found[0], Upload) if found else None


def count_uploads(connection: sqlite3.Connection, number: int, limit: int) -> int:
    """Return how many uploads are under way in a bucket, at most limit."""
    query = "SELECT count(*) FROM (SELECT 1 FROM uploads WHERE bucket = ? LIMIT ?)"
    return connection.execute(query, (number, limit)).fetchone()[0]


def uploads_of(connection: sqlite3.Connection, number: int) -> list[Upload]:
    """Return the uploads under way in a bucket."""
    found = connection.execute("SELECT said FROM uploads WHERE bucket = ?", (number,))
    return [hear(said, Upload) for (said,) in found]


def uploads_from(
    connection: sqlite3.Connection, number: int, begin: tuple[bytes, str], end: bytes | None,
    limit: int,
) -> Iterator[Upload]:  # fmt: skip
    """Yield the uploads in a bucket that come after a key and an id, before the key end, in order."""
    query = "SELECT said FROM uploads WHERE bucket = ? AND (key, upload_id) > (?, ?)"
    values: tuple[object, ...] = (number, *begin)
    if end is not None:
        query, values = query + " AND key < ?", (*values, end)
    for (said,) in connection.execute(query + " ORDER BY key, upload_id LIMIT ?", (*values, limit)):
        yield hear(said, Upload)


def parts(
    connection: sqlite3.Connection, upload_id: str, after: int = 0, limit: int = -1
) -> list[Row]:
    """Return the parts of an upload or of what became of it, by number, those above `after`."""
    found = connection.execute(
        "SELECT segment, offset, said, data_size FROM parts WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?",
        (upload_id, after, limit),
    )
    return [_row(each) for each in found]


def part(connection: sqlite3.Connection, upload_id: str, number: int) -> Row | None:
    """Return a part."""
    query = "SELECT segment, offset, said, data_size FROM parts WHERE upload_id = ? AND number = ?"
    return _one(connection, query, upload_id, number)


def drop_parts(connection: sqlite3.Connection, changes: Changes, upload_id: str) -> None:
    """Have none of the parts of an upload, whatever has become of it."""
    _drop_parts(connection, changes, upload_id, kept=frozenset())


def _put_part(
    connection: sqlite3.Connection, changes: Changes, applied: Applied, new: Part
) -> None:
    before = part(connection, new.upload_id, new.number)
    bucket = _bucket_of_upload(connection, new.upload_id)
    if bucket is not None:
        changes.part_bytes[bucket] += new.size - (before.part.size if before else 0)
    if before is not None:
        changes.died(before)
        old = before.part.piece
        if old.file and old != new.piece:
            _free(connection, changes, old.file)
    if new.piece.file:
        connection.execute("INSERT OR IGNORE INTO files VALUES (?)", (new.piece.file,))
    connection.execute(
        "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?)",
        (new.upload_id, new.number, *applied.place, applied.said, applied.data_size),
    )


def _put_upload(
    connection: sqlite3.Connection, changes: Changes, applied: Applied, new: Upload
) -> None:
    if _bucket_of_upload(connection, new.upload_id) is None:
        there = _parts_bytes(connection, new.upload_id)  # read before it, after a move
        changes.part_bytes[new.bucket] += there
    connection.execute(
        "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?)",
        (new.upload_id, new.bucket, new.key.encode(), *applied.place, applied.said),
    )


def _drop_upload(connection: sqlite3.Connection, changes: Changes, upload_id: str) -> None:
    bucket = _bucket_of_upload(connection, upload_id)
    if bucket is not None:
        changes.part_bytes[bucket] -= _parts_bytes(connection, upload_id)
    found = connection.execute(
        "DELETE FROM uploads WHERE upload_id = ? RETURNING segment, offset, said, 0", (upload_id,)
    ).fetchall()
    for each in found:
        changes.died(_row(each))


def _bucket_of_upload(connection: sqlite3.Connection, upload_id: str) -> int | None:
    query = "SELECT bucket FROM uploads WHERE upload_id = ?"
    found = connection.execute(query, (upload_id,)).fetchone()
    return found[0] if found else None


def _parts_bytes(connection: sqlite3.Connection, upload_id: str) -> int:
    return sum(row.part.size for row in parts(connection, upload_id))


def _drop_parts(
    connection: sqlite3.Connection, changes: Changes, upload_id: str, kept: AbstractSet[int]
) -> None:
    for row in parts(connection, upload_id):
        told = row.part
        if told.number in kept:
            continue
        changes.died(row)
        connection.execute(
            "DELETE FROM parts WHERE upload_id = ? AND number = ?", (upload_id, told.number)
        )
        if told.piece.file:
            _free(connection, changes, told.piece.file)


def _free(connection: sqlite3.Connection, changes: Changes, file: str) -> None:
    connection.execute("DELETE FROM files WHERE file = ?", (file,))
    changes.freed.append(file)


def _one(connection: sqlite3.Connection, query: str, *values: object) -> Row | None:
    found = connection.execute(query, values).fetchone()
    return _row(found) if found else None


def _row(found: tuple[int, int, bytes, int]) -> Row:
    return Row(Place(found[0], found[1]), found[2], found[3])
