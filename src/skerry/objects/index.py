"""The one way into the index: what a record says, when to look at it again, who is to be told."""

import sqlite3

from skerry.objects import due, outbox, store
from skerry.objects.rows import Applied, Changes


def apply(connection: sqlite3.Connection, changes: Changes, applied: Applied, now_ns: int) -> None:
    """Have the index say what a record says, now or when it is read again after a crash."""
    noted = outbox.look(connection, changes, applied) if changes.tells else None
    store.apply(connection, changes, applied)
    due.note(connection, changes, applied)
    if noted is not None:
        outbox.note(connection, changes, noted, now_ns)
