"""Users and access keys in the index. Rows keep what a record says and where it lies, as in `store`."""

import sqlite3

from skerry.objects.model import Key, User
from skerry.objects.records import KeyGone, UserGone, framed_size, hear

SCHEMA = """
CREATE TABLE users (name TEXT PRIMARY KEY,
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, said BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE keys (access_key TEXT PRIMARY KEY, user TEXT NOT NULL,
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, said BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX keys_by_user ON keys (user, access_key);
"""


def apply(
    connection: sqlite3.Connection,
    record: User | UserGone | Key | KeyGone,
    place: tuple[int, int],
    said: bytes,
) -> dict[int, int]:
    """Have the index say what a record says; return the bytes that count no more, by segment."""
    dead: dict[int, int] = {}
    match record:
        case User(name=name) | UserGone(name=name):
            before = connection.execute(
                "DELETE FROM users WHERE name = ? RETURNING segment, length(said)", (name,)
            ).fetchall()
        case Key(access_key=access_key) | KeyGone(access_key=access_key):
            before = connection.execute(
                "DELETE FROM keys WHERE access_key = ? RETURNING segment, length(said)",
                (access_key,),
            ).fetchall()
    match record:
        case User():
            row = (record.name, *place, said)
            connection.execute("INSERT INTO users VALUES (?, ?, ?, ?)", row)
        case Key():
            row = (record.access_key, record.user, *place, said)
            connection.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", row)
        case UserGone() | KeyGone():
            before.append((place[0], len(said)))
    for segment, size in before:
        dead[segment] = dead.get(segment, 0) + framed_size(size, 0)
    return dead


def place(connection: sqlite3.Connection, record: User | Key) -> tuple[int, int] | None:
    """Return where the last word on a user or key lies, None if it is gone."""
    match record:
        case User():
            query, name = "SELECT segment, offset FROM users WHERE name = ?", record.name
        case Key():
            query, name = "SELECT segment, offset FROM keys WHERE access_key = ?", record.access_key
    return connection.execute(query, (name,)).fetchone()


def user(connection: sqlite3.Connection, name: str) -> User | None:
    """Return the user of that name."""
    found = connection.execute("SELECT said FROM users WHERE name = ?", (name,)).fetchone()
    return hear(found[0], User) if found else None


def users(connection: sqlite3.Connection, after: str, limit: int) -> list[User]:
    """Return users in the order of their names."""
    found = connection.execute(
        "SELECT said FROM users WHERE name > ? ORDER BY name LIMIT ?", (after, limit)
    )
    return [hear(said, User) for (said,) in found]


def count_users(connection: sqlite3.Connection) -> int:
    """Return how many users there are."""
    return connection.execute("SELECT count(*) FROM users").fetchone()[0]


def key(connection: sqlite3.Connection, access_key: str) -> Key | None:
    """Return an access key."""
    query = "SELECT said FROM keys WHERE access_key = ?"
    found = connection.execute(query, (access_key,)).fetchone()
    return hear(found[0], Key) if found else None


def keys_of(connection: sqlite3.Connection, user: str) -> list[Key]:
    """Return the access keys of a user."""
    found = connection.execute("SELECT said FROM keys WHERE user = ? ORDER BY access_key", (user,))
    return [hear(said, Key) for (said,) in found]
