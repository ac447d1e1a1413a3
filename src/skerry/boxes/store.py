"""The tables of boxes and of all that they have. The only SQL of this domain.

Every function takes the connection it runs on; transactions are the caller's.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from skerry.boxes.idle import Hold, PartialSleepRule
from skerry.boxes.model import Box, Checkpoint, Image, PendingRestore, Publication, Recorded
from skerry.host.seam import BoxLimits

MIGRATIONS: Sequence[str] = (
    """
    CREATE TABLE boxes (
        box_id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        slot INTEGER NOT NULL UNIQUE,
        image TEXT NOT NULL,
        cpus REAL NOT NULL,
        memory_bytes INTEGER NOT NULL,
        disk_bytes INTEGER NOT NULL,
        processes INTEGER NOT NULL,
        labels TEXT NOT NULL,
        environment TEXT NOT NULL,
        created_at_ns INTEGER NOT NULL,
        updated_at_ns INTEGER NOT NULL,
        last_running_at_ns INTEGER,
        forked_from TEXT,
        checkpoints_made INTEGER NOT NULL DEFAULT 0,
        destroyed_at_ns INTEGER,
        purge_at_ns INTEGER
    ) STRICT;
    -- A name is free again as soon as its box is in the trash.
    CREATE UNIQUE INDEX boxes_by_name ON boxes (name) WHERE destroyed_at_ns IS NULL;
    CREATE INDEX boxes_by_purge ON boxes (purge_at_ns) WHERE destroyed_at_ns IS NOT NULL;

    CREATE TABLE checkpoints (
        box_id TEXT NOT NULL REFERENCES boxes (box_id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        number INTEGER NOT NULL,
        created_at_ns INTEGER NOT NULL,
        comment TEXT NOT NULL,
        is_auto INTEGER NOT NULL,
        PRIMARY KEY (box_id, name)
    ) STRICT;

    CREATE TABLE restores (
        box_id TEXT PRIMARY KEY REFERENCES boxes (box_id) ON DELETE CASCADE,
        checkpoint TEXT NOT NULL,
        keep_name TEXT NOT NULL,
        keep_number INTEGER NOT NULL,
        keep_created_at_ns INTEGER NOT NULL,
        keep_comment TEXT NOT NULL,
        old_disk_id INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE images (
        image_id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_at_ns INTEGER NOT NULL,
        source TEXT NOT NULL
    ) STRICT;
    """,
    "ALTER TABLE images ADD COLUMN environment TEXT NOT NULL DEFAULT '{}'",
    """
    -- 0 is never, NULL what the settings say.
    ALTER TABLE boxes ADD COLUMN warm_after_ns INTEGER;
    ALTER TABLE boxes ADD COLUMN cold_after_ns INTEGER;
    ALTER TABLE boxes ADD COLUMN limits_pending INTEGER NOT NULL DEFAULT 0;

    CREATE TABLE holds (
        box_id TEXT NOT NULL REFERENCES boxes (box_id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        created_at_ns INTEGER NOT NULL,
        expires_at_ns INTEGER NOT NULL,
        PRIMARY KEY (box_id, name)
    ) STRICT;
    CREATE INDEX holds_by_end ON holds (expires_at_ns);
    """,
    "ALTER TABLE boxes ADD COLUMN account TEXT NOT NULL DEFAULT 'local'",
    """
    CREATE TABLE policies (
        box_id TEXT PRIMARY KEY REFERENCES boxes (box_id) ON DELETE CASCADE,
        document TEXT NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE boxes ADD COLUMN access TEXT NOT NULL DEFAULT 'private';
    ALTER TABLE boxes ADD COLUMN share_epoch INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE domains (
        domain TEXT PRIMARY KEY,
        box_id TEXT NOT NULL REFERENCES boxes (box_id) ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX domains_by_box ON domains (box_id);
    -- One row: what cookies and share links are signed with.
    CREATE TABLE signing (key BLOB NOT NULL) STRICT;
    """,
    """
    -- Ports of this machine that are ports of boxes. listen: ADDRESS:PORT.
    CREATE TABLE published (
        listen TEXT PRIMARY KEY,
        box_id TEXT NOT NULL REFERENCES boxes (box_id) ON DELETE CASCADE,
        port INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX published_by_box ON published (box_id);
    """,
)

_BOX_COLUMNS = (
    "box_id, name, slot, image, cpus, memory_bytes, disk_bytes, processes, labels, environment, "
    "created_at_ns, updated_at_ns, last_running_at_ns, forked_from, checkpoints_made, "
    "destroyed_at_ns, purge_at_ns, warm_after_ns, cold_after_ns, "
    "limits_pending, account, access, share_epoch"
)
_SELECT_BOX = f"SELECT {_BOX_COLUMNS} FROM boxes "  # noqa: S608 - constants only
_SELECT_CHECKPOINT = (
    "SELECT box_id, name, number, created_at_ns, comment, is_auto FROM checkpoints "
)


def insert_box(connection: sqlite3.Connection, box: Box) -> None:
    """Add a box. Raises sqlite3.IntegrityError if its name or slot is taken."""
    marks = ", ".join("?" * 23)
    connection.execute(
        f"INSERT INTO boxes ({_BOX_COLUMNS}) VALUES ({marks})",  # noqa: S608 - constants only
        (
            box.box_id, box.name, box.slot, box.image, *_limit_columns(box.limits),
            json.dumps(box.labels), json.dumps(dict(box.environment)),
            box.created_at_ns, box.updated_at_ns, box.last_running_at_ns, box.forked_from,
            box.checkpoints_made, box.destroyed_at_ns, box.purge_at_ns,
            box.sleep.warm_after_ns, box.sleep.cold_after_ns, box.limits_pending,
            box.account, box.access, box.share_epoch,
        ),
    )  # fmt: skip


def update_box(connection: sqlite3.Connection, box: Box) -> None:
    """Write everything of a box that may change. Raises sqlite3.IntegrityError on a taken name."""
    connection.execute(
        "UPDATE boxes SET name = ?, slot = ?, cpus = ?, memory_bytes = ?, disk_bytes = ?, "
        "processes = ?, labels = ?, environment = ?, updated_at_ns = ?, last_running_at_ns = ?, "
        "checkpoints_made = ?, destroyed_at_ns = ?, purge_at_ns = ?, warm_after_ns = ?, "
        "cold_after_ns = ?, limits_pending = ?, access = ?, share_epoch = ? WHERE box_id = ?",
        (
            box.name, box.slot, *_limit_columns(box.limits), json.dumps(box.labels),
            json.dumps(dict(box.environment)), box.updated_at_ns, box.last_running_at_ns,
            box.checkpoints_made, box.destroyed_at_ns, box.purge_at_ns,
            box.sleep.warm_after_ns, box.sleep.cold_after_ns, box.limits_pending,
            box.access, box.share_epoch, box.box_id,
        ),
    )  # fmt: skip


def settle_limits(connection: sqlite3.Connection, box_id: str) -> None:
    """Note that the machine holds a box to the limits of its row."""
    connection.execute("UPDATE boxes SET limits_pending = 0 WHERE box_id = ?", (box_id,))


def delete_box(connection: sqlite3.Connection, box_id: str) -> None:
    """Remove a box and all that hangs on it."""
    connection.execute("DELETE FROM boxes WHERE box_id = ?", (box_id,))


def box_by_name(connection: sqlite3.Connection, name: str) -> Box | None:
    """Return the living box of that name."""
    row = connection.execute(
        _SELECT_BOX + "WHERE name = ? AND destroyed_at_ns IS NULL", (name,)
    ).fetchone()
    return _box(row) if row else None


def box_by_id(connection: sqlite3.Connection, box_id: str) -> Box | None:
    """Return the living box of that id."""
    row = connection.execute(
        _SELECT_BOX + "WHERE box_id = ? AND destroyed_at_ns IS NULL", (box_id,)
    ).fetchone()
    return _box(row) if row else None


def living_boxes(
    connection: sqlite3.Connection,
    prefix: str,
    after: str,
    count_max: int,
    account: str | None = None,
) -> list[Box]:
    """Return boxes whose name begins with prefix, in the order of names, from past `after` on.

    account: only the boxes of that one.
    """
    rows = connection.execute(
        # substr, not LIKE: a prefix may hold % and _ .
        _SELECT_BOX + "WHERE destroyed_at_ns IS NULL AND name > ? AND substr(name, 1, ?) = ? "
        "AND account = coalesce(?, account) ORDER BY name LIMIT ?",
        (after, len(prefix), prefix, account, count_max),
    )
    return [_box(row) for row in rows]


def living_count(connection: sqlite3.Connection) -> int:
    """Return how many boxes live."""
    return connection.execute(
        "SELECT count(*) FROM boxes WHERE destroyed_at_ns IS NULL"
    ).fetchone()[0]


def destroyed_boxes(connection: sqlite3.Connection) -> list[Box]:
    """Return what is in the trash, the last destroyed first."""
    rows = connection.execute(
        _SELECT_BOX + "WHERE destroyed_at_ns IS NOT NULL ORDER BY destroyed_at_ns DESC, box_id"
    )
    return [_box(row) for row in rows]


def insert_checkpoint(connection: sqlite3.Connection, checkpoint: Checkpoint) -> None:
    """Add a checkpoint and count its number as used."""
    connection.execute(
        "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?)",
        (
            checkpoint.box_id, checkpoint.name, checkpoint.number, checkpoint.created_at_ns,
            checkpoint.comment, int(checkpoint.is_auto),
        ),
    )  # fmt: skip
    use_number(connection, checkpoint.box_id, checkpoint.number)


def use_number(connection: sqlite3.Connection, box_id: str, number: int) -> None:
    """Make sure that no later checkpoint of the box gets this number or a lower one."""
    connection.execute(
        "UPDATE boxes SET checkpoints_made = max(checkpoints_made, ?) WHERE box_id = ?",
        (number, box_id),
    )


def delete_checkpoint(connection: sqlite3.Connection, box_id: str, name: str) -> None:
    """Remove a checkpoint's row."""
    connection.execute("DELETE FROM checkpoints WHERE box_id = ? AND name = ?", (box_id, name))


def checkpoints_of(connection: sqlite3.Connection, box_id: str) -> list[Checkpoint]:
    """Return the checkpoints of a box, the oldest first."""
    rows = connection.execute(
        _SELECT_CHECKPOINT + "WHERE box_id = ? ORDER BY created_at_ns, number", (box_id,)
    )
    return [_checkpoint(row) for row in rows]


def begin_restore(connection: sqlite3.Connection, restore: PendingRestore) -> None:
    """Write down a restore before its first step that matters."""
    keep = restore.keep
    connection.execute(
        "INSERT INTO restores VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            restore.box_id, restore.checkpoint, keep.name, keep.number, keep.created_at_ns,
            keep.comment, restore.old_disk_id,
        ),
    )  # fmt: skip
    use_number(connection, restore.box_id, keep.number)


def pending_restore(connection: sqlite3.Connection, box_id: str) -> PendingRestore | None:
    """Return the restore of a box that was begun and not ended."""
    row = connection.execute("SELECT * FROM restores WHERE box_id = ?", (box_id,)).fetchone()
    return _restore(row) if row else None


def finish_restore(connection: sqlite3.Connection, restore: PendingRestore) -> None:
    """Name the replaced disk as a checkpoint, and forget the plan."""
    insert_checkpoint(connection, restore.keep)
    drop_restore(connection, restore.box_id)


def drop_restore(connection: sqlite3.Connection, box_id: str) -> None:
    """Forget a restore that did not happen."""
    connection.execute("DELETE FROM restores WHERE box_id = ?", (box_id,))


def policy(connection: sqlite3.Connection, box_id: str) -> str | None:
    """Return the network policy of a box, as JSON; None where it has none."""
    row = connection.execute("SELECT document FROM policies WHERE box_id = ?", (box_id,)).fetchone()
    return row[0] if row else None


def put_policy(connection: sqlite3.Connection, box_id: str, document: str | None) -> None:
    """Write down the network policy of a box; None takes it away."""
    if document is None:
        connection.execute("DELETE FROM policies WHERE box_id = ?", (box_id,))
    else:
        connection.execute("INSERT OR REPLACE INTO policies VALUES (?, ?)", (box_id, document))


def domains(connection: sqlite3.Connection, box_id: str) -> tuple[str, ...]:
    """Return the domains of a box, in their order."""
    rows = connection.execute(
        "SELECT domain FROM domains WHERE box_id = ? ORDER BY domain", (box_id,)
    )
    return tuple(domain for (domain,) in rows)


def put_domains(connection: sqlite3.Connection, box_id: str, domains: Sequence[str]) -> None:
    """Give a box these domains and no others; a destroyed box that had one has it no more."""
    connection.execute("DELETE FROM domains WHERE box_id = ?", (box_id,))
    connection.executemany(
        "INSERT OR REPLACE INTO domains VALUES (?, ?)", [(domain, box_id) for domain in domains]
    )


def published(connection: sqlite3.Connection, box_id: str) -> list[Publication]:
    """Return the published ports of a box, in the order of where they listen."""
    rows = connection.execute(
        "SELECT listen, port FROM published WHERE box_id = ? ORDER BY listen", (box_id,)
    )
    return [Publication(*row) for row in rows]


def publisher(connection: sqlite3.Connection, listen: str) -> str | None:
    """Return the name of the living box that has a port published there."""
    row = connection.execute(
        "SELECT name FROM published JOIN boxes USING (box_id) "
        "WHERE listen = ? AND destroyed_at_ns IS NULL",
        (listen,),
    ).fetchone()
    return row[0] if row else None


def put_published(connection: sqlite3.Connection, box_id: str, publication: Publication) -> None:
    """Publish a port; a destroyed box that was published there is so no more."""
    connection.execute(
        "INSERT OR REPLACE INTO published VALUES (?, ?, ?)",
        (publication.listen, box_id, publication.port),
    )


def delete_published(connection: sqlite3.Connection, box_id: str, listen: str) -> int:
    """End a publication; return how many there were."""
    return connection.execute(
        "DELETE FROM published WHERE box_id = ? AND listen = ?", (box_id, listen)
    ).rowcount


def domain_owner(connection: sqlite3.Connection, domain: str) -> str | None:
    """Return the name of the living box that has a domain."""
    row = connection.execute(
        "SELECT name FROM domains JOIN boxes USING (box_id) "
        "WHERE domain = ? AND destroyed_at_ns IS NULL",
        (domain,),
    ).fetchone()
    return row[0] if row else None


def signing_key(connection: sqlite3.Connection) -> bytes | None:
    """Return what cookies and share links are signed with, None before it is made."""
    row = connection.execute("SELECT key FROM signing").fetchone()
    return row[0] if row else None


def put_signing_key(connection: sqlite3.Connection, key: bytes) -> None:
    """Write down the signing key, for good."""
    connection.execute("INSERT INTO signing VALUES (?)", (key,))


def put_hold(connection: sqlite3.Connection, hold: Hold) -> None:
    """Add a hold, or put it in the place of the one of its name."""
    connection.execute(
        "INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?)",
        (hold.box_id, hold.name, hold.created_at_ns, hold.expires_at_ns),
    )


def delete_hold(connection: sqlite3.Connection, box_id: str, name: str) -> int:
    """Remove a hold; return how many there were."""
    return connection.execute(
        "DELETE FROM holds WHERE box_id = ? AND name = ?", (box_id, name)
    ).rowcount


def delete_ended_holds(connection: sqlite3.Connection, now_ns: int) -> None:
    """Remove the holds that are over."""
    connection.execute("DELETE FROM holds WHERE expires_at_ns <= ?", (now_ns,))


def holds(connection: sqlite3.Connection, box_id: str, now_ns: int) -> list[Hold]:
    """Return the holds of a box that are not over, in the order of names."""
    rows = connection.execute(
        "SELECT box_id, name, created_at_ns, expires_at_ns FROM holds "
        "WHERE box_id = ? AND expires_at_ns > ? ORDER BY name",
        (box_id, now_ns),
    )
    return [Hold(*row) for row in rows]


def insert_image(connection: sqlite3.Connection, image: Image) -> None:
    """Add an image. Raises sqlite3.IntegrityError if its name is taken."""
    connection.execute(
        "INSERT INTO images (image_id, name, created_at_ns, source, environment) "
        "VALUES (?, ?, ?, ?, ?)",
        (
            image.image_id, image.name, image.created_at_ns, image.source,
            json.dumps(dict(image.environment)),
        ),
    )  # fmt: skip


def delete_image(connection: sqlite3.Connection, image_id: str) -> None:
    """Remove an image's row."""
    connection.execute("DELETE FROM images WHERE image_id = ?", (image_id,))


def images(connection: sqlite3.Connection) -> list[Image]:
    """Return all images, in the order of names."""
    rows = connection.execute(
        "SELECT image_id, name, created_at_ns, source, environment FROM images ORDER BY name"
    )
    return [Image(*row[:4], environment=json.loads(row[4])) for row in rows]


def recorded(connection: sqlite3.Connection) -> Recorded:
    """Return all that the database says, for repairs at the start."""
    return Recorded(
        boxes=[_box(row) for row in connection.execute(_SELECT_BOX + "ORDER BY box_id")],
        checkpoints=[_checkpoint(row) for row in connection.execute(_SELECT_CHECKPOINT)],
        restores=[_restore(row) for row in connection.execute("SELECT * FROM restores")],
        images=images(connection),
    )


def _limit_columns(limits: BoxLimits) -> tuple[float, int, int, int]:
    return limits.cpus, limits.memory_bytes, limits.disk_bytes, limits.processes


def _box(row: Sequence[Any]) -> Box:
    fields = list(row)
    fields[17:20] = [PartialSleepRule(*row[17:19]), bool(row[19])]
    fields[4:10] = [BoxLimits(*row[4:8]), tuple(json.loads(row[8])), json.loads(row[9])]
    return Box(*fields)


def _restore(row: Sequence[Any]) -> PendingRestore:
    return PendingRestore(row[0], row[1], Checkpoint(row[0], *row[2:6], is_auto=True), row[6])


def _checkpoint(row: Sequence[Any]) -> Checkpoint:
    return Checkpoint(*row[:5], is_auto=bool(row[5]))
